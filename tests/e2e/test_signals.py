"""What SIGTERM and SIGINT do: ends that nobody notices; and readiness, which tells of them."""
import contextlib
import fcntl
import os
import signal
import threading
import time

import pytest

from kit import fastcgi, frames
from kit.attacher import Attacher
from kit.background import Background
from kit.programs import Program, path_of
from kit.stack import admin, is_listening, new_tunnel
from kit.wait import until


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


SERVERS = {"pg-handler": ["--socket", "{}"], "pg-broker": ["--listen", "unix:{}", "--open"]}


def start_at(path, name, *more):
    """It serves at `path`, and has no Redis."""
    return Program(name, [path_of(name), *(word.format(path) for word in SERVERS[name]), "--redis", f"unix:{path}.nobody", *more])


@pytest.mark.parametrize("name", SERVERS)
def test_told_to_end_before_it_has_begun(tmp_path, name):
    """As soon as there is a socket, a signal ends it well, and the socket is gone."""
    path = str(tmp_path / "s")
    for _ in range(10):
        program = start_at(path, name)
        while not os.path.exists(path):
            assert program.alive(), program.last_words()
        program.process.send_signal(signal.SIGTERM)
        assert program.wait() == 0, program.last_words()
        assert not os.path.exists(path)
        program.check()


def files_of(program):
    """The paths of what it has open."""
    paths = set()
    for number in os.listdir(f"/proc/{program.pid}/fd"):
        with contextlib.suppress(OSError):  # closed by now
            paths.add(os.readlink(f"/proc/{program.pid}/fd/{number}"))
    return paths


@pytest.mark.parametrize("name", SERVERS)
def test_told_to_end_while_it_waits_for_a_shared_socket(tmp_path, name):
    path = str(tmp_path / "s")
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = start_at(path, name, "--share")
        until(lambda: path + ".lock" in files_of(program), "it to wait for the lock")
        program.process.send_signal(signal.SIGTERM)
        assert program.wait() == 2 and f"told to end while it waited for those that share {path}" in program.err.lines[-1]
