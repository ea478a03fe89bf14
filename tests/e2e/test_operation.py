"""What the programs have in common (--help, --version, options, logs, signals), and how each is watched."""
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

from kit import fastcgi, frames, ports
from kit.attacher import Attacher
from kit.background import Background
from kit.programs import ROOT, Program, path_of, run
from kit.stack import admin, is_listening, new_tunnel
from kit.wait import until

ALL = ["pg-handler", "pg-broker", "pg-client"]


@pytest.mark.parametrize("name", ALL)
def test_help(name):
    done = run(name, "--help")
    assert done.status == 0 and "--log-format" in done.out.text() and not done.err.lines
    assert max(len(line) for line in done.out.lines) <= 120


@pytest.mark.parametrize("name", ALL)
def test_readme_has_the_options(name):
    """In the words of --help, and no others."""
    common = ("--help", "--version", "--config", "--log-level", "--log-format")
    options = re.findall(r"^  (--\S+(?: \S+)?) +(.*)$", run(name, "--help").out.text(), re.M)
    section = (ROOT / "README.md").read_text().partition(f"### {name}\n")[2].partition("\n#")[0]
    assert re.findall(r"^\| `(--[^`]+)` \| (.*) \|$", section, re.M) == [each for each in options if not each[0].startswith(common)]


@pytest.mark.parametrize("name", ALL)
def test_version(name):
    done = run(name, "--version")
    assert done.status == 0 and re.fullmatch(rf"{name} \d+\.\d+\.\d+", done.out.text())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("arguments",
                         [["--nonsense"], ["--log-level", "loud"], ["--log-format", "xml"], ["--log-level"], ["stray"],
                          ["-x"]])
def test_bad_option(name, arguments):
    done = run(name, *arguments)
    assert done.status == 2 and len(done.err.lines) == 1 and not done.out.lines, done.last_words()


@pytest.mark.parametrize("name,arguments", [
    ("pg-handler", ["--wait-timeout", "30x"]), ("pg-handler", ["--max-header", "many"]),
    ("pg-handler", ["--redis", "http://a"]),
    ("pg-handler", ["--max-in-flight", "-1"]), ("pg-handler", ["--max-in-flight", "0"]), ("pg-broker", ["--redis", "x"]),
    ("pg-broker", ["--listen", "nowhere"]), ("pg-broker", ["--listen", "127.0.0.1:99999"]),
    ("pg-broker", ["--listen", "127.0.0.1:0x10"]),
    ("pg-broker", ["--admin", "nowhere"]), ("pg-broker", ["--public-url", "https://example.com/"]),
    ("pg-broker", ["--max-clients", "0"]),
    ("pg-broker", ["token", "--tunnel", "x"]), ("pg-broker", ["token"]), ("pg-broker", ["nonsense"])])
def test_bad_value(name, arguments, tmp_path):
    needed = {"pg-handler": ["--socket", str(tmp_path / "h")],
              "pg-broker": ["--open"]}[name] if arguments[0].startswith("--") else []
    if "--listen" not in arguments and name == "pg-broker" and needed:
        needed += ["--listen", f"unix:{tmp_path}/b"]
    done = run(name, *needed, *arguments)
    assert done.status == 2 and len(done.err.lines) == 1, done.last_words()


def test_bad_environment(tmp_path):
    done = run("pg-handler", "--socket", str(tmp_path / "h"), env={"PIPEGATE_WAIT_TIMEOUT": "soon"})
    assert done.status == 2 and "PIPEGATE_WAIT_TIMEOUT" in done.err.text()


def test_options_from_the_environment(own_stack, tmp_path):
    stack = own_stack([])
    program = Program("handler", [path_of("pg-handler")],
                      env={"PIPEGATE_SOCKET": str(tmp_path / "h"), "PIPEGATE_REDIS": stack.bus})
    program.await_line("the bus is up", stream="err")  # with the socket alone it has not begun: SIGTERM would be no end to expect 0 of
    assert is_listening(str(tmp_path / "h"))
    program.stop()


# --- settings that cannot work: one line that says which and how to mend it, exit 2

def refuses(name, arguments, *words, env=None, began=False):
    """`began`: it may have begun to serve when it finds out, and have said so."""
    done = run(name, *arguments, env=env)
    problems = [line for line in done.err.lines if not (began and re.match(r"\S+ (info|warn) ", line))]
    assert done.status == 2 and not done.out.lines and len(problems) == 1, done.last_words()
    for word in words:
        assert word in problems[0], done.last_words()


