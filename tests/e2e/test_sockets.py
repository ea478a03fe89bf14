"""Where the programs listen: their own sockets, those of spawn-fcgi and systemd; and their way to Redis."""
import os
import signal
import socket
import stat

import pytest

from kit import fastcgi, frames, ports
from kit.attacher import Attacher
from kit.programs import Program, found, path_of, run
from kit.stack import is_listening, new_tunnel
from kit.wait import until


def test_handler_takes_unix_and_path_too(stack, tmp_path):
    """As addresses are written everywhere else."""
    program = Program("handler", [path_of("pg-handler"), "--socket", f"unix:{tmp_path}/n", "--redis", stack.bus])
    program.await_line("the bus is up", stream="err")
    assert is_listening(str(tmp_path / "n"))
    program.stop()


def test_handler_socket_is_0660(stack):
    assert stat.S_IMODE(os.stat(stack.path("handler.sock")).st_mode) == 0o660


def test_handler_takes_over_a_stale_socket(own_stack, tmp_path):
    stack = own_stack([])
    stack.kill(stack.handler)
    assert os.path.exists(stack.path("handler.sock")), "it could not clean up"
    stack.start_handler()
    until(lambda: fastcgi.healthz(stack.path("handler.sock")) == 200, "a healthy handler")


def test_handler_does_not_steal_a_socket_in_use(stack):
    done = run("pg-handler", "--socket", stack.path("handler.sock"), "--redis", stack.bus)
    assert done.status not in (0, None) and done.err.lines
    assert fastcgi.healthz(stack.path("handler.sock")) == 200


