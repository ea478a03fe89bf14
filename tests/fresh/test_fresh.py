"""quickstart, and with --long tests/run, as a new user starts them."""
import os
import re
import signal
import subprocess
import time
import urllib.request

import pytest

from kit import ports
from kit.programs import ROOT, Program
from kit.wait import until

SHOULD_BE_EMPTY = ["tmp", "run/pipegate", "etc/pipegate", "var/lib/pipegate"]


class Quickstart:
    """It runs until it is interrupted as by Ctrl-C; `seconds` until it was ready."""

    def __init__(self, machine, *arguments):
        self.port, self.machine, began = ports.take(), machine, time.monotonic()
        self.program = Program("quickstart", machine.argv("bash", "-c", 'cd /root/pipegate && exec deploy/quickstart "$@"', "quickstart",
                                                          "--listen", f"127.0.0.1:{self.port}", *arguments, network=True))
        self.url = self.program.await_line(r"^ready: (http://\S+)$", deadline=600)[1]
        self.seconds = time.monotonic() - began

    def interrupt(self):
        def mine(pid):
            program, script, *_ = open(f"/proc/{pid}/cmdline").read().split("\0") + [""]
            return program == "bash" and script.endswith("deploy/quickstart")
        os.kill(min(pid for pid in self.machine.processes() if mine(pid)), signal.SIGINT)
        assert self.program.wait(30) == 0, self.program.last_words()
        until(lambda: not self.machine.processes(), "every process to be gone")
        for name in SHOULD_BE_EMPTY:
            directory = self.machine.file(name)
            assert not directory.exists() or not list(directory.iterdir()), list(directory.iterdir())
        ports.give_back(self.port)


def answers(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as response:
        return response.status == 200 and b"PipeGate" in response.read()


def test_quickstart_installs_builds_and_serves(machine):
    """In under 4 minutes, packages and all; then without a build in under 30 s; each leaves nothing."""
    first = Quickstart(machine)
    assert answers(first.url)
    assert re.search("installing by apt-get, without starting any service: .*redis-server", first.program.err.text())
    first.interrupt()
    machine.shell("cd /root/pipegate && git status --porcelain --ignored | grep -v '^!! build/$' && exit 1 || rm -r build")
    second = Quickstart(machine, "--no-install")
    assert answers(second.url)
    second.interrupt()
    print(f"ready after {first.seconds:.0f} s with apt, and {second.seconds:.0f} s without")
    assert first.seconds < 240 and second.seconds < 30


def test_quickstart_behind_apache(machine, request):
    if not request.config.getoption("--long"):
        pytest.skip("tests/e2e/test_quickstart.py has it, with its packages there: here only with --long")
    apache = Quickstart(machine, "--front", "apache")
    assert answers(apache.url)
    apache.interrupt()


def test_all_tests(machine, release, request):
    """What it prints can be followed in build/results/tests-RELEASE.log."""
    if not request.config.getoption("--long"):
        pytest.skip("takes as long as all the tests do: only with --long")
    path = ROOT / f"build/results/tests-{release}.log"
    with open(path, "w") as log:
        subprocess.run(machine.argv("bash", "-c", "cd /root/pipegate && exec tests/run", network=True), stdin=subprocess.DEVNULL,
                       stdout=log, stderr=subprocess.STDOUT, timeout=3600)
    lines = path.read_text().splitlines()
    assert re.search(r"^\d+ passed, 0 failed(, \d+ skipped)?$", lines[-1]), "\n".join(lines[-100:])
    print(lines[-1])