def needed(name, stack, tmp_path):
    return {"pg-handler": ["--socket", str(tmp_path / "h"), "--redis", stack.bus],
            "pg-broker": ["--listen", f"unix:{tmp_path}/b", "--redis", stack.bus, "--open"],
            "pg-client": ["--port", "80", "--server-url", "ws://127.0.0.1:1"]}[name]


def test_no_secret(stack, tmp_path):
    where = ["--listen", f"unix:{tmp_path}/b", "--redis", stack.bus]
    refuses("pg-broker", where, "--secret-file FILE or PIPEGATE_JWT_SECRET", "--open")
    refuses("pg-broker", [*where, "--secret-file", str(tmp_path / "none")], f"--secret-file {tmp_path}/none: No such file")
    refuses("pg-broker", [*where, "--secret-file", stack.secret_file, "--open"], "--open and --secret-file exclude each other")
    refuses("pg-broker", [*where, "--open"], "--open and PIPEGATE_JWT_SECRET exclude each other", env={"PIPEGATE_JWT_SECRET": "short"})
    (tmp_path / "conf").write_text("secret-file = /none\n")
    refuses("pg-broker", [*where, "--config", str(tmp_path / "conf")], f"{tmp_path}/conf line 1: secret-file exclude each other",
            env={"PIPEGATE_OPEN": "yes"})
    refuses("pg-broker", where, "PIPEGATE_JWT_SECRET", "at least 16 bytes", env={"PIPEGATE_JWT_SECRET": "short"})


def test_no_such_command():
    refuses("pg-broker", ["tokn", "--tunnel", "x"], 'there is no command "tokn"', "pg-broker token")


@pytest.mark.parametrize("name,line", [
    ("pg-handler", "admin = nowhere"), ("pg-handler", "redis = http://a"), ("pg-handler", "redis-password-file = /none"),
    ("pg-broker", "admin = nowhere"), ("pg-broker", "listen = nowhere"), ("pg-broker", "secret-file = /none"),
    ("pg-broker", "public-url = https://a/"), ("pg-broker", "redis = redis://user@a"), ("pg-broker", "share = yes"),
    ("pg-client", "target = ftp://a"), ("pg-client", "server-url = gopher://a"), ("pg-client", "token-file = /none"),
    ("pg-client", "ca = /none")])
def test_bad_value_in_the_file(name, line, tmp_path):
    """The line is named, not the flag that nobody gave."""
    settings = {"pg-handler": "socket = /nowhere/h\n", "pg-broker": "listen = 127.0.0.1:1\nopen = yes\n",
                "pg-client": "port = 1\nserver-url = ws://127.0.0.1:1/\n"}[name]
    option = line.partition(" ")[0]
    others = [each for each in settings.splitlines() if not each.startswith(option) and (option != "target" or "port" not in each)]
    (tmp_path / "conf").write_text("\n".join([*others, line]))
    refuses(name, ["--config", str(tmp_path / "conf")], f"{tmp_path}/conf line {len(others) + 1}: {option}")


@pytest.mark.parametrize("name", ["pg-handler", "pg-broker"])
def test_wrong_redis_password(own_stack, tmp_path, name):
    """Redis answers, and will never let us in: told at once, without the password."""
    stack = own_stack([])
    with stack.redis() as connection:
        connection.call("CONFIG", "SET", "requirepass", "the right one")
        (tmp_path / "password").write_text("a wrong one")
        more = needed(name, stack, tmp_path)
        refuses(name, [*more, "--redis-password-file", str(tmp_path / "password")], "--redis:", "WRONGPASS", "--redis-password-file",
                began=True)
        refuses(name, more, "--redis:", "NOAUTH", "--redis-password-file", began=True)
        refuses(name, [*more, "--redis-password-file", str(tmp_path / "none")], "--redis-password-file", "No such file")
        assert not os.path.exists(tmp_path / "h") and not os.path.exists(tmp_path / "b")
        # Nor by a user; and the password stands in one place.
        refuses(name, [*more, "--redis", "redis://someone@127.0.0.1"], "--redis:", "there is a user and no password")
        refuses(name, [*more, "--redis", "redis://:x@127.0.0.1", "--redis-password-file", str(tmp_path / "password")], "choose one")
        connection.call("CONFIG", "SET", "requirepass", "")
    assert stack.handler.alive() and stack.broker.alive(), "they were in before"


