"""When one of the two ends dies: pg-client, or a pg-handler."""
import signal
import threading
import time

import pytest

import link
from kit.background import Background
from kit.programs import SLOW_BUILD
from kit.visitor import BrokenOff
from kit.wait import PATIENCE, until
from loads import Gets, Loads, Posts, piece_at

NO_LINK = link.missing()

# Two handlers share one socket, as README says.
FRONTS = pytest.mark.parametrize("front", ["caddy", "apache"])


class Held:
    """A local service whose answers wait; it counts what was delivered to which life of the client."""

    def __init__(self, world):
        self.world, self.release, self.deliveries = world, threading.Event(), {}
        self.arrived = threading.Semaphore(0)
        world.service.answer = self.serve

    def serve(self, call):
        body = call.read_body()
        key = (call.method, call.target, body)
        self.deliveries[key] = self.deliveries.get(key, 0) + 1
        if call.target == "/begun":
            call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        self.arrived.release()
        assert self.release.wait(60)
        try:
            call.reply(200, body=b"done " + body)
        except OSError:
            pass  # whoever asked is dead

    def await_arrivals(self, count):
        for _ in range(count):
            assert self.arrived.acquire(timeout=PATIENCE)


def begin_response(world):
    visitor = world.site.visit(60)
    visitor.send(f"GET {world.site.base}/begun HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    visitor.head()
    assert visitor.gather(4) == b"some"
    return visitor


def test_client_killed_and_started_again(world):
    here = world(handler_options=["--wait-timeout", "20s"])
    held = Held(here)
    site = here.site
    begun = Background(begin_response, here)
    held.await_arrivals(1)
    visitor = begun.result()
    get = Background(lambda: site.get("/get", deadline=60))
    put = Background(lambda: site.request("PUT", "/put", body=b"p", deadline=60))
    post = Background(lambda: site.request("POST", "/post", body=b"once", deadline=60))
    held.await_arrivals(3)
    until(lambda: here.metric("requests_waiting") == 0, "all to be acknowledged")
    here.stack.kill(here.client)
    away = Background(lambda: site.request("POST", "/unacknowledged", body=b"u", deadline=60))
    until(lambda: here.metric("requests_in_flight") == 5, "all to wait")
    began = time.monotonic()
    here.attach()
    lost = post.result(10)
    assert (lost.status, lost.error) == (502, "client-lost")
    with pytest.raises(BrokenOff):
        while visitor.some():
            pass
    visitor.close()
    assert SLOW_BUILD or time.monotonic() - began < 3, "a new way is taken within 3 s"
    held.release.set()
    for response, body in ((get, b"done "), (put, b"done p"), (away, b"done u")):
        answer = response.result(10)
        assert (answer.status, answer.body) == (200, body), answer
    assert held.deliveries[("POST", "/post", b"once")] == 1
    assert held.deliveries[("POST", "/unacknowledged", b"u")] == 1
    assert held.deliveries[("GET", "/get", b"")] == 2 and held.deliveries[("PUT", "/put", b"p")] == 2
    assert here.metric("dispatched_again_total") == 2
    here.nothing_left()


def on_both(here, count, visit, arrived):
    """`count` visits in flight on either handler: a stopped one takes none."""
    visits = []
    for asleep in (here.handlers[1], here.handlers[0]):
        asleep.process.send_signal(signal.SIGSTOP)
        visits += [Background(visit) for _ in range(count)]
        until(lambda: arrived() == len(visits), f"{len(visits)} requests to be in flight")
        asleep.process.send_signal(signal.SIGCONT)
    return visits


def outcome(visitor):
    """The status, or 502 where the front just hung up."""
    try:
        return visitor.result(20).status
    except BrokenOff:
        return 502


@FRONTS
def test_one_of_two_handlers_killed(world, front):
    """New requests go to the other one at once; what the dead one had is lost, and is not delivered again."""
    here = world(front, handlers=2, shared=True)
    release, taken = threading.Event(), []

    def answer(call):
        taken.append((call.method, call.read_body()))
        if call.method == "POST":
            assert release.wait(60)
        call.reply(200, body=b"ok")
    here.service.answer = answer
    posts = on_both(here, 6, lambda: here.site.request("POST", "/held", body=b"once", deadline=60), lambda: len(taken))
    here.stack.kill(here.handlers[0])
    for _ in range(50):
        began = time.monotonic()
        assert here.site.get().status == 200
        assert time.monotonic() - began < 3
    release.set()
    outcomes = [outcome(post) for post in posts]
    assert outcomes[6:] == [200] * 6 and all(status in (502, 503) for status in outcomes[:6]), outcomes
    assert [call for call in taken if call[0] == "POST"] == [("POST", b"once")] * 12, "none was delivered again"
    here.handlers[0] = here.start_handler(0)
    until(lambda: [here.site.get().status for _ in range(10)] == [200] * 10, "both to serve")


@FRONTS
def test_handler_drains(world, front):
    """SIGTERM: what is in flight is finished, new requests go elsewhere, exit 0, and no visitor sees anything of it."""
    here = world(front, handlers=2, shared=True)
    loads = Loads(here.site, 1, 1000, (Gets, Posts))
    release = threading.Event()
    loads.by_path["held"] = HeldPath(release)
    held = on_both(here, 4, lambda: here.site.request("POST", "/held/", body=b"x", deadline=60),
                   lambda: loads.by_path["held"].arrived)
    loads.start()
    for number in range(2):
        drained = here.handlers[number]
        here.stack.running.remove(drained)
        drained.process.terminate()
        drained.await_line("stopping when", stream="err")
        for _ in range(10):
            assert here.site.get("/gets/again").status == 200
        if number == 0:
            assert drained.alive(), "it waits for what it has"
            release.set()
        assert drained.wait() == 0, drained.last_words()
        here.handlers[number] = here.start_handler(number)
    for each in held:
        answer = each.result(20)
        assert (answer.status, answer.body) == (200, b"held"), answer
    loads.by_path["gets"].exchanges += 20  # ours
    loads.by_path["gets"].completed += 20
    for load in loads.all:
        load.stop.set()
    for load in loads.all:
        load.join()
    assert not loads.errors(), "\n".join(loads.errors()[:10])


class HeldPath:
    def __init__(self, release):
        self.release, self.arrived, self.lock = release, 0, threading.Lock()

    def serve(self, call):
        call.read_body()
        with self.lock:
            self.arrived += 1
        assert self.release.wait(60)
        call.reply(200, body=b"held")


def test_a_client_that_never_comes_back(world):
    """After the deadline: 503, or an abort after the head, and nothing is left anywhere."""
    here = world(handler_options=["--path-timeout", "2s", "--wait-timeout", "3s"], broker_options=["--remember", "1m"])
    held = Held(here)
    begun = Background(begin_response, here)
    held.await_arrivals(1)
    visitor = begun.result()
    post = Background(lambda: here.site.request("POST", "/post", body=b"x" * 3_000_000, deadline=60))
    held.await_arrivals(1)
    here.stack.kill(here.client)
    waiting = Background(lambda: here.site.get("/waits", deadline=60))
    answer = waiting.result(10)
    assert (answer.status, answer.error) == (503, "client-away")
    answer = post.result(40)
    assert (answer.status, answer.error) == (503, "client-away")
    with pytest.raises(BrokenOff):
        while visitor.some():
            pass
    visitor.close()
    here.nothing_left()
    held.release.set()


def whatever_is_there(visitor):
    """What has come for a visitor by now, a little at a time, but no more than 100 KB."""
    got = b""
    visitor.socket.settimeout(0.2)
    try:
        while len(got) < 100_000:
            got += visitor.some()
    except TimeoutError:
        pass  # the rest is on its way
    visitor.socket.settimeout(60)
    return got


@pytest.mark.skipif(bool(NO_LINK), reason=NO_LINK or "")
def test_a_long_outage(world):
    """Without a way for most of the time that an exchange may be without one: the client does not get slow meanwhile."""
    here, release = world(with_link=True), threading.Event()

    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsome")
        assert release.wait(90)
        call.send(b"more")
    here.service.answer = answer
    visitor = here.site.visit(90)
    visitor.send(f"GET {here.site.base}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    visitor.head()
    assert visitor.gather(4) == b"some"
    here.link.down()
    release.set()
    time.sleep(here.random.uniform(45, 48))  # the outage itself
    here.link.up()
    began = time.monotonic()
    assert visitor.gather(4) == b"more"
    assert SLOW_BUILD or time.monotonic() - began < 3
    visitor.close()
    here.nothing_left()


def test_a_slow_visitor_during_an_outage(world):
    """What is kept for sending again counts against the window: nothing grows while nobody reads and nothing gets through."""
    size = 64 << 20
    here = world()

    def answer(call):
        call.read_body()
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        sent = 0
        try:
            while sent < size:
                piece = piece_at(sent, min(65536, size - sent))
                call.send(piece)
                sent += len(piece)
        except OSError:
            pass
    here.service.answer = answer
    programs = [here.stack.handler, here.client]
    before = sum(program.rss_kb() for program in programs)
    visitors = []
    for _ in range(10):
        visitor = here.site.visit(60, receive_buffer=4096)
        visitor.send(f"GET {here.site.base}/x HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        visitor.head()
        visitors.append(visitor)
    got = [visitor.gather(10_000) for visitor in visitors]
    here.stack.kill(here.stack.broker)
    got = [first + whatever_is_there(visitor) for visitor, first in zip(visitors, got)]
    here.stack.start_broker()
    here.reattached()
    grown = sum(program.rss_kb() for program in programs) - before
    assert SLOW_BUILD or grown <= 10 * 2 * 1024 + 8 * 1024, f"{grown} KB"
    for visitor, first in zip(visitors, got):
        first += visitor.gather(5_000_000)
        assert first == piece_at(0, len(first))
        visitor.close()
    here.nothing_left()
