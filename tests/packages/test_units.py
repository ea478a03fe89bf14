"""The systemd units: judged by systemd's own tools, and at work in a machine that systemd has booted."""
import http.client
import itertools
import os
import re
import resource
import shutil
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from kit import systems
from kit.wait import until

SYSTEM_UNITS = ["pipegate-handler.socket", "pipegate-handler@.service", "pipegate-broker.socket", "pipegate-broker@.service"]
USER_UNITS = ["pipegate-client@.service"]
TUNNEL = "5f0c2b1e-6a64-4e0f-8f5d-0b1f7b9c3d21"

FRONT = """{
	admin off
	auto_https off
	grace_period 1s
}
http:// {
	bind 127.0.0.1 unix//srv/front/http.sock
	import /etc/pipegate/Caddyfile
}
"""


class LocalService(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """On a socket that the machine sees as a file of its own; counts how often each path was asked for."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path):
        self.counts, self.lock = {}, threading.Lock()
        super().__init__(str(path), Answer)
        os.chmod(path, 0o777)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # who hung up is seen by whoever asked


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.counts[self.path] = self.server.counts.get(self.path, 0) + 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "local"

    def log_message(self, *_):
        pass


class Visitor(http.client.HTTPConnection):
    """Through the socket that the web server has for us: the machine's network is its own."""

    def __init__(self, path, timeout=60):
        super().__init__("visitor.test", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def post(machine, name):
    """The status; one request, one connection."""
    visitor = Visitor(machine.file("/srv/front/http.sock"))
    try:
        visitor.request("POST", f"/tunnels/{TUNNEL}/{name}", body=f"body of {name}")
        response = visitor.getresponse()
        body = response.read()
        if response.status == 200:
            return 200 if body == f"body of {name}".encode() else f"wrong body {body}"
        return f"{response.status} {response.headers['X-Pipegate-Error']} {body}"
    finally:
        visitor.close()


class Load:
    """Visitors who ask one after the other until told to stop, for two minutes at most."""

    def __init__(self, machine, name, visitors=4):
        self.answers, self.machine, self.stopping = {}, machine, threading.Event()
        self.end = time.monotonic() + 120
        self.threads = [threading.Thread(target=self.run, args=(f"{name}-{number}",), daemon=True) for number in range(visitors)]
        for thread in self.threads:
            thread.start()
        self.await_more(20)

    def run(self, name):
        for number in itertools.count():
            if self.stopping.wait(0.005) or time.monotonic() > self.end:
                return
            try:
                self.answers[f"{name}-{number}"] = post(self.machine, f"{name}-{number}")
            except (OSError, http.client.HTTPException) as error:
                self.answers[f"{name}-{number}"] = repr(error)

    def await_more(self, count):
        enough = len(self.answers) + count
        until(lambda: len(self.answers) >= enough, "visitors to be served", 60)

    def stop(self):
        """Everybody got their answer, and the local service each request once."""
        self.await_more(20)
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        assert {name: answer for name, answer in self.answers.items() if answer != 200} == {}
        counts = {name: self.machine.local.counts.get(f"/{name}") for name in self.answers}
        assert {name: count for name, count in counts.items() if count != 1} == {}


@pytest.fixture(scope="module")
def installed(suite, packages):
    """Systemd is there and does not run."""
    system = systems.System(suite, systems.prepared(suite, "units", ["systemd"]))
    for package in packages.values():
        shutil.copy(package, system.file("/root"))
    system.install(*(f"/root/{package.name}" for package in packages.values()))
    yield system
    system.remove()


@pytest.mark.parametrize("unit", [unit for unit in SYSTEM_UNITS if unit.endswith(".service")])
def test_security(installed, unit):
    output = installed.run("systemd-analyze", "--no-pager", "security", "--offline=true", "--threshold=20",
                           f"/usr/lib/systemd/system/{unit}")
    assert float(re.search(r"exposure level .*: ([0-9.]+)", output)[1]) <= 2.0, output


def test_verify(installed):
    for kind, units in (("system", SYSTEM_UNITS), ("user", USER_UNITS)):
        for unit in units:
            path = f"/usr/lib/systemd/{kind}/{unit.replace('@', '@1')}"
            if "@" in unit:
                shutil.copy(installed.file(f"/usr/lib/systemd/{kind}/{unit}"), installed.file(path))
            output = installed.run("env", "XDG_RUNTIME_DIR=/tmp", "systemd-analyze", f"--{kind}", "--man=no", "verify", path)
            assert "pipegate" not in output, output


def test_enabled_where_systemd_does_not_run(installed):
    wants = {path.name for path in installed.file("/etc/systemd/system").glob("*.wants/pipegate*")}
    assert wants == {f"pipegate-{name}{kind}" for name in ("handler", "broker") for kind in (".socket", "@1.service")}
    server = next(installed.file("/root").glob("pipegate-server*.deb")).name
    installed.run("systemctl", "disable", "pipegate-broker@1.service", "pipegate-handler.socket")
    installed.run("dpkg", "-i", f"/root/{server}")
    wants = {path.name for path in installed.file("/etc/systemd/system").glob("*.wants/pipegate*")}
    assert wants == {"pipegate-broker.socket", "pipegate-handler@1.service"}, "an upgrade enables nothing"
    installed.run("dpkg", "--purge", "pipegate-server")
    for folder in ("/etc/systemd", "/var/lib/systemd", "/run"):
        assert list(installed.file(folder).rglob("*pipegate*")) == []


@pytest.fixture(scope="module")
def running(machine):
    """Booted, both packages installed while it runs, a tunnel that its user's unit keeps up."""
    machine.boot()
    machine.shell(" ".join([*systems.APT, "install --no-install-recommends /root/*.deb"]))
    machine.file("/etc/caddy/Caddyfile").write_text(FRONT)
    machine.shell("install -d -o caddy -g caddy /srv/front && systemctl restart caddy")
    machine.local = LocalService(machine.file("/srv/local.sock"))
    token = machine.run("pg-broker", "token", "--tunnel", TUNNEL, "--secret-file", "/etc/pipegate/secret").strip()
    machine.shell("useradd -m tester && install -d -o tester /home/tester/.config /home/tester/.config/pipegate")
    machine.file("/home/tester/.config/pipegate/mine.conf").write_text(
        f"server-url = ws://127.0.0.1/tunnels/{TUNNEL}\ntoken = {token}\ntarget = unix:/srv/local.sock\n")
    user = machine.run("id", "-u", "tester").strip()
    machine.systemctl("start", f"user@{user}.service")
    machine.shell(f"setpriv --reuid tester --regid tester --clear-groups env HOME=/home/tester XDG_RUNTIME_DIR=/run/user/{user} "
                  "systemctl --user enable --now pipegate-client@mine")
    until(lambda: post(machine, "first") == 200, "a request to get through", 60)
    yield machine
    machine.local.shutdown()


def main_pid(machine, unit):
    return int(machine.shows(unit, "MainPID"))


def until_active(machine, unit, but=0):
    """Its process, which is not that one."""
    return until(lambda: machine.shows(unit, "ActiveState") == "active" and main_pid(machine, unit) not in (0, but) and
                 main_pid(machine, unit), f"{unit} to run", 60)


@pytest.fixture
def drop_in(running):
    """Settings of units for one test."""
    made = []

    def make(unit, text):
        directory = running.file(f"/run/systemd/system/{unit}.d")
        directory.mkdir(parents=True)
        made.append(directory)
        (directory / "test.conf").write_text(text)
        running.systemctl("daemon-reload")
    yield make
    for directory in made:
        shutil.rmtree(directory)
    running.systemctl("daemon-reload")


def test_after_the_installation(running):
    for unit in ("pipegate-handler.socket", "pipegate-broker.socket", "pipegate-handler@1", "pipegate-broker@1"):
        assert running.shows(unit, "ActiveState") == "active", running.systemctl("status", unit, status=None)
        assert running.systemctl("is-enabled", unit).strip() == "enabled"
    for name in ("handler", "broker"):
        assert running.run("stat", "-c", "%a %U:%G", f"/run/pipegate/{name}.sock").strip() == "660 root:www-data"
        unit = f"pipegate-{name}@1"
        assert running.run("ps", "-o", "user=", "-p", str(main_pid(running, unit))).strip() == "pipegate"
        limits = running.run("cat", f"/proc/{main_pid(running, unit)}/limits")
        assert int(re.search(r"Max open files +(\d+)", limits)[1]) >= min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    # The web server may connect, and may not read what tokens are signed with.
    assert running.run("setpriv", "--reuid", "www-data", "--regid", "www-data", "--init-groups", "cat", "/etc/pipegate/secret",
                       status=1)


@pytest.mark.parametrize("name", ["handler", "broker"])
def test_health_and_numbers(running, name):
    admin = ["curl", "-sSf", "--unix-socket", f"/run/pipegate/{name}-1/admin.sock"]
    assert "pipegate" in running.run(*admin, "http://localhost/-/metrics")
    running.run(*admin, "http://localhost/-/readyz")
    assert running.run("stat", "-c", "%a %U:%G", f"/run/pipegate/{name}-1").strip() == "750 pipegate:pipegate"


def test_killed_handler(running):
    """Nobody else is there; the socket holds what comes until it is back."""
    before = main_pid(running, "pipegate-handler@1")
    running.run("kill", "-KILL", str(before))
    assert post(running, "after-kill") == 200
    assert until_active(running, "pipegate-handler@1", before) != before


def test_handler_is_started_by_a_request(running):
    running.systemctl("stop", "pipegate-handler@1")
    assert running.file("/run/pipegate/handler.sock").is_socket()
    assert post(running, "after-stop") == 200
    until_active(running, "pipegate-handler@1")


@pytest.mark.parametrize("name", ["handler", "broker"])
def test_watchdog(running, drop_in, name):
    unit = f"pipegate-{name}@1"
    drop_in(f"pipegate-{name}@.service", "[Service]\nWatchdogSec=1s\n")
    running.systemctl("restart", unit)
    before = main_pid(running, unit)
    restarts = int(running.shows(unit, "NRestarts"))
    running.run("kill", "-STOP", str(before))
    until(lambda: int(running.shows(unit, "NRestarts")) > restarts, "the watchdog", 60)
    assert until_active(running, unit, before) != before
    until(lambda: post(running, f"after-watchdog-{name}") == 200, "requests to get through", 60)


@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize("name", ["handler", "broker"])
def test_restart_loses_nothing(running, name, instances):
    if instances == 2:
        running.systemctl("start", f"pipegate-{name}@2")
    units = [f"pipegate-{name}@{number + 1}" for number in range(instances)]
    before = [main_pid(running, unit) for unit in units]
    load = Load(running, f"restart-{name}-{instances}")
    for unit in units:
        running.systemctl("restart", unit)
        load.await_more(20)
    load.stop()
    assert not set(before) & {main_pid(running, unit) for unit in units}
    if instances == 2:
        running.systemctl("stop", f"pipegate-{name}@2")
        assert running.file(f"/run/pipegate/{name}.sock").is_socket(), "it is the others', too"
    assert not running.file(f"/run/pipegate/{name}-2").exists()


def test_upgrade_loses_nothing(running):
    units = ("pipegate-handler@1", "pipegate-broker@1")
    before = {main_pid(running, unit) for unit in units}
    load = Load(running, "upgrade")
    running.shell("dpkg -i /root/pipegate-server_*.deb")
    load.stop()
    after = {main_pid(running, unit) for unit in units}
    assert 0 not in after and not before & after


@pytest.mark.parametrize("name", ["handler", "broker"])
def test_bad_setting(running, name):
    """One line says which; mended, it goes on by itself, and who waited is served."""
    unit, path = f"pipegate-{name}@1", running.file(f"/etc/pipegate/{name}.conf")
    text = path.read_text()
    path.write_text(text + "colour = green\n")
    running.systemctl("restart", unit, status=1)
    until(lambda: running.shows(unit, "ExecMainStatus") == "2", "it to end with status 2")
    until(lambda: int(running.shows(unit, "NRestarts")) > 2, "it to be tried again")
    lines = running.run("journalctl", "--no-pager", "-o", "cat", "-u", unit, "-n", "30").splitlines()
    assert any(f"/etc/pipegate/{name}.conf line" in line and "colour" in line for line in lines), lines
    path.write_text(text)
    until_active(running, unit)
    until(lambda: post(running, f"after-{name}-was-mended") == 200, "requests to get through", 60)
    assert running.shows(f"pipegate-{name}.socket", "ActiveState") == "active"


def test_end_of_a_user_unit(running):
    """Wrong usage is final for the client, too: it is not started for ever."""
    running.file("/home/tester/.config/pipegate/bad.conf").write_text("colour = green\n")
    user = running.run("id", "-u", "tester").strip()
    as_user = ["setpriv", "--reuid", "tester", "--regid", "tester", "--clear-groups", "env", f"XDG_RUNTIME_DIR=/run/user/{user}"]
    running.run(*as_user, "systemctl", "--user", "start", "pipegate-client@bad", status=None)
    show = [*as_user, "systemctl", "--user", "show", "-P"]
    until(lambda: running.run(*show, "ActiveState", "pipegate-client@bad").strip() == "failed", "it to fail")
    assert running.run(*show, "ExecMainStatus", "pipegate-client@bad").strip() == "2"
    assert running.run(*show, "NRestarts", "pipegate-client@bad").strip() == "0"


def test_purge_where_systemd_runs(running):
    """The last test: it takes away what the others use."""
    running.systemctl("start", "pipegate-handler@2", "pipegate-broker@2")
    running.run("dpkg", "--purge", "pipegate-server", "pipegate-client")
    assert running.systemctl("list-units", "--plain", "--no-legend", "pipegate-*").split() == []
    assert not re.search("pg-(handler|broker)", running.run("ps", "-e", "-o", "comm="))
    assert not running.file("/run/pipegate").exists() and not running.file("/etc/pipegate").exists()
    assert running.run("getent", "passwd", "pipegate", status=2) == ""