@pytest.mark.parametrize("name", ["pg-handler", "pg-broker"])
def test_user_with_a_password_in_a_file(own_stack, tmp_path, name):
    stack = own_stack([])
    port = ports.take()
    with stack.redis() as connection:
        connection.call("CONFIG", "SET", "port", str(port))
        connection.call("ACL", "SETUSER", "someone", "on", ">its password", "+@all", "~*", "&*")
    (tmp_path / "password").write_text("its password\n")
    more = [*needed(name, stack, tmp_path), "--redis", f"redis://someone@127.0.0.1:{port}", "--redis-password-file", str(tmp_path / "password")]
    program = Program(name, [path_of(name), *more, "--admin", f"unix:{tmp_path}/a"])
    until(lambda: is_listening(str(tmp_path / "a")) and admin(stack, "/-/readyz", path=str(tmp_path / "a"))[0] == 200, "it to be ready")
    program.stop()
    ports.give_back(port)


class FakeRedis:
    """Takes connections, and answers when it is told to: the same to every command."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.answer, self.told, self.connections = None, threading.Event(), []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.reply, args=(connection,), daemon=True).start()

    def reply(self, connection):
        self.told.wait(60)
        try:
            while data := connection.recv(65536):
                connection.sendall(self.answer * max(1, data.count(b"*")))
        except OSError:
            pass

    def say(self, answer):
        self.answer = answer
        self.told.set()

    def close(self):
        self.listener.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def fake_redis(tmp_path):
    fake = FakeRedis(str(tmp_path / "redis"))
    yield fake
    fake.close()


def test_handler_refused_by_redis_while_visitors_wait(fake_redis, tmp_path):
    """Those that it has taken are hung up on or answered; it ends with 2, whatever waits in its queue."""
    program = Program("handler", [path_of("pg-handler"), "--socket", str(tmp_path / "h"), "--redis", f"unix:{tmp_path}/redis"])
    program.await_line("serving FastCGI", stream="err")
    visitors = []
    for target in ("/-/metrics", f"/{new_tunnel()}/") * 40:
        visitors.append(fastcgi.Connection(str(tmp_path / "h")))
        visitors[-1].begin(fastcgi.params_of("GET", target), keep=True)
        visitors[-1].stdin()
    program.process.send_signal(signal.SIGSTOP)
    for target in ("/-/metrics", f"/{new_tunnel()}/") * 40:
        visitors.append(fastcgi.Connection(str(tmp_path / "h")))
        visitors[-1].begin(fastcgi.params_of("GET", target), keep=True)
        visitors[-1].stdin()
    fake_redis.say(b"-NOAUTH Authentication required.\r\n")
    program.process.send_signal(signal.SIGCONT)
    assert program.wait() == 2, program.last_words()
    program.check()
    for visitor in visitors:
        visitor.close()


def test_broker_refused_by_redis_while_clients_wait(fake_redis, stack, tmp_path):
    program = Program("broker", [path_of("pg-broker"), "--listen", f"unix:{tmp_path}/b", "--redis", f"unix:{tmp_path}/redis", "--open"])
    until(lambda: is_listening(str(tmp_path / "b")), "the broker to listen")
    tunnels = [new_tunnel() for _ in range(5)]
    clients = [Attacher(str(tmp_path / "b"), tunnel, stack.token(tunnel)) for tunnel in tunnels]
    fake_redis.say(b"-WRONGPASS invalid username-password pair\r\n")
    assert program.wait() == 2, program.last_words()
    program.check()
    for client in clients:
        client.close()


@pytest.mark.parametrize("name", ["pg-handler", "pg-broker"])
@pytest.mark.parametrize("error", ["MISCONF Redis is configured to save RDB snapshots, but cannot", "LOADING it", "ERR max number of clients reached"])
def test_trouble_that_passes_is_waited_for(fake_redis, stack, tmp_path, name, error):
    more = [*needed(name, stack, tmp_path), "--redis", f"unix:{tmp_path}/redis"]
    fake_redis.say(f"-{error}\r\n".encode())
    program = Program(name, [path_of(name), *more])
    program.await_line("it is not ready: " + error[:7], stream="err")
    until(lambda: len(fake_redis.connections) > 4, "it to try again")
    program.stop()


def test_redis_that_loads_is_waited_for(own_stack, tmp_path):
    """A full Redis that starts answers LOADING for a while: no reason to give up."""
    stack = own_stack([])
    with stack.redis() as connection:
        for i in range(40):
            connection.call("SET", f"k{i}", "x" * 1_000_000)
        connection.call("CONFIG", "SET", "save", "3600 1")
        connection.call("SAVE")
    stack.kill(stack.redis_program)
    stack.options["redis"] = ["--key-load-delay", "30000", "--loading-process-events-interval-bytes", "1024"]
    stack.start_redis(wait=False)
    program = Program("handler", [path_of("pg-handler"), "--socket", str(tmp_path / "h"), "--redis", stack.bus])
    program.await_line("LOADING", stream="err")
    until(lambda: fastcgi.healthz(str(tmp_path / "h")) == 200, "a healthy handler")
    program.stop()
    until(stack.redis_answers, "Redis to answer")


def test_taken_port_or_socket(stack, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = "%s:%d" % taken.getsockname()
        redis = ["--redis", stack.bus, "--open"]
        refuses("pg-broker", ["--listen", where, *redis], "--listen", where, "choose another port")
        refuses("pg-broker", ["--listen", f"unix:{tmp_path}/b", "--admin", where, *redis], "--admin", where, "choose another port")
    for name, option in (("handler", "--socket"), ("broker", "--listen")):
        path = stack.path(f"{name}.sock")
        at = path if name == "handler" else f"unix:{path}"
        more = [] if name == "handler" else ["--open"]
        refuses(f"pg-{name}", [option, at, "--redis", stack.bus, *more], option, path, "name another path")


@pytest.mark.parametrize("name", ALL)
def test_config_file(stack, tmp_path, name):
    config = tmp_path / "it.conf"
    arguments = [*needed(name, stack, tmp_path), "--config", str(config)]
    for text, words in (("log-levle = debug\n", ["line 1", 'no setting "log-levle"']),
                        ("# all\n\nlog-level = loud\n", ["error, warn, info or debug"]),
                        ("log-level\n", ["line 1", "name = value"])):
        config.write_text(text)
        refuses(name, arguments, *words)
    config.unlink()
    refuses(name, arguments, str(config), "No such file")


def test_options_from_a_file(stack, tmp_path):
    config = tmp_path / "handler.conf"
    config.write_text(f"# where\nsocket = {tmp_path}/h\nredis = {stack.bus}\nlog-level = error\n")
    program = Program("handler", [path_of("pg-handler"), "--config", str(config)])
    until(lambda: is_listening(str(tmp_path / "h")), "the handler to listen")
    assert fastcgi.healthz(str(tmp_path / "h")) == 200  # and so has begun
    program.stop()
    assert not program.err.lines


def test_token_with_the_broker_s_file(stack, tmp_path):
    config = tmp_path / "broker.conf"
    config.write_text(f"listen = unix:/nowhere\nsecret-file = {stack.secret_file}\n")
    done = run("pg-broker", "token", "--tunnel", new_tunnel(), "--config", str(config))
    assert done.status == 0 and done.out.text().startswith("eyJ"), done.last_words()


# --- logs

def lines_about(site, correlation):
    """What was logged about an exchange that failed; the handler at least says something."""
    site.stack.handler.await_line(correlation, stream="err")
    return [line for program in (site.stack.handler, site.client) for line in program.err.lines if correlation in line]


def test_json_logs(own_site):
    site = own_site(handler=["--log-format", "json", "--log-level", "debug"],
                    broker=["--log-format", "json", "--log-level", "debug"],
                    client=["--log-format", "json", "--log-level", "debug"])
    site.service.answer = lambda call: call.reset()
    assert site.get("/x").status == 502
    correlation = site.service.next().value("X-Pipegate-Correlation-Id")
    about = [json.loads(line) for line in lines_about(site, correlation)]
    assert all(line["exchange"] == correlation and line["tunnel"] == site.tunnel for line in about)
    for program in (site.stack.handler, site.stack.broker, site.client):
        assert all({"time", "level", "program", "message"} <= set(json.loads(line)) for line in program.err.lines)


def test_text_logs_name_exchange_and_tunnel(own_site):
    site = own_site(handler=["--log-level", "debug"], client=["--log-level", "debug"])
    site.service.answer = lambda call: call.reset()
    assert site.get("/x").status == 502
    correlation = site.service.next().value("X-Pipegate-Correlation-Id")
    assert all(site.tunnel in line for line in lines_about(site, correlation))


def test_log_level(own_site):
    site = own_site(handler=["--log-level", "error"], broker=["--log-level", "error"])
    assert site.get().status == 200
    assert not site.stack.handler.err.lines and not site.stack.broker.err.lines


def test_no_secret_in_any_log(own_site):
    site = own_site(handler=["--log-level", "debug"], broker=["--log-level", "debug"], client=["--log-level", "debug"])
    assert site.get("/", [("Authorization", "Basic c2VjcmV0"), ("Cookie", "session=c2VjcmV0")]).status == 200
    secret = open(site.stack.secret_file).read()
    for program in (site.stack.handler, site.stack.broker, site.client):
        text = program.err.text() + program.out.text()
        assert secret not in text and "c2VjcmV0" not in text and "eyJ" not in text, program.name


def test_request_log(own_site):
    site = own_site(handler=["--log-requests", "--log-format", "json"])

    def requests():
        return [line for line in map(json.loads, site.stack.handler.err.lines) if line["message"] == "request"]

    site.service.answer = lambda call: (call.read_body(), call.reply(201, body=b"12345"))
    assert site.request("POST", "/secret?token=not-for-logs", body=b"x" * 20_000).status == 201
    assert site.get("/", [(f"X-Large-{i}", "x" * 13_000) for i in range(4)]).status == 431
    site.service.answer = lambda call: call.reset()
    assert site.get("/").status == 502
    assert site.front.request("GET", "/nowhere").status == 404
    done, large, failed, nowhere = until(lambda: len(requests()) == 4 and requests(), "four lines")
    expected = {"method": "POST", "status": 201, "outcome": "relayed", "request_bytes": 20_000, "response_bytes": 5,
                "tunnel": site.tunnel, "peer": "127.0.0.1", "program": "pg-handler", "level": "info"}
    assert {key: done[key] for key in expected} == expected
    assert 0 < done["seconds"] < 20
    assert re.fullmatch(r"[0-9a-f-]{36}", done["exchange"])
    assert (large["status"], large["outcome"], failed["status"], failed["outcome"]) == (431, "header-too-large", 502, "local-service")
    assert (nowhere["status"], nowhere["outcome"]) == (404, "no-tunnel") and "tunnel" not in nowhere
    assert "not-for-logs" not in site.stack.handler.err.text(), "what stands in a target may be secret"


@pytest.mark.parametrize("format", ["text", "json"])
def test_request_log_cannot_be_forged(own_stack, format):
    """A method that is refused for what it is stands in the log as a harmless word."""
    stack = own_stack([], handler=["--log-requests", "--log-format", format])
    method = 'GET\nerror pg-handler: \x1b[2J all is lost status=200 "'
    assert fastcgi.request(stack.path("handler.sock"), fastcgi.params_of(method, f"/{new_tunnel()}/")).status == 400
    line = until(lambda: next((line for line in stack.handler.err.lines if "GET?" in line), None), "the line")
    assert "GET?error?pg-handler" in line and "\x1b" not in stack.handler.err.text()
    assert not any(line.startswith("error") for line in stack.handler.err.lines)
    assert format == "text" or json.loads(line)["status"] == 400


def test_no_request_log_unless_asked(any_site):
    assert any_site.get().status == 200
    assert "request" not in " ".join(line for line in any_site.stack.handler.err.lines if "info" in line and any_site.tunnel in line)


# --- signals

@pytest.mark.every_build
def test_handler_drains(own_site):
    """SIGTERM: what is in flight is answered, then exit 0; the front finds nobody for new requests."""
    site = own_site()
    release = threading.Event()

    def answer(call):
        assert release.wait(30)
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    site.service.answer = answer
    visitor = Background(site.get)
    site.service.next()
    site.stack.handler.process.send_signal(signal.SIGTERM)
    until(lambda: not is_listening(site.stack.path("handler.sock")), "the handler to take nothing new")
    assert site.stack.handler.alive()
    release.set()
    assert visitor.result().body == b"done"
    assert site.stack.handler.wait() == 0
    site.stack.running.remove(site.stack.handler)


@pytest.mark.every_build
def test_handler_drains_whom_it_has_accepted(own_site):
    """A front that connected before the SIGTERM may send its request after it, on a kept connection too; a silent one holds up nothing."""
    site = own_site()
    path, params = site.stack.path("handler.sock"), fastcgi.params_of("GET", f"/{site.tunnel}/")
    with fastcgi.Connection(path) as fresh, fastcgi.Connection(path) as kept, fastcgi.Connection(path) as silent:
        for _ in range(2):  # by the second response the handler has accepted all three, and the first request is over
            kept.begin(params, keep=True)
            kept.stdin()
            assert kept.response().body == b"ok"
        site.stack.handler.process.send_signal(signal.SIGTERM)
        site.stack.handler.await_line("stopping when", stream="err")
        for connection in (kept, fresh):
            connection.begin(params, keep=True)
            connection.stdin()
            assert connection.response().body == b"ok"
            assert connection.socket.recv(1) == b"", "the connection ends with the response"
        assert silent.socket.recv(1) == b""
    assert site.stack.handler.wait() == 0
    site.stack.running.remove(site.stack.handler)


@pytest.mark.parametrize("name", ["handler", "broker", "client"])
def test_second_signal_ends_at_once(own_site, name):
    site = own_site(handler=["--drain-timeout", "1s"])
    release = threading.Event()
    site.service.answer = lambda call: release.wait(30)
    Background(site.get)
    site.service.next()
    program = site.client if name == "client" else getattr(site.stack, name)
    site.stack.running.remove(program)
    program.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    while program.alive() and time.monotonic() - began < 5:
        program.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    program.wait(1)
    release.set()


def test_drain_has_an_end(own_site):
    site = own_site(handler=["--drain-timeout", "1s"])
    release = threading.Event()
    site.service.answer = lambda call: release.wait(30)
    Background(site.get)
    site.service.next()
    site.stack.running.remove(site.stack.handler)
    site.stack.handler.stop(deadline=10)
    release.set()


def test_broker_says_goaway(own_site):
    site = own_site(broker=["--drain-timeout", "200ms"])
    tunnel = new_tunnel()
    with Attacher(site.stack.path("broker.sock"), tunnel, site.stack.token(tunnel)) as attacher:
        attacher.receive(frames.ATTACHED)
        site.stack.broker.process.send_signal(signal.SIGTERM)
        attacher.receive(frames.GOAWAY)
    site.stack.end(site.stack.broker)
    site.stack.start_broker()


@pytest.mark.every_build
def test_drain_delay(own_site):
    """/-/readyz says 503 at once, and new requests and clients are served for a while: whoever balances by it leaves first."""
    site = own_site(handler=["--drain-delay", "2s"], broker=["--drain-delay", "2s"])
    handler, broker = site.stack.handler, site.stack.broker

    def ready():
        """(handler's, broker's)"""
        page = site.front.request("GET", "/-/readyz")
        return page.status, page.error, admin(site.stack, "/-/readyz")[0]

    assert ready() == (200, None, 200)
    began = time.monotonic()
    for program in (handler, broker):
        program.process.send_signal(signal.SIGTERM)
        program.await_line("not ready any more", stream="err")
    assert ready() == (503, "draining", 503)
    assert site.front.request("GET", "/-/healthz").status == 200 and admin(site.stack, "/-/healthz")[0] == 200
    assert site.get().status == 200
    tunnel = new_tunnel()
    with Attacher(site.stack.path("broker.sock"), tunnel, site.stack.token(tunnel)) as attacher:
        attacher.receive(frames.ATTACHED)
    assert time.monotonic() - began < 2, "the machine is too slow for this test"
    for program in (handler, broker):
        assert program.wait() == 0
        site.stack.running.remove(program)
    assert time.monotonic() - began >= 2


def test_readiness_follows_redis(own_site):
    site = own_site(attach=False)
    ready = lambda: (site.front.request("GET", "/-/readyz").status, admin(site.stack, "/-/readyz")[0])  # noqa: E731
    assert ready() == (200, 200)
    site.stack.kill(site.stack.redis_program)
    until(lambda: ready() == (503, 503), "both to be not ready")
    site.stack.start_redis()
    until(lambda: ready() == (200, 200), "both to be ready again")
