"""Clean Debian systems to build in, to install in and to boot. Each is a directory, entered in namespaces of its own, so that
every mount and every process of it is gone with them."""
import atexit
import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .programs import ROOT, Program
from .wait import until

CACHE = Path(os.environ.get("PIPEGATE_TEST_CACHE", "/var/tmp/pipegate-tests"))
# NoLocking: a system is ours alone, and of the downloads, which all share, every file appears under its name when it is whole.
APT = ["apt-get", "-q", "-y", *(part for setting in ("Dpkg::Options::=--force-unsafe-io", "APT::Sandbox::User=root",
                                                     "Debug::NoLocking=1") for part in ("-o", setting))]
_numbers = itertools.count(1)


def base(suite):
    return Path(subprocess.run([ROOT / "tests/base/debian", suite], check=True, stdout=subprocess.PIPE, text=True,
                               timeout=600).stdout.strip())


@contextlib.contextmanager
def locked(name):
    """Two runs may want the same thing of the cache at once."""
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# What stands in a system that is entered: its own /proc, a small /dev, and apt's downloads, which all runs share.
MOUNTS = r"""
set -eu
root=$1 archives=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount --bind "$archives" "$root/var/cache/apt/archives"
"""
ENTER = MOUNTS + r"""
[ -z "$1" ] || { mkdir -p "$root/source"; mount --bind -o ro "$1" "$root/source"; }
[ -z "$2" ] || ip link set lo up
shift 2
# Not by exec: with this shell, the first process, all others end. A program that changes its user would lose that tie.
status=0
chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
	"$@" || status=$?
exit "$status"
"""
# The root must be a real one, not that of chroot(2): systemd gives its services namespaces of their own, made from it.
BOOT = MOUNTS + r"""
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --bind "$root/run" "$root/run"
ip link set lo up
hostname pipegate-test
cd "$root"
mkdir .before
pivot_root . .before
umount -l .before
rmdir .before
exec env -i container=pipegate-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --show-status=no --log-target=journal
"""


class System:
    """A Debian of its own in a directory, from a tar file."""

    def __init__(self, suite, tar):
        self.suite = suite
        # The path of a socket in it must fit into 108 bytes.
        self.path = Path(tempfile.mkdtemp(prefix="s.", dir=CACHE))
        atexit.register(self.remove)
        self.path.chmod(0o755)
        subprocess.run(["tar", "-C", self.path, "-xpf", tar], check=True)
        self.path.chmod(0o755)
        (self.path / "etc/hosts").write_text("127.0.0.1 localhost\n")
        shutil.copy("/etc/resolv.conf", self.path / "etc/resolv.conf")
        self.archives = CACHE / f"packages-archives-{suite}"
        (self.archives / "partial").mkdir(parents=True, exist_ok=True)

    def argv(self, *argv, network=False, source=None):
        return ["unshare", "-m", "-p", "-f", "-u", "-i", *([] if network else ["-n"]), "--kill-child",
                "bash", "-c", ENTER, "enter", str(self.path), str(self.archives), str(source or ""), "" if network else "alone",
                *map(str, argv)]

    def run(self, *argv, network=False, source=None, status=0, deadline=600):
        """Its output, standard error included."""
        done = subprocess.run(self.argv(*argv, network=network, source=source), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=deadline)
        assert done.returncode == status, f"{argv} ended with {done.returncode}, not {status}:\n{done.stdout[-6000:]}"
        return done.stdout

    def start(self, name, *argv):
        return Program(name, self.argv(*argv))

    def shell(self, script, **options):
        return self.run("bash", "-euc", script, **options)

    def install(self, *packages):
        """With what they depend on and no more; from the mirror where apt has not fetched it before."""
        with locked(self.archives.name):
            # The package lists may be a week old, and the mirror ahead of them.
            command = " ".join([*APT, "install --no-install-recommends --download-only", *packages])
            self.shell(f"{command} || {{ apt-get -q update; {command}; }}", network=True)
        self.shell(" ".join([*APT, "install --no-install-recommends", *packages]))

    def file(self, path):
        return self.path / str(path).lstrip("/")

    def processes(self):
        """Those that have it as their root directory. (Where we are in such a system ourselves, the kernel names the whole way there: they
        are in a mount namespace of their own.)"""
        found = []
        for root in Path("/proc").glob("[0-9]*/root"):
            with contextlib.suppress(OSError):
                if os.readlink(root).endswith(str(self.path)):
                    found.append(int(root.parent.name))
        return found

    def remove(self):
        atexit.unregister(self.remove)
        until(lambda: not self.processes(), f"all processes in {self.path} to be gone")
        subprocess.run(["rm", "-rf", "--one-file-system", self.path], check=True)


