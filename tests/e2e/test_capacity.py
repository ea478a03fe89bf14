"""How much of everything: requests in flight, attached clients, memory. Release build only."""
import os

import pytest

from kit.attacher import Attacher
from kit.background import Background
from kit.crowd import PatientService, QuietAttacher, Visitors, raise_limit
from kit.stack import new_tunnel
from kit.wait import until

pytestmark = pytest.mark.release_only

IN_FLIGHT = 5000
CLIENTS = 10_000


@pytest.fixture(autouse=True)
def descriptors():
    if raise_limit(CLIENTS + 2000) < CLIENTS + 1000:
        pytest.fail("needs some 12,000 file descriptors: raise the hard limit (ulimit -Hn)")


def given_back(*programs, mb=16):
    """What so many at once had is not kept when they are gone."""
    until(lambda: all(p.rss_kb() <= mb * 1024 for p in programs),
          lambda: f"memory to be given back: {({p.name: (p.rss_kb(), p.peak_kb()) for p in programs})} KB now and at most")


def test_5000_requests_in_flight(own_stack, front_name):
    service = PatientService(IN_FLIGHT, 10)
    stack = own_stack([front_name], clients=IN_FLIGHT + 200,
                      handler=["--max-in-flight", "6000", "--max-tunnel-in-flight", "6000", "--max-waiting", "6000"])
    front, tunnel = stack.fronts[front_name], new_tunnel()
    client = stack.client(front, tunnel, service, "--max-concurrent", "6000", "--quiet", wait=False)
    raw = f"GET {front.prefix}/{tunnel}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    client.await_line("(?i)attached", stream="err")
    visitors = Visitors(front.address, raw, IN_FLIGHT)
    assert service.all_there.wait(60), f"only {service.most} were in flight at once; {visitors.results}"
    threads, memory = stack.handler.threads(), stack.handler.rss_kb()
    results = visitors.join(60)
    service.close()
    assert results == {"HTTP/1.1 200 OK complete": IN_FLIGHT}
    assert threads <= 32 and memory <= 150 * 1024, (threads, memory)
    assert stack.handler.peak_kb() <= 150 * 1024
    given_back(stack.handler, stack.broker, client, mb=32 if front_name == "apache" else 16)  # Apache keeps its connections


def test_memory_of_an_outage_is_given_back(own_stack):
    """What is in hand while there is no way, here the whole responses in the client, is free only when there is one again."""
    many, body = 1000, b"x" * 55_000 + b"patient"
    service = PatientService(many, 0, body, waits=True)
    stack = own_stack(["caddy"], clients=many + 200)
    front, tunnel = stack.fronts["caddy"], new_tunnel()
    client = stack.client(front, tunnel, service, wait=False)
    client.await_line("(?i)attached", stream="err")
    raw = f"GET {front.prefix}/{tunnel}/outage HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    visitors = Visitors(front.address, raw, many)
    assert service.all_there.wait(60), f"only {service.most} were in flight at once; {visitors.results}"
    stack.kill(stack.redis_program)
    service.answer()
    until(lambda: sum("/outage" in line for line in client.out.lines) == many, "the client to have all responses")
    held = client.rss_kb()
    stack.start_redis()
    assert visitors.join(60) == {"HTTP/1.1 200 OK complete": many}
    service.close()
    assert held >= 40 * 1024, f"{held} KB: the client had nothing in hand that could be given back"
    given_back(stack.handler, stack.broker, client)


def test_10000_idle_clients(own_stack):
    stack = own_stack([], broker=["--ping-interval", "10m", "--max-clients", str(CLIENTS + 100)])
    address = stack.path("broker.sock")
    tunnel = new_tunnel()
    with Attacher(address, tunnel, stack.token(tunnel)) as first:
        first.receive()
    before = stack.broker.rss_kb()
    attached = []
    for _ in range(CLIENTS):
        tunnel = new_tunnel()
        attached.append(QuietAttacher(address, tunnel, stack.token(tunnel)))
    each = (stack.broker.rss_kb() - before) / CLIENTS
    assert each <= 25, f"{each:.1f} KB a client"
    # They are served, not only kept: the last one and the first one get their pings answered.
    for attacher in (attached[0], attached[-1]):
        attacher.ping()
    for attacher in attached:
        attacher.close()
    given_back(stack.broker)


