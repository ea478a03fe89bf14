"""The client's link: cut, dead, taken over; and who is told what."""
import os
import re
import signal
import socket
import time

import pytest

from kit import frames
from kit.attacher import Attacher, HungUp, Refused
from kit.background import Background
from kit.logs import clients_attached
from kit.programs import Program, path_of
from kit.relay import Relay
from kit.stack import new_tunnel
from kit.wait import until


@pytest.fixture
def linked(own_stack, own_service, front_name):
    """A client that attaches through a relay."""
    relays = []

    class Linked:
        stack = own_stack([front_name])
        front = stack.fronts[front_name]
        tunnel, service = new_tunnel(), own_service()
        relay = Relay(front.address)
    relays.append(Linked.relay)
    Linked.client = Program("client", [path_of("pg-client"), "--target", Linked.service.target, "--server-url",
                                       f"ws://127.0.0.1:{Linked.relay.port}/{Linked.tunnel}"],
                            env={"PIPEGATE_TOKEN": Linked.stack.token(Linked.tunnel)})
    Linked.stack.running.append(Linked.client)
    Linked.client.await_line(Linked.tunnel)
    assert Linked.front.works(Linked.tunnel)
    yield Linked
    for relay in relays:
        relay.close()


@pytest.mark.every_build
def test_cut_link_is_back_at_once(linked):
    for _ in range(3):
        began, links = time.monotonic(), len(linked.relay.links)
        linked.relay.cut()
        until(lambda: len(linked.relay.links) > links, "the client to connect anew")
        assert time.monotonic() - began < 3
        until(lambda: linked.front.works(linked.tunnel), "the tunnel to work again")


def test_dead_link_is_noticed_within_15_s(linked):
    linked.relay.freeze()
    began, links = time.monotonic(), len(linked.relay.links)
    until(lambda: len(linked.relay.links) > links, "the client to connect anew", 20)
    # The client notices after 15 s at most, and then waits 0.2 s to begin with.
    assert time.monotonic() - began < 17
    until(lambda: linked.front.works(linked.tunnel), "the tunnel to work again")


def test_a_sleep_is_noticed_on_waking(linked):
    """A laptop that slept finds its connection dead, and nobody there to say so. (A stopped process is as late as one that slept.)"""
    linked.relay.freeze()
    linked.client.process.send_signal(signal.SIGSTOP)
    time.sleep(10)  # the sleep: the heartbeat, due every 4 s at most, is 5 s late by then
    links = len(linked.relay.links)
    began = time.monotonic()
    linked.client.process.send_signal(signal.SIGCONT)
    linked.client.await_line("this machine was asleep; connecting again", stream="err")
    until(lambda: len(linked.relay.links) > links, "the client to connect anew")
    assert time.monotonic() - began < 1
    until(lambda: linked.front.works(linked.tunnel), "the tunnel to work again")


def test_backs_off(own_service):
    """A server that is away is tried again within 0.2 s, then less and less often, but at least every 10 s. Each wait is of any
    length up to its most, so that only many of them tell: none of eight is over half a second once in 100,000 runs."""
    most = [min(0.2 * 2 ** i, 10) for i in range(8)]
    times = []
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            times.append(time.monotonic())
            connection.close()
    Background(refuse)
    client = Program("client", [path_of("pg-client"), "--port", "1", "--server-url",
                                f"ws://127.0.0.1:{listener.getsockname()[1]}/{new_tunnel()}"])
    until(lambda: len(times) > len(most), "the attempts", sum(most) + 20)
    client.stop()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert all(gap < limit + 1 for gap, limit in zip(gaps, most)) and max(gaps) > 0.5, gaps


# --- against the broker, with a client of our own

@pytest.fixture
def broker(stack):
    return stack.path("broker.sock")


def test_attached_says_what_is_allowed(stack, broker):
    tunnel = new_tunnel()
    with Attacher(broker, tunnel, stack.token(tunnel)) as attacher:
        attached = attacher.receive(frames.ATTACHED)
        window = int.from_bytes(attached.payload[8:12], "big")
        largest = int.from_bytes(attached.payload[12:16], "big")
        assert window >= 65536 and largest == frames.MAX


