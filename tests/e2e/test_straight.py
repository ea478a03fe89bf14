"""Requests of a tunnel whose client was heard a moment ago: straight to its broker, and nothing is lost where it is not there any more."""
import re

import pytest

from kit import frames
from kit.attacher import Attacher
from kit.background import Background
from kit.stack import admin, new_tunnel
from kit.wait import until


def taken_from_lists(redis):
    """How often a broker has asked for what waits in a tunnel's list."""
    found = re.search(rb"cmdstat_lpop:calls=(\d+)", redis.call("INFO", "commandstats"))
    return int(found[1]) if found else 0


def not_taken(site):
    return int(re.search(rb"^pipegate_broker_requests_not_taken_total (\d+)", admin(site.stack, "/-/metrics")[1], re.M)[1])


@pytest.mark.every_build
def test_a_busy_tunnel_s_requests_do_not_wait_in_its_list(own_site):
    site = own_site()
    with site.stack.redis() as redis:
        assert site.get().status == 200
        before = taken_from_lists(redis)
        for _ in range(20):
            assert site.get().status == 200
        assert taken_from_lists(redis) - before <= 10 and not_taken(site) == 0


@pytest.mark.every_build
def test_a_client_that_has_just_gone_is_waited_for(own_site):
    """The broker, which has no session for it any more, says so at once: the request is in the list long before it would be sent again."""
    site = own_site()
    assert site.get().status == 200
    site.stack.end(site.client)
    with site.stack.redis() as redis:
        visitor = Background(lambda: site.request("POST", "/once", body=b"x"))
        until(lambda: redis.keys("*requests*"), "the request to wait in the list")
        assert not_taken(site) == 1
        site.stack.client(site.front, site.tunnel, site.service)
        assert visitor.result().status == 200
    assert [call.target for call in site.service.seen] == ["/", "/once"]


@pytest.mark.every_build
def test_a_broker_that_has_just_died_is_done_without(own_site):
    """What was sent straight to it is lost, and sent again by the list to the one after it."""
    site = own_site()
    assert site.get().status == 200
    site.stack.kill(site.stack.broker)
    visitors = [Background(lambda i=i: site.request("POST", f"/{i}", body=b"x")) for i in range(5)]
    site.stack.start_broker()
    assert [visitor.result().status for visitor in visitors] == [200] * 5
    assert sorted(call.target for call in site.service.seen) == ["/", *(f"/{i}" for i in range(5))]


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
            return not_taken(site) > 0
        until(is_full, "the broker to have enough before the client")
        waiting = {first.exchange: first}
        while len(waiting) < len(visitors):
            opened = client.receive(frames.OPEN)  # more than once, some of them
            waiting[opened.exchange] = opened
        for opened in waiting.values():
            client.send(frames.HEAD, frames.head(200), flags=frames.END, exchange=opened.exchange, handler=opened.handler)
        assert [visitor.result().status for visitor in visitors] == [200] * len(visitors)
