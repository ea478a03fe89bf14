"""A started program: its output line by line, its death, and what the sanitizers say of it."""
import ctypes
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from .wait import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
BUILD = (ROOT / os.environ.get("PG_BUILD", "build/asan")).resolve()
SLOW_BUILD = "asan" in BUILD.name or "tsan" in BUILD.name

# What the sanitizers print; none of it may be in any program's output.
REPORT = re.compile(r"ERROR: (Address|Leak|Undefined\w*)Sanitizer|WARNING: ThreadSanitizer|FATAL: ThreadSanitizer|"
                    r"runtime error:|SUMMARY: \w+Sanitizer")

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:halt_on_error=1:abort_on_error=0:exitcode=99:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=98",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=97:second_deadlock_stack=1",
}
# What the caller's environment says comes after, and so wins.
SANITIZERS = {name: f"{value}:{os.environ.get(name, '')}" for name, value in SANITIZERS.items()}

_libc = ctypes.CDLL(None)


def _die_with_parent():
    PR_SET_PDEATHSIG = 1
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def path_of(name):
    """A program of ours: PG_HANDLER, PG_BROKER, PG_CLIENT, or that in the build under test."""
    return os.environ.get(name.upper().replace("-", "_")) or str(BUILD / name)


def found(name):
    """A program of the system, sbin included."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    assert path, f"{name} is not installed"
    return path


def clean_environment(extra=None):
    """The caller's environment without what could steer the programs."""
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith(("PIPEGATE_", "LISTEN_", "NOTIFY_")) and not k.lower().endswith("_proxy")}
    return {**kept, **SANITIZERS, **(extra or {})}


class Lines:
    """Lines of a stream as they come."""

    def __init__(self, stream):
        self.lines, self.closed, self.changed = [], False, threading.Condition()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def find(self, pattern, start=0):
        for line in self.lines[start:]:
            match = re.search(pattern, line)
            if match:
                return match
        return None

    def text(self):
        return "\n".join(self.lines)

    def await_match(self, pattern, start, deadline):
        end = time.monotonic() + deadline
        with self.changed:
            while True:
                match = self.find(pattern, start)
                if match or self.closed:
                    return match
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)


class Program:
    def __init__(self, name, argv, env=None, stdin=subprocess.DEVNULL, cwd=None, pass_fds=(), preexec=None):
        def prepare():
            _die_with_parent()
            if preexec:
                preexec()

        self.name, self.argv = name, argv
        self.process = subprocess.Popen(argv, env=clean_environment(env), stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, cwd=cwd, pass_fds=pass_fds, preexec_fn=prepare)
        self.pid = self.process.pid
        self.out, self.err = Lines(self.process.stdout), Lines(self.process.stderr)

    def alive(self):
        return self.process.poll() is None

    def await_line(self, pattern, stream="out", start=0, deadline=PATIENCE):
        match = getattr(self, stream).await_match(pattern, start, deadline)
        assert match, f"{self.name} never printed /{pattern}/; {self.last_words()}"
        return match

    def wait(self, deadline=PATIENCE):
        """The exit status, once it has ended and everything it printed is read. -N: killed by signal N."""
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {deadline:g} s; {self.last_words()}") from None
        for lines in (self.out, self.err):
            lines.await_match("(?!)", 0, 5)  # until closed
        return status

    def report(self):
        """A sanitizer's report, or None."""
        return self.err.text() if REPORT.search(self.err.text()) else None

    def check(self):
        assert not self.report(), f"{self.name}: sanitizer report\n{self.report()}"

    def stop(self, expect=0, deadline=PATIENCE):
        """SIGTERM; it must end with `expect`, and no sanitizer may have anything to say."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.wait(deadline)
        except AssertionError:
            self.kill()
            raise
        self.check()
        assert status == expect, f"{self.name} ended with {status}, not {expect}; {self.last_words()}"

    def kill(self):
        if self.alive():
            self.process.kill()
        self.wait()

    def last_words(self):
        return f"it {'runs' if self.alive() else f'ended with {self.process.poll()}'}; stdout:\n" \
               f"{self.out.text()[-2000:]}\nstderr:\n{self.err.text()[-4000:]}"

    def _status(self, field):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(f"{self.name} has ended")

    def rss_kb(self):
        return self._status("VmRSS")

    def peak_kb(self):
        return self._status("VmHWM")

    def threads(self):
        return self._status("Threads")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def run(name, *arguments, env=None, deadline=PATIENCE, stdin=subprocess.DEVNULL):
    """Runs one of our programs to its end; returns it with .status."""
    program = Program(name, [path_of(name), *arguments], env=env, stdin=stdin)
    try:
        program.status = program.wait(deadline)
    except AssertionError:
        program.kill()
        raise
    program.check()
    return program
