"""deploy/quickstart, as somebody runs it who tries PipeGate for the first time. It uses the release build."""
import os
import re
import shutil
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kit import ports
from kit.programs import ROOT, Program
from kit.stack import new_tunnel
from kit.wait import until

pytestmark = pytest.mark.release_only

QUICKSTART = str(ROOT / "deploy" / "quickstart")


def processes_with(text):
    """Command lines of running processes that name `text`."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                state = re.search(r"^State:\s+(\S)", (entry / "status").read_text(), re.M)[1]
            except (OSError, TypeError):
                continue
            if text in line and state != "Z":
                found[int(entry.name)] = line
    return found


def new_directory():
    """Where Apache, which serves as www-data when root starts it, may enter."""
    path = tempfile.mkdtemp(prefix="pg-qs-", dir="/tmp")
    os.chmod(path, 0o755)
    return path


class Quickstart(Program):
    def __init__(self, *arguments, state=None, env=None):
        self.port = ports.take()
        self.listen = f"127.0.0.1:{self.port}"
        self.parent = None if state else new_directory()
        self.state = state or os.path.join(self.parent, "state")
        super().__init__("quickstart",
                         [QUICKSTART, "--listen", self.listen, "--state", self.state, "--no-install", *arguments], env=env)

    def ready(self):
        match = self.await_line(r"^ready: (http://\S+)$", deadline=90)
        self.url = match[1]
        return self.url

    def parts(self):
        """{name: pid} of what it started, its helpers left out."""
        names = {}
        for pid, line in processes_with(self.state).items():
            command = os.path.basename(line.split(" ")[0])
            if "sample-service" in line:
                command = "sample"
            if pid != self.pid and command not in ("bash", "tail", "curl", "setsid", "setpriv"):
                names.setdefault(command, pid)
        return names

    def nothing_is_left(self):
        until(lambda: not {p: c for p, c in processes_with(self.state).items() if p != self.pid}, "all processes to be gone")
        assert not os.path.exists(self.state)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", self.port))


@pytest.fixture
def quickstart():
    started = []

    def start(*arguments, **options):
        started.append(Quickstart(*arguments, **options))
        return started[-1]
    yield start
    for each in started:
        if each.alive():
            each.process.send_signal(signal.SIGTERM)
            try:
                each.wait(30)
            except AssertionError:
                each.kill()
        ports.give_back(each.port)
        if each.parent:
            shutil.rmtree(each.parent, ignore_errors=True)


def fetch(url, data=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=20) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_start_to_end(quickstart, front_name, number):
    started = quickstart("--front", front_name)
    url = started.ready()
    assert re.fullmatch(rf"http://127\.0\.0\.1:{started.port}/[0-9a-f-]{{36}}/", url)
    assert started.out.lines == [f"ready: {url}"], "nothing else stands before it on stdout"
    status, body, _ = fetch(url)
    assert status == 200 and b"It works" in body
    started.await_line(r"GET / .*200")
    assert fetch(url + "echo", b"hello")[1] == b"hello"
    started.await_line(r"POST /echo .*200")
    with urllib.request.urlopen(url + "events", timeout=10) as events:
        assert events.readline().startswith(b"data: ")
    assert {"redis-server", "pg-handler", "pg-broker", "pg-client", "sample"} <= set(started.parts())
    started.process.send_signal(number)
    assert started.wait(30) == 0
    started.nothing_is_left()


def test_secret_and_token_are_private(quickstart):
    started = quickstart()
    started.ready()
    for name in ("secret", "token"):
        assert os.stat(os.path.join(started.state, name)).st_mode & 0o777 == 0o600


def test_redis_has_no_port_and_writes_nothing(quickstart):
    started = quickstart()
    started.ready()
    pid = started.parts()["redis-server"]
    line = processes_with(started.state)[pid]
    assert ":0" in line or "unixsocket" in line, line
    started.process.send_signal(signal.SIGTERM)
    assert started.wait(30) == 0
    assert not os.path.exists(os.path.join(started.state, "dump.rdb"))


def test_own_port_and_tunnel(quickstart, front_name, service):
    tunnel = new_tunnel()
    started = quickstart("--front", front_name, "--port", str(service.port), "--tunnel", tunnel)
    assert started.ready() == f"http://127.0.0.1:{started.port}/{tunnel}/"
    service.reset()
    assert fetch(started.url + "mine?x")[1] == b"ok"
    assert service.next().target == "/mine?x"


def test_own_port_where_nothing_listens_yet(quickstart):
    port = ports.take()
    started = quickstart("--port", str(port))
    url = started.ready()
    assert str(port) in started.err.text()
    status, _, headers = fetch(url)
    assert status == 502 and headers["X-Pipegate-Error"] == "local-service"
    ports.give_back(port)


@pytest.mark.parametrize("answer",
                         [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
                          b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"])
def test_own_service_may_answer_anything(quickstart, service, answer):
    service.answer = lambda call: call.send(answer)
    quickstart("--port", str(service.port)).ready()


def test_a_fresh_directory_of_its_own(quickstart, tmp_path):
    """Without --state."""
    port = ports.take()
    program = Program("quickstart", [QUICKSTART, "--listen", f"127.0.0.1:{port}", "--no-install"],
                      env={"TMPDIR": str(tmp_path)})
    program.await_line("^ready: ", deadline=90)
    assert len(os.listdir(tmp_path)) == 1
    program.stop(deadline=30)
    assert not os.listdir(tmp_path) and not processes_with(str(tmp_path))
    ports.give_back(port)


def check_failure(started, pattern, status=None):
    got = started.wait(90)
    assert got != 0 and (status is None or got == status), started.last_words()
    lines = [line for line in started.err.lines if line.startswith("quickstart: ") and "building" not in line]
    assert len(lines) == 1 and re.search(pattern, lines[0]), started.last_words()
    assert not any(line.startswith("ready") for line in started.out.lines[1:])


def test_taken_port(quickstart, front_name):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        started = quickstart("--front", front_name, "--listen", f"127.0.0.1:{taken}")
        check_failure(started, rf"{taken} is taken")
        assert not processes_with(started.state) and not os.path.exists(started.state)


@pytest.mark.parametrize("arguments",
                         [["--nonsense"], ["--port"], ["--port", "x"], ["--port", "0"], ["--port", "70000"],
                          ["--listen", "nowhere"],
                                       ["--listen", "127.0.0.1:x"], ["--tunnel", "no-uuid"], ["--front", "iis"], ["stray"]])
def test_usage(quickstart, arguments):
    check_failure(quickstart(*arguments), "--help", 2)


def test_help():
    program = Program("quickstart", [QUICKSTART, "--help"])
    assert program.wait() == 0 and "--front" in program.out.text()


def test_directory_in_use(quickstart, tmp_path):
    (tmp_path / "mine").write_text("precious")
    check_failure(quickstart(state=str(tmp_path)), "not empty", 2)
    assert (tmp_path / "mine").read_text() == "precious"


def test_missing_package(quickstart, tmp_path):
    """Everything but Caddy is there, and it may not install."""
    for directory in os.environ["PATH"].split(":") + ["/usr/bin", "/bin"]:
        for name in (os.listdir(directory) if os.path.isdir(directory) else []):
            if name != "caddy" and not (tmp_path / name).is_symlink():
                os.symlink(os.path.join(directory, name), tmp_path / name)
    started = quickstart(env={"PATH": str(tmp_path)})
    check_failure(started, "apt-get install.* caddy")


@pytest.mark.parametrize("part", ["redis-server", "pg-handler", "pg-broker", "pg-client", "sample"])
def test_killed_program(quickstart, part):
    """kill -9 of any of them: one line that names it, everything else stopped."""
    started = quickstart()
    started.ready()
    os.kill(started.parts()[part], signal.SIGKILL)
    check_failure(started, {"sample": "sample service"}.get(part, part) + ".*signal 9", 1)
    started.nothing_is_left()


def test_killed_front(quickstart, front_name):
    started = quickstart("--front", front_name)
    started.ready()
    command = {"caddy": "caddy", "apache": "apache2"}[front_name]
    # Of Apache's processes the first is the one that counts; the others are its own to replace.
    os.kill(min(pid for pid, line in processes_with(started.state).items()
                if os.path.basename(line.split(" ")[0]) == command),
            signal.SIGKILL)
    check_failure(started, f"{front_name}.*signal 9", 1)
    started.nothing_is_left()


@pytest.mark.parametrize("moment", [0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3])
def test_interrupted_while_it_starts(quickstart, moment):
    """At any moment: nothing stays."""
    started = quickstart()
    time.sleep(moment)  # the moment is the point
    started.process.send_signal(signal.SIGTERM)
    assert started.wait(30) in (0, -signal.SIGTERM)
    started.nothing_is_left()


@pytest.mark.parametrize("maker", ["mkdir", "mktemp"])
def test_interrupted_while_it_makes_its_directory(tmp_path, maker):
    """The signal comes when the directory is there and quickstart does not know it yet."""
    programs, room = tmp_path / "bin", tmp_path / "tmp"
    programs.mkdir()
    room.mkdir()
    (programs / maker).write_text(f'#!/bin/sh\n{shutil.which(maker)} "$@" && kill -TERM $PPID\n')
    (programs / maker).chmod(0o755)
    port = ports.take()
    started = Program("quickstart", [QUICKSTART, "--listen", f"127.0.0.1:{port}", "--no-install",
                                     *(["--state", str(room / "state")] if maker == "mkdir" else [])],
                      env={"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(room)})
    assert started.wait(30) == 0, started.last_words()
    assert not os.listdir(room)
    ports.give_back(port)


@pytest.mark.parametrize("part", ["redis-server", "pg-handler", "pg-broker", "caddy", "pg-client"])
def test_killed_while_it_starts(quickstart, part):
    """Whichever of them dies as soon as it is there, it is never ready and hanging."""
    started = quickstart()

    def kill():
        if not started.alive():
            return True
        pid = started.parts().get(part)
        if pid:
            os.kill(pid, signal.SIGKILL)
        return pid
    until(kill, f"{part} to be there")
    assert started.wait(60) == 1, started.last_words()
    assert [line for line in started.err.lines if line.startswith("quickstart: ")]
    started.nothing_is_left()


def test_killed_itself(quickstart):
    """Then nobody can tidy up, but the programs end with it."""
    started = quickstart()
    started.ready()
    started.process.kill()
    started.wait()
    until(lambda: not processes_with(started.state), "all processes to be gone")