@pytest.mark.every_build
def test_same_instance_replaces_itself(stack, broker):
    tunnel, instance = new_tunnel(), os.urandom(16)
    with Attacher(broker, tunnel, stack.token(tunnel), instance=instance) as first:
        first.receive(frames.ATTACHED)
        with Attacher(broker, tunnel, stack.token(tunnel), instance=instance) as second:
            second.receive(frames.ATTACHED)
            assert first.await_hangup()


def test_other_instance_is_refused_while_the_first_lives(stack, broker):
    tunnel = new_tunnel()
    with Attacher(broker, tunnel, stack.token(tunnel)) as first:
        first.receive(frames.ATTACHED)
        answering = Background(first.await_hangup)  # it answers pings
        with pytest.raises((Refused, HungUp)):
            with Attacher(broker, tunnel, stack.token(tunnel)) as second:
                second.receive(frames.ATTACHED)
        assert not answering.done(), "the first was dropped for the second"


def test_log_tells_who_was_attached(stack, broker):
    """One that is in another's way and goes away again never was."""
    tunnel = new_tunnel()

    def lines():
        return [line for line in stack.broker.err.lines if tunnel in line]
    with Attacher(broker, tunnel, stack.token(tunnel)) as first:
        first.receive(frames.ATTACHED)
        Attacher(broker, tunnel, stack.token(tunnel)).close()
        until(lambda: any("client not attached: the connection is closed" in line for line in lines()), "the second to go")
        assert clients_attached(lines()) == 1
    until(lambda: any("client detached: the connection is closed" in line for line in lines()), "the first to go")
    assert clients_attached(lines()) == 0


def test_other_instance_takes_over_a_dead_one(stack, broker):
    """The first has a connection, but nobody answers a ping on it."""
    tunnel = new_tunnel()
    with Attacher(broker, tunnel, stack.token(tunnel)) as first:
        first.receive(frames.ATTACHED)

        def attach():
            try:
                with Attacher(broker, tunnel, stack.token(tunnel)) as second:
                    second.receive(frames.ATTACHED)
                    return True
            except (Refused, HungUp):
                return False
        until(attach, "the broker to find out that the first is dead", 30)


@pytest.mark.parametrize("protocol", [None, "pipegate.v2", "chat"])
def test_another_subprotocol_is_no_client(stack, broker, protocol):
    tunnel = new_tunnel()
    with pytest.raises((Refused, HungUp)):
        with Attacher(broker, tunnel, stack.token(tunnel), protocol=protocol) as attacher:
            attacher.receive()


@pytest.mark.parametrize("target", ["/", "/x", "//", "/not-a-uuid", "/123e4567-e89b-12d3-a456-42661417400g"])
def test_no_tunnel_in_the_path(stack, broker, target):
    tunnel = new_tunnel()
    with pytest.raises((Refused, HungUp)):
        with Attacher(broker, tunnel, stack.token(tunnel), target=target) as attacher:
            attacher.receive()


@pytest.mark.parametrize("token", [None, "garbage"])
def test_the_front_leads_a_client_to_the_broker_and_nobody_else_in(stack, front_name, token):
    front, tunnel = stack.fronts[front_name], new_tunnel()
    with Attacher(front.address, tunnel, stack.token(tunnel), target=f"{front.prefix}/{tunnel}") as attacher:
        attacher.receive(frames.ATTACHED)
    with pytest.raises(Refused) as refused:
        Attacher(front.address, tunnel, token, target=f"{front.prefix}/{tunnel}")
    assert refused.value.status in (401, 403)


def test_plain_http_to_the_broker_is_refused(stack, broker):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(broker)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = connection.recv(65536)
    assert not answer or re.match(rb"HTTP/1\.[01] [45]\d\d", answer), answer


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_upgrade_by_another_method_is_refused(stack, broker, method):
    """RFC 6455 4.2.1."""
    tunnel = new_tunnel()
    with pytest.raises(Refused) as refused:
        Attacher(broker, tunnel, stack.token(tunnel), method=method)
    assert refused.value.status == 405


@pytest.mark.parametrize("upgrade", ["h2c", "websocket, h2c", "pipegate"])
def test_upgrade_to_anything_else_is_refused(stack, broker, upgrade):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(broker)
        connection.sendall(f"GET /{new_tunnel()} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n"
                           "HTTP2-Settings: AAMAAABkAAQAAP__\r\nSec-WebSocket-Protocol: pipegate.v1\r\n\r\n".encode())
        answer = connection.recv(65536)
    assert b" 101 " not in answer[:20]
