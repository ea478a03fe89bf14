"""A Redis that answers and will not serve: for good, or for a while."""
import os
import signal
import socket
import threading

import pytest

from kit import fastcgi, ports
from kit.attacher import Attacher
from kit.programs import Program, path_of
from kit.settings import needed, refuses
from kit.stack import admin, is_listening, new_tunnel
from kit.wait import until


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
