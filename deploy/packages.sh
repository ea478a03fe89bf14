# shellcheck shell=bash
# The Debian and Ubuntu packages PipeGate needs: the one list, for quickstart and tests/run. To be sourced.
#
# "command:package" is there when the command is (somebody may have built it, or have it from elsewhere);
# a plain "package" when dpkg says so.

PG_RUN_PACKAGES=(redis-server:redis-server curl:curl python3:python3 libwebsockets-evlib-uv ca-certificates)
PG_FRONT_CADDY=(caddy:caddy)
PG_FRONT_APACHE=(apache2:apache2)
PG_BUILD_PACKAGES=(
	cmake:cmake ninja:ninja-build gcc:gcc pkg-config:pkg-config libc6-dev
	libfcgi-dev libwebsockets-dev libwebsockets-evlib-uv libhiredis-dev libuv1-dev libmicrohttpd-dev libcurl4-openssl-dev
	libjwt-dev libjansson-dev libssl-dev uthash-dev
)
PG_TEST_PACKAGES=(clang:clang libcmocka-dev python3-pytest python3-pytest-xdist git:git openssl:openssl spawn-fcgi:spawn-fcgi ip:iproute2 ss:iproute2 pkill:procps
	nginx:nginx lighttpd:lighttpd promtool:prometheus debootstrap:debootstrap help2man:help2man)
PG_BENCH_PACKAGES=(wrk:wrk sshd:openssh-server ssh:openssh-client nginx:nginx)

# Some of them live in sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# libFuzzer is in a package of its own, named after the version of clang.
pg_clang_runtime() {
	local clang
	clang=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
	if [ -n "$clang" ] && apt-cache show "libclang-rt-$clang-dev" >/dev/null 2>&1; then
		echo "libclang-rt-$clang-dev"
	fi
}

# Prints those of its arguments that are missing, as package names.
pg_missing_packages() {
	local entry package
	for entry in "$@"; do
		package=${entry#*:}
		if [ "$entry" != "$package" ]; then
			command -v "${entry%%:*}" >/dev/null 2>&1 || echo "$package"
		elif command -v dpkg-query >/dev/null 2>&1; then
			dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || echo "$package"
		fi
	done | sort -u
}

# Prints "sudo", or nothing when root; fails when neither will do.
pg_as_root() {
	[ "$(id -u)" -eq 0 ] && return 0
	command -v sudo >/dev/null 2>&1 && echo sudo
}

# Installs packages, and lets apt start none of their services: what PipeGate starts for a try or a test is private.
# Before: pg_as_root succeeded. A policy-rc.d that is there already is put back.
pg_install_packages() (
	root=$(pg_as_root) || exit 1
	guard=/usr/sbin/policy-rc.d
	mine=$(mktemp) || exit 1
	printf '#!/bin/sh\nexit 101\n' >"$mine"
	cleanup() {
		rm -f "$mine"
		$root rm -f "$guard"
		[ ! -e "$guard.pipegate" ] || $root mv -f "$guard.pipegate" "$guard"
	}
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	[ ! -e "$guard" ] || $root mv -f "$guard" "$guard.pipegate" || exit 1
	$root env install -m 0755 "$mine" "$guard" || exit 1

	apt() { $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$@"; }
	apt install --no-install-recommends "$@" || { apt update && apt install --no-install-recommends "$@"; } || exit 1
	# Nor shall they come up with the next boot, where they were not wanted yesterday.
	if [ -d /run/systemd/system ]; then
		for service in redis-server caddy apache2 nginx lighttpd prometheus; do
			case " $* " in *" $service "* | *" $service-"*) $root systemctl -q disable "$service" || : ;; esac
		done
	fi
)