def prepared(suite, name, packages):
    """The tar file of a system with these packages in it; made once."""
    start = base(suite)
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    tar = CACHE / f"packages-{name}-{suite}-{digest}.tar"
    with locked(f"packages-{name}-{suite}"):
        if tar.exists() and tar.stat().st_mtime > start.stat().st_mtime:
            return tar
        for old in CACHE.glob(f"packages-{name}-{suite}-*.tar"):
            old.unlink()
        system = System(suite, start)
        try:
            policy = system.file("/usr/sbin/policy-rc.d")
            policy.write_text("#!/bin/sh\nexit 101\n")  # no service is started here
            policy.chmod(0o755)
            system.run("apt-get", "-q", "update", network=True)
            if packages:
                system.install(*packages)
            policy.unlink()
            subprocess.run(["tar", "--numeric-owner", "--one-file-system", "-C", system.path, "-cf", f"{tar}.new", "."],
                           check=True)
            os.rename(f"{tar}.new", tar)
        finally:
            system.remove()
    return tar


class Machine(System):
    """One that has systemd as its first process."""

    def __init__(self, suite, tar):
        super().__init__(suite, tar)
        self.program = self.group = None

    def boot(self):
        self.group = control_groups() / f"pipegate-test-{os.getpid()}-{next(_numbers)}"
        self.group.mkdir()
        atexit.register(self.power_off)

        def join():
            (self.group / "cgroup.procs").write_text(str(os.getpid()))
        self.program = Program("systemd", ["unshare", "-m", "-p", "-f", "-n", "-u", "-i", "-C", "--kill-child",
                                           "bash", "-c", BOOT, "boot", str(self.path), str(self.archives)], preexec=join)
        children = Path(f"/proc/{self.program.pid}/task/{self.program.pid}/children")
        until(lambda: children.read_text().split(), "the first process")
        self.first = int(children.read_text().split()[0])
        until(lambda: Path(f"/proc/{self.first}/comm").read_text() == "systemd\n", "systemd to start")
        until(lambda: self.file("/run/systemd/private").is_socket(), "systemd to listen")
        until(lambda: self.systemctl("is-system-running", status=None).strip() in ("running", "degraded"), "systemd to be up", 60)

    def argv(self, *argv, **options):
        if not self.program:
            return super().argv(*argv, **options)
        return ["nsenter", "-t", str(self.first), "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w",
                "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", *map(str, argv)]

    def run(self, *argv, status=0, **options):
        if status is not None:
            return super().run(*argv, status=status, **options)
        return subprocess.run(self.argv(*argv), stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE, timeout=60).stdout

    def systemctl(self, *arguments, status=0):
        return self.run("systemctl", "--no-pager", *arguments, status=status, deadline=120)

    def shows(self, unit, name):
        return self.systemctl("show", "-P", name, unit).strip()

    def power_off(self):
        atexit.unregister(self.power_off)
        if self.program and self.program.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.first, signal.SIGRTMIN + 3)  # halt
            with contextlib.suppress(AssertionError):
                self.program.wait(20)
        if self.program:
            self.program.kill()
        self.program = None
        if self.group:
            for directory in sorted(self.group.rglob("*"), reverse=True):
                if directory.is_dir():
                    directory.rmdir()
            until(lambda: not (self.group / "cgroup.procs").read_text(), "all processes of the machine to be gone")
            self.group.rmdir()
        self.group = None

    def remove(self):
        self.power_off()
        super().remove()


def control_groups():
    """Where this machine's control groups (version 2) are."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split()[0] == "cgroup2":
            return Path(fields.split()[4])
    return None


def missing():
    """Why systems cannot be entered here, or None."""
    if os.geteuid() != 0:
        return "only root can make clean Debian systems"
    for tool in ("debootstrap", "unshare", "nsenter", "ip"):
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            return f"{tool} is not installed"
    done = subprocess.run(["unshare", "-m", "-p", "-f", "-n", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    return None if done.returncode == 0 else f"no namespaces can be made here: {done.stderr.decode().strip()}"


def cannot_boot():
    groups = control_groups()
    if not groups:
        return "there are no control groups of version 2 here"
    return None if os.access(groups, os.W_OK) and not os.statvfs(groups).f_flag & os.ST_RDONLY else f"{groups} is read-only"
