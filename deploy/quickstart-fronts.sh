# shellcheck shell=bash
# How deploy/quickstart starts a web server without root: a wrapper around the same site file that goes into a real site.
# To be sourced; uses quickstart's variables and functions.

# Apache started as root serves as another user, who must get to the sockets. Everything made in a directory with the
# set-group-id bit has the directory's group.
open_state_to_front() {
	chmod 0700 "$state"
	if [ "$front" = apache ] && [ "$(id -u)" -eq 0 ]; then
		getent passwd www-data >/dev/null || fail "Apache needs the user www-data"
		chgrp www-data "$state" && chmod 2710 "$state"
		setpriv --reuid www-data --regid www-data --clear-groups test -x "$state" ||
			fail "Apache serves as www-data, who cannot get into $state: choose another place with --state"
	fi
}

launch_front() { "launch_$front"; }

launch_caddy() {
	cat >"$state/Caddyfile" <<-END
		{
			admin off
			auto_https off
			grace_period 1s
		}
		http://:$listen_port {
			bind ${host//[][]/}
			import "$source/deploy/Caddyfile"
		}
	END
	launch caddy env STEPPATH="$state/step" XDG_DATA_HOME="$state/caddy" XDG_CONFIG_HOME="$state/caddy" PIPEGATE_PREFIX= \
		PIPEGATE_HANDLER="unix/$state/handler.sock" PIPEGATE_BROKER="unix/$state/broker.sock" \
		caddy run --config "$state/Caddyfile" --adapter caddyfile
}

launch_apache() {
	local modules module
	modules=$(apache_modules) || fail "found apache2, but not its modules"
	{
		echo "ServerRoot \"$state\""
		for module in mpm_event authz_core authz_host proxy proxy_fcgi proxy_http proxy_wstunnel rewrite env setenvif; do
			# Some builds have a few of them inside.
			[ ! -f "$modules/mod_$module.so" ] || echo "LoadModule ${module}_module \"$modules/mod_$module.so\""
		done
		cat <<-END
			PidFile "$state/apache.pid"
			DefaultRuntimeDir "$state"
			Mutex "file:$state"
			ErrorLog "$state/apache.log"
			ServerName localhost
			User www-data
			Group www-data
			Listen $listen
			Define PIPEGATE_PATH /
			Define PIPEGATE_HANDLER $state/handler.sock
			Define PIPEGATE_BROKER $state/broker.sock
			<VirtualHost *:$listen_port>
			Include "$source/deploy/apache/pipegate.conf"
			</VirtualHost>
		END
	} >"$state/apache.conf"
	launch apache apache2 -d "$state" -f "$state/apache.conf" -DFOREGROUND
}

apache_modules() {
	local directory
	for directory in /usr/lib/apache2/modules /usr/lib64/httpd/modules /usr/lib/httpd/modules; do
		[ -f "$directory/mod_proxy_fcgi.so" ] && echo "$directory" && return
	done
	return 1
}