def test_handler_on_descriptor_0(own_stack):
    """As spawn-fcgi starts it."""
    stack = own_stack([])
    path = stack.path("fd0.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        program = Program("handler", [path_of("pg-handler"), "--redis", stack.bus], stdin=listener)
    until(lambda: fastcgi.healthz(path) == 200, "a healthy handler")
    program.stop()


def test_handler_by_spawn_fcgi(own_stack):
    stack = own_stack([])
    path = stack.path("spawned.sock")
    program = Program("handler", [found("spawn-fcgi"), "-n", "-s", path, "--", path_of("pg-handler"), "--redis", stack.bus])
    until(lambda: is_listening(path), "spawn-fcgi to listen")
    until(lambda: fastcgi.healthz(path) == 200, "a healthy handler")
    program.stop()


@pytest.mark.parametrize("which", ["handler", "broker"])
def test_socket_from_systemd(own_stack, which):
    """Socket activation: descriptor 3, LISTEN_FDS and LISTEN_PID."""
    stack = own_stack([])
    path = stack.path("activated.sock")
    command = {"handler": ["pg-handler"], "broker": ["pg-broker", "--secret-file", stack.secret_file]}[which]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        listener.set_inheritable(True)
        # The shell becomes the program, so that LISTEN_PID is its own.
        script = f'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&{listener.fileno()}'
        program = Program(which, ["/bin/bash", "-c", script, "-", path_of(command[0]), *command[1:], "--redis", stack.bus],
                          pass_fds=[listener.fileno()])
    if which == "handler":
        until(lambda: fastcgi.healthz(path) == 200, "a healthy handler")
    else:
        tunnel = new_tunnel()
        with Attacher(path, tunnel, stack.token(tunnel)) as attacher:
            attacher.receive(frames.ATTACHED)
    program.stop()


@pytest.mark.parametrize("which", ["handler", "broker"])
def test_tells_systemd(own_stack, which, tmp_path):
    """sd_notify: READY=1 when it listens, STOPPING=1 when it drains."""
    stack = own_stack([])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(20)
        notify.bind(str(tmp_path / "notify"))
        command = {"handler": ["pg-handler", "--socket", stack.path("n.sock")],
                   "broker": ["pg-broker", "--listen", f"unix:{stack.path('n.sock')}", "--secret-file",
                              stack.secret_file]}[which]
        program = Program(which, [path_of(command[0]), *command[1:], "--redis", stack.bus],
                          env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert b"READY=1" in notify.recv(4096)
        assert os.path.exists(stack.path("n.sock"))
        program.process.send_signal(signal.SIGTERM)
        assert b"STOPPING=1" in notify.recv(4096)
        assert program.wait() == 0
        program.check()


def test_redis_over_tcp_with_a_password(tmp_path):
    port = ports.take()
    server = Program("redis",
                     [found("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "pass w@rd",
                               "--save", "", "--dir", str(tmp_path)])
    server.await_line("Ready to accept connections")
    path, password_file = str(tmp_path / "h"), tmp_path / "password"
    password_file.write_text("pass w@rd\n")
    pipe, end = os.pipe()  # as in --redis-password-file <(pass show redis)
    with open(end, "wb") as writing:
        writing.write(b"pass w@rd\n")
    for login, more in (("default:pass%20w%40rd@", []), ("", ["--redis-password-file", str(password_file)]),
                        ("", ["--redis-password-file", "/dev/stdin"])):
        program = Program("handler", [path_of("pg-handler"), "--socket", path,
                                      "--redis", f"redis://{login}127.0.0.1:{port}/1", *more], stdin=pipe)
        until(lambda: is_listening(path), "the handler to listen")
        until(lambda: fastcgi.healthz(path) == 200, "a healthy handler")
        program.stop()
        assert "w@rd" not in program.err.text() and "w%40rd" not in program.err.text()
    os.close(pipe)
    server.stop()
    ports.give_back(port)


def test_redis_is_checked_at_start(tmp_path):
    """Redis may come later: the handler starts, and is unhealthy until then."""
    program = Program("handler",
                      [path_of("pg-handler"), "--socket", str(tmp_path / "h"), "--redis", f"unix:{tmp_path}/nobody"])
    until(lambda: (tmp_path / "h").exists(), "the handler to listen")
    until(lambda: fastcgi.healthz(str(tmp_path / "h")) == 503, "an unhealthy handler")
    program.stop()


# --- what a kept connection carries after a response ---

def kept(site):
    """(the connection, what begins a request on it)"""
    connection = fastcgi.Connection(site.stack.path("handler.sock"))
    return connection, fastcgi.params_of("GET", f"/{site.tunnel}/")


def glued(params, before=b""):
    """A whole request without a body, behind other bytes, so that one read gets them all."""
    encoded = b"".join(fastcgi.pair(*p) for p in params)
    return before + fastcgi.record(fastcgi.BEGIN, b"\0\1\1" + bytes(5)) + fastcgi.record(fastcgi.PARAMS, encoded) + \
        fastcgi.record(fastcgi.PARAMS) + fastcgi.record(fastcgi.STDIN)


@pytest.mark.every_build
def test_a_kept_connection_whose_request_ends_after_its_response(any_site):
    """Apache: the response overtakes the empty record that ends the request, and the next request stands behind that."""
    connection, params = kept(any_site)
    with connection:
        connection.begin(params, keep=True)
        for _ in range(200):
            assert connection.response().body == b"ok"
            connection.send(glued(params, fastcgi.record(fastcgi.STDIN))[:-8])
        assert connection.response().body == b"ok"
        connection.send(glued(params)[:-8])  # the end of the one before never comes
        assert connection.response().body == b"ok"


@pytest.mark.every_build
@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 20_000])
def test_a_kept_connection_whose_body_nobody_read(any_site, cut):
    """An answer before the body is in: the rest of that is passed over, wherever it is cut, and the connection goes on."""
    connection, params = kept(any_site)
    unwanted = fastcgi.params_of("POST", "/nothing-here", CONTENT_LENGTH="30000")
    body = fastcgi.record(fastcgi.STDIN, b"x" * 29_993, padding=7) + fastcgi.record(fastcgi.STDIN, b"y" * 7) + \
        fastcgi.record(fastcgi.STDIN)
    with connection:
        for _ in range(5):
            connection.begin(unwanted, keep=True)
            connection.send(body[:cut])
            assert connection.response().status == 404
            connection.send(glued(params, body[cut:]))
            assert connection.response().body == b"ok"
