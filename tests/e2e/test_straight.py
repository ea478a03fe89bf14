"""Requests of a tunnel whose client was heard a moment ago: straight to its broker, and nothing is lost where it is not there any more."""
import contextlib
import os
import re
import signal
import socket
import time

import pytest

from kit import fastcgi, frames
from kit.attacher import Attacher, HungUp
from kit.background import Background
from kit.stack import admin, new_tunnel
from kit.wait import until


def calls(redis, command):
    found = re.search(rb"cmdstat_" + command + rb":calls=(\d+)", redis.call("INFO", "commandstats"))
    return int(found[1]) if found else 0


def taken_from_lists(redis):
    """How often a broker has asked for what waits in a tunnel's list."""
    return calls(redis, b"lpop")


def not_taken(stack):
    return int(re.search(rb"^pipegate_broker_requests_not_taken_total (\d+)", admin(stack, "/-/metrics")[1], re.M)[1])


@pytest.mark.every_build
def test_a_busy_tunnel_s_requests_do_not_wait_in_its_list(own_site):
    site = own_site()
    with site.stack.redis() as redis:
        assert site.get().status == 200
        before = taken_from_lists(redis)
        for _ in range(20):
            assert site.get().status == 200
        assert taken_from_lists(redis) - before <= 10 and not_taken(site.stack) == 0


@pytest.mark.every_build
def test_a_client_that_has_just_gone_is_waited_for(own_site):
    site = own_site()
    assert site.get().status == 200
    site.stack.end(site.client)
    with site.stack.redis() as redis:
        visitor = Background(lambda: site.request("POST", "/once", body=b"x"))
        until(lambda: redis.keys("*requests*"), "the request to wait in the list")
        site.stack.client(site.front, site.tunnel, site.service)
        assert visitor.result().status == 200
    assert [call.target for call in site.service.seen] == ["/", "/once"]


class Straight:
    """A tunnel whose client, written here, was heard a moment ago."""

    def __init__(self, stack):
        self.stack, self.tunnel = stack, new_tunnel()
        self.client = self.attach(instance=os.urandom(16))
        self.hear()

    def attach(self, broker="broker.sock", instance=None):
        client = Attacher(self.stack.path(broker), self.tunnel, self.stack.token(self.tunnel), instance=instance)
        client.receive(frames.ATTACHED)
        return client

    def ask(self, target, body=b""):
        """A visitor's POST, in the background."""
        params = fastcgi.params_of("POST", f"/{self.tunnel}{target}", CONTENT_LENGTH=str(len(body)))
        return Background(lambda: fastcgi.request(self.stack.path("handler.sock"), params, body))

    def hear(self):
        visitor = self.ask("/heard")
        answer(self.client, self.client.receive(frames.OPEN))
        assert visitor.result().status == 200


def answer(client, opened):
    client.send(frames.HEAD, frames.head(200), flags=frames.END, exchange=opened.exchange, handler=opened.handler)


def target_of(opened):
    return frames.Open(opened.payload).target.decode()


def serve(client, given):
    """Answers what comes, until the connection ends, and notes the targets."""
    def run():
        with contextlib.suppress(HungUp, OSError):
            while True:
                opened = client.receive(frames.OPEN)
                given.append(target_of(opened))
                answer(client, opened)
    return Background(run)


@pytest.fixture
def straight(own_stack):
    straight = Straight(own_stack([]))
    yield straight
    straight.client.close()


@pytest.mark.release_only
def test_one_that_is_not_taken_is_in_the_list_at_once(straight):
    """The broker, which has no session for it any more, says so: long before it would be sent again for want of an acknowledgement."""
    straight.client.close()
    until(lambda: b"pipegate_broker_clients 0" in admin(straight.stack, "/-/metrics")[1], "the broker to know that it has gone")
    with straight.stack.redis() as redis:
        began = time.monotonic()
        visitor = straight.ask("/once")
        until(lambda: redis.keys("*requests*"), "the request to wait in the list")
        assert time.monotonic() - began < 0.3
        straight.client = straight.attach()
        answer(straight.client, straight.client.receive(frames.OPEN))
        assert visitor.result().status == 200


@pytest.mark.release_only
def test_one_that_was_lost_with_its_broker_comes_to_the_next_at_once(straight):
    straight.stack.start_broker(number=1)
    straight.hear()
    straight.stack.kill(straight.stack.broker)
    visitor = straight.ask("/once")
    client = straight.attach("broker2.sock", straight.client.instance)
    began = time.monotonic()
    answer(client, client.receive(frames.OPEN))
    assert visitor.result().status == 200 and time.monotonic() - began < 0.3
    client.close()


@pytest.mark.every_build
def test_redis_is_full_for_a_moment(straight):
    """Whose request could not be sent gets the answer that says so; those that the client has already are not touched."""
    with straight.stack.redis() as redis:
        visitors = [straight.ask(f"/{i}") for i in range(5)]
        opened = [straight.client.receive(frames.OPEN) for _ in visitors]
        redis.call("CONFIG", "SET", "maxmemory", "1")
        assert straight.ask("/late").result().status == 503
        redis.call("CONFIG", "SET", "maxmemory", "0")
    for each in opened:
        answer(straight.client, each)
    assert [visitor.result().status for visitor in visitors] == [200] * 5


