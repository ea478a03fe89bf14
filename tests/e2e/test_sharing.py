"""Several handlers and several brokers on one socket each (--share)."""
import os
import signal
import stat

import pytest

from kit.background import Background
from kit.programs import run
from kit.stack import Site, new_tunnel
from kit.wait import until


@pytest.fixture
def shared_site(own_stack, own_service, front_name):
    """A site whose handler and broker share their sockets; one_more joins them."""
    stack = own_stack([front_name], handler=["--share"], broker=["--share"])
    site = Site(stack, stack.fronts[front_name], new_tunnel(), own_service())
    site.client = stack.client(site.front, site.tunnel, site.service)
    return site


def one_more(stack, kind, number):
    """A process that joins those of its kind; they are told apart by their number."""
    first = getattr(stack, kind)
    start = {"handler": stack.start_handler, "broker": stack.start_broker}[kind]
    program = start(number=number, at=stack.path(f"{kind}.sock"))
    first.await_line("is served by one more process", stream="err")
    return program


@pytest.mark.every_build
def test_handlers_share_a_socket(shared_site):
    """New ones join, any of them may die or end, and nobody sees it; the socket's mode stays private."""
    site, stack = shared_site, shared_site.stack
    path = stack.path("handler.sock")
    assert stat.S_IMODE(os.stat(path).st_mode) == stat.S_IMODE(os.stat(path + ".share").st_mode) == 0o660
    second = one_more(stack, "handler", 1)
    stack.kill(stack.handler)
    assert [site.get().status for _ in range(20)] == [200] * 20
    third = stack.start_handler(number=2, at=path)
    second.await_line("is served by one more process", stream="err")
    stack.end(second)
    assert [site.get().status for _ in range(20)] == [200] * 20
    assert os.path.exists(path), "it was not the last one"
    stack.end(third)
    assert not os.path.exists(path) and not os.path.exists(path + ".share")
    stack.start_handler()
    until(site.works, "a handler to serve again")


def test_who_drains_leaves_what_waits_to_the_others(shared_site):
    """A connection that nobody has accepted when one handler ends is accepted by another."""
    site, stack = shared_site, shared_site.stack
    second = one_more(stack, "handler", 1)
    for program in (stack.handler, second):
        program.process.send_signal(signal.SIGSTOP)  # what comes now waits in the socket's queue
    waiting = [Background(site.get) for _ in range(5)]
    stack.kill(stack.handler)
    second.process.send_signal(signal.SIGCONT)
    outcomes = [each.result().status for each in waiting]
    # Apache may have sent some on connections that the killed one had.
    assert outcomes.count(200) >= 1 and set(outcomes) <= {200, 503}, outcomes
    if site.name == "caddy":
        assert outcomes == [200] * 5


@pytest.mark.every_build
def test_brokers_share_a_socket(shared_site):
    """The client of one that ends or dies attaches at another, by the same socket."""
    site, stack = shared_site, shared_site.stack
    path = stack.path("broker.sock")
    second = one_more(stack, "broker", 1)
    stack.end(stack.broker)
    assert [site.get().status for _ in range(5)] == [200] * 5
    second.await_line(site.tunnel, stream="err")
    third = stack.start_broker(number=2, at=path)
    second.await_line("is served by one more process", stream="err")
    stack.kill(second)
    assert site.get().status == 200
    third.await_line(site.tunnel, stream="err")
    stack.broker = third


def test_sharing_needs_a_path():
    for name, arguments, words in (("pg-handler", ["--share"], "--share needs --socket PATH"),
                                   ("pg-broker", ["--share", "--open", "--listen", "127.0.0.1:0"], "--share needs --listen unix:PATH")):
        done = run(name, *arguments)
        assert done.status == 2 and len(done.err.lines) == 1 and words in done.err.text()


def test_a_socket_that_is_not_shared_is_not_joined(any_site):
    done = run("pg-handler", "--socket", any_site.stack.path("handler.sock"), "--share", "--redis", any_site.stack.bus)
    assert done.status == 2 and len(done.err.lines) == 1 and "is in use" in done.err.text()
    assert any_site.get().status == 200