def test_idle_memory(own_site):
    site = own_site()
    for _ in range(20):
        assert site.get().status == 200
    memory = {p.name: p.rss_kb() for p in (site.stack.handler, site.stack.broker, site.client)}
    assert all(kb <= 8 * 1024 for kb in memory.values()), memory


class Growth:
    """Peak memory of all our processes and Redis together, over what they had."""

    def __init__(self, site):
        self.programs = [site.stack.handler, site.stack.broker, site.client, site.stack.redis_program]
        self.before = [p.rss_kb() for p in self.programs]

    def kb(self):
        return {p.name: max(0, p.peak_kb() - before) for p, before in zip(self.programs, self.before)}

    def check(self):
        assert sum(self.kb().values()) <= 32 * 1024, self.kb()


SIZE = 400_000_000
BLOCK = b"x" * 1_000_000


def test_download_takes_no_memory(own_site):
    site = own_site()
    site.get()
    growth = Growth(site)

    def answer(call):
        call.send(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        for _ in range(SIZE // len(BLOCK)):
            call.send(BLOCK)
    site.service.answer = answer
    with site.visit(60) as visitor:
        visitor.send(f"GET {site.base}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        visitor.head()
        got = 0
        while piece := visitor.some():
            got += len(piece)
    assert got == SIZE
    growth.check()


def test_upload_takes_no_memory(own_site):
    site = own_site()
    site.get()
    growth, got = Growth(site), [0]

    def answer(call):
        while piece := call.some():
            got[0] += len(piece)
        call.body = b""
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    site.service.answer = answer
    with site.visit(60) as visitor:
        visitor.send(f"PUT {site.base}/ HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        for _ in range(SIZE // len(BLOCK)):
            visitor.send(BLOCK)
        assert visitor.response().status == 200
    assert got[0] == SIZE
    growth.check()


def test_stalled_visitors_take_little_memory(own_site):
    """Many visitors who do not read: what waits for each is bounded, and everybody else is served."""
    site = own_site(client=["--max-concurrent", "200"])
    site.get()
    growth = Growth(site)

    def answer(call):
        if call.target == "/big":
            call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(100):
                call.send(BLOCK)
        else:
            site.service.default(call)
    site.service.answer = answer
    stalled = []
    for _ in range(20):
        visitor = site.visit(receive_buffer=65536)
        visitor.send(f"GET {site.base}/big HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        visitor.head()
        stalled.append(visitor)
    for _ in range(50):
        assert site.get("/small").body == b"ok"
    for visitor in stalled:
        visitor.close()
    # What waits is in two places: what was not acknowledged in the client, and as much on the way, in Redis or in the handler. Each
    # process by itself, since their peaks are not at one time: what the handler has now may have been in Redis before.
    windows, kept, buffers = 16 * 1024 + 4 * 256, 6 * 1024, 20 * 192  # PG_HEAP_SPARE_MAX; libcurl's, a transfer
    limits = {"handler": windows + kept, "broker": kept + 2 * 1024, "client": windows + kept + buffers, "redis": windows + 1024}
    grown = growth.kb()
    assert all(grown[name] <= limit for name, limit in limits.items()), (grown, limits)


def test_descriptors_do_not_leak(own_site):
    site = own_site()
    programs = [site.stack.handler, site.stack.broker, site.client]

    def load():
        visitors = [Background(lambda: [site.request("PROPFIND", "/", body=os.urandom(1000)) for _ in range(40)])
                    for _ in range(10)]
        for visitor in visitors:
            visitor.result(60)
    load()  # until every pool has what it keeps
    before = [p.descriptors() for p in programs]
    load()
    load()
    after = [p.descriptors() for p in programs]
    assert all(b <= a + 12 for a, b in zip(before, after)), (before, after)