@pytest.mark.every_build
def test_redis_forgets_the_tunnel_for_a_moment(straight):
    """A client acknowledges late: its request is pushed again meanwhile, and that there is no tunnel then means nothing."""
    visitor = straight.ask("/slow")
    opened = straight.client.receive(frames.OPEN)
    with straight.stack.redis() as redis:
        pushes = calls(redis, b"evalsha")
        redis.call("DEL", *redis.keys("*route*"))
        until(lambda: calls(redis, b"evalsha") > pushes + 1, "it to be pushed again, twice")
    answer(straight.client, opened)
    assert visitor.result().status == 200


@pytest.mark.every_build
def test_who_is_told_that_too_many_wait_is_not_served(own_stack):
    """A client does not read for a while: what its broker does not take overflows the list, and nothing else does."""
    straight = Straight(own_stack([], handler=["--max-waiting", "4"]))
    visitors = {f"/{i}": straight.ask(f"/{i}", b"x" * 12_000) for i in range(90)}
    until(lambda: any(visitor.done() for visitor in visitors.values()), "the first to be refused")
    given = []
    server = serve(straight.client, given)
    statuses = {target: visitor.result().status for target, visitor in visitors.items()}
    straight.client.socket.shutdown(socket.SHUT_RDWR)
    server.result()
    assert set(statuses.values()) == {200, 503}
    assert {target for target, status in statuses.items() if status == 200} == set(given)
    straight.client.close()


def in_redis(redis, text):
    """Does it lie in a list?"""
    keys = redis.keys("*inbox*") + redis.keys("*requests*")
    return any(text in each for key in keys for each in redis.call("LRANGE", key, 0, -1))


@pytest.mark.every_build
def test_who_hangs_up_before_the_broker_has_read_it_is_not_served(straight):
    broker, others = straight.stack.broker.process, []
    broker.send_signal(signal.SIGSTOP)
    with straight.stack.redis() as redis:
        def is_left_unread():  # the first are on their way to the broker: it had asked for them
            others.append(straight.ask("/other"))
            return in_redis(redis, b"/other")
        until(is_left_unread, "something to stay in the broker's inbox")
        with fastcgi.Connection(straight.stack.path("handler.sock")) as visitor:
            visitor.begin(fastcgi.params_of("POST", f"/{straight.tunnel}/gone", CONTENT_LENGTH="1"))
            visitor.stdin(b"x")
            until(lambda: in_redis(redis, b"/gone"), "the request to be in the broker's inbox")
        until(lambda: not in_redis(redis, b"/gone"), "the request to be taken back")
    broker.send_signal(signal.SIGCONT)
    given = []
    server = serve(straight.client, given)
    assert {other.result().status for other in [*others, straight.ask("/last")]} == {200}
    straight.client.socket.shutdown(socket.SHUT_RDWR)
    server.result()
    assert "/last" in given and "/gone" not in given


def test_a_broker_that_was_stopped_for_long_passes_nothing_on(straight):
    """Another life of the client has attached elsewhere, and may have done what lies in its inbox."""
    straight.stack.start_broker(number=1)
    straight.hear()
    broker = straight.stack.broker.process
    broker.send_signal(signal.SIGSTOP)
    try:
        visitor = straight.ask("/once")
        with straight.stack.redis() as redis:
            until(lambda: len(redis.keys("*alive*")) == 2, "the broker to be taken for dead")  # the handler, and the other one
        client = straight.attach("broker2.sock")
        opened = client.receive(frames.OPEN)
        # It acknowledges late: the copy in the inbox is still there when the broker goes on.
        broker.send_signal(signal.SIGCONT)
        until(lambda: not_taken(straight.stack) == 1, "the broker to refuse it")
    finally:
        broker.send_signal(signal.SIGCONT)
    answer(client, opened)
    assert visitor.result().status == 200
    client.close()


@pytest.mark.every_build
def test_a_client_that_does_not_read_is_not_overrun(own_site):
    """A broker that has much before a client passes no more on to it: the rest waits in the list, and comes when it reads."""
    site, tunnel = own_site(), new_tunnel()
    request = lambda target, body=None: Background(lambda: site.front.request("POST", f"/{tunnel}{target}", body=body))  # noqa: E731
    with Attacher(site.stack.path("broker.sock"), tunnel, site.stack.token(tunnel)) as client:
        client.receive(frames.ATTACHED)
        visitors = [request("/first")]
        first = client.receive(frames.OPEN)
        has_it = frames.ack((first.exchange, 0, 0))

        def is_full():
            client.send(frames.ACK, has_it, handler=first.handler)  # it is there, and reads nothing
            visitors.append(request(f"/{len(visitors)}", b"x" * 12_000))
            return not_taken(site.stack) > 0
        until(is_full, "the broker to have enough before the client")
        waiting = {first.exchange: first}
        while len(waiting) < len(visitors):
            opened = client.receive(frames.OPEN)  # more than once, some of them
            waiting[opened.exchange] = opened
        for opened in waiting.values():
            answer(client, opened)
        assert [visitor.result().status for visitor in visitors] == [200] * len(visitors)
