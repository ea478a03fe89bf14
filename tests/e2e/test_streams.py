"""Streaming both ways: events at once, downloads that start before they end, early answers, backpressure, broken-off ends."""
import os
import socket
import threading
import time

import pytest

from kit import fastcgi
from kit.background import Background
from kit.programs import SLOW_BUILD
from kit.visitor import BrokenOff
from kit.wait import PATIENCE, until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def get(site, target="/"):
    return f"GET {site.base}{target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


class Gate:
    """Lets the local service go on when the visitor says so."""

    def __init__(self):
        self.semaphore = threading.Semaphore(0)

    def open(self):
        self.semaphore.release()

    def wait(self):
        assert self.semaphore.acquire(timeout=PATIENCE), "nobody opened the gate"


@pytest.mark.every_build
@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_each_event_within_100_ms(site, framing):
    events, gate, sent = 20, Gate(), []

    def answer(call):
        line = {"chunked": b"Transfer-Encoding: chunked\r\n", "close": b"", "length": b"Content-Length: 200\r\n"}[framing]
        call.send(HEAD + line + b"\r\n")
        for i in range(events):
            gate.wait()
            event = b"data: %03d\n" % i
            sent.append(time.monotonic())
            call.chunk(event) if framing == "chunked" else call.send(event)
        call.send(b"0\r\n\r\n") if framing == "chunked" else None
        if framing == "close":
            call.close()
    site.service.answer = answer
    late = []
    with site.visit() as visitor:
        visitor.send(get(site))
        gate.open()
        visitor.head()
        for i in range(events):
            if i:
                gate.open()
            got = visitor.gather(10)
            late.append(time.monotonic() - sent[i])
            assert got == b"data: %03d\n" % i
        assert visitor.some() == b""
    # The sanitizers' slowness is not the programs'; there only a wait on purpose (a timer, a batch) counts.
    assert max(late) < (1.0 if SLOW_BUILD else 0.1), late


@pytest.mark.every_build
def test_download_starts_before_it_ends(site):
    gate = Gate()

    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        call.chunk(b"first")
        gate.wait()
        call.chunk(b"second")
        call.send(b"0\r\n\r\n")
    site.service.answer = answer
    with site.visit() as visitor:
        visitor.send(get(site))
        response = visitor.head()
        assert visitor.some() == b"first"
        gate.open()
        assert visitor.body(response).body == b"second"


def test_head_comes_before_the_first_event(site):
    """Apache keeps a head until there is something of the body."""
    gate = Gate()

    def answer(call):
        call.send(HEAD + b"\r\n")
        gate.wait()
        call.send(b"data: 1\n\n")
        call.close()
    site.service.answer = answer
    with site.visit(PATIENCE if site.front.head_alone else 1) as visitor:
        visitor.send(get(site))
        if not site.front.head_alone:
            with pytest.raises(TimeoutError):
                visitor.head()
            visitor.socket.settimeout(PATIENCE)
            gate.open()
        response = visitor.head()
        gate.open()
        assert response.status == 200 and visitor.body(response).body == b"data: 1\n\n"


def test_both_directions_at_once(any_site):
    """An echo: each piece comes back before the next is sent. Caddy reads the whole request first, and Apache reads no response
    while it waits for more of a request; so the handler is spoken to as a better front would."""
    size, rounds = 20_000, 5

    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * rounds))
        while piece := call.some():
            call.send(piece)
        call.body = b""
    any_site.service.answer = answer
    params = fastcgi.params_of("POST", f"/{any_site.tunnel}/", CONTENT_LENGTH=str(size * rounds))
    with fastcgi.Connection(any_site.stack.path("handler.sock")) as connection:
        connection.begin(params)
        out = b""
        for i in range(rounds):
            connection.stdin(b"%d" % i * size, end=i == rounds - 1)
            while not out.endswith(b"%d" % i * size):
                kind, content = connection.receive()
                assert kind == fastcgi.STDOUT
                out += content


@pytest.mark.every_build
def test_early_401_on_a_100_mb_put(site):
    """The answer arrives although the local service never reads the upload."""
    size, gate = 100_000_000, Gate()

    def answer(call):
        call.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno way")
        # As servers do: closing with bytes unread would reset the connection, and the answer might be lost.
        call.connection.socket.shutdown(socket.SHUT_WR)
        gate.wait()
    site.service.answer = answer
    with site.visit(60) as visitor:
        def upload():
            block = b"x" * 1_000_000
            try:
                visitor.send(f"PUT {site.base}/ HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
                for _ in range(size // len(block)):
                    visitor.send(block)
            except OSError:
                pass  # an early answer may end the connection
        sender = Background(upload)
        response = visitor.response()
        gate.open()
        assert (response.status, response.body, response.error) == (401, b"no way", None)
        sender.result()


def test_early_answer_leaves_the_tunnel_in_order(site):
    """After such an upload the next request gets its own answer."""
    def early(call):
        call.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        call.connection.socket.shutdown(socket.SHUT_WR)
        call.await_hangup()
    for _ in range(3):
        site.service.answer = early
        assert site.request("PUT", "/", body=b"x" * 3_000_000).status == 413
        site.service.answer = site.service.default
        assert site.request("PUT", "/", body=b"y" * 10).body == b"ok"


@pytest.mark.every_build
def test_slow_visitor_slows_the_local_service(site):
    """Nobody in between collects what the visitor does not read: the local service's send blocks."""
    total, sent = 200_000_000, [0]

    def answer(call):
        call.send(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        block = b"x" * 100_000
        while sent[0] < total:
            call.send(block)
            sent[0] += len(block)
    site.service.answer = answer
    with site.visit(receive_buffer=65536) as visitor:
        visitor.send(get(site))
        visitor.head()
        stopped_at = steady(lambda: sent[0])
        assert stopped_at < 40_000_000, f"{stopped_at} bytes were taken from the service for a visitor who reads nothing"
    # The visitor is gone: the service is told within a reasonable time (its next send fails).


def steady(value, seconds=1.5):
    """The value once it has not changed for a while."""
    last, since = value(), time.monotonic()
    end = since + 60
    while time.monotonic() - since < seconds:
        assert time.monotonic() < end, f"never settled; at {last}"
        now = value()
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.02)
    return last


def test_slow_local_service_slows_the_visitor(site):
    """An upload nobody reads stops."""
    gate = Gate()

    def answer(call):
        gate.wait()
        while call.some():
            pass
        call.body = b""
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    site.service.answer = answer
    total, sent = 60_000_000, [0]
    if not site.front.slows_uploads:
        before = site.front.program.rss_kb()
    with site.visit(90) as visitor:
        def upload():
            visitor.send(f"PUT {site.base}/ HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n".encode())
            block = b"x" * 100_000
            while sent[0] < total:
                visitor.send(block)
                sent[0] += len(block)
        sender = Background(upload)
        stopped_at = steady(lambda: sent[0])
        if not site.front.slows_uploads:  # then it is in files
            assert site.front.program.rss_kb() - before < 10_000
        gate.open()
        assert visitor.response().status == 200
        sender.result()
    assert stopped_at < 40_000_000 or not site.front.slows_uploads, \
        f"{stopped_at} bytes were taken from the visitor while the service read nothing"


def test_other_requests_pass_a_stalled_one(site):
    """A visitor who reads nothing holds up nobody else on the tunnel."""
    def answer(call):
        if call.target == "/big":
            call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
            for _ in range(500):
                call.send(b"x" * 100_000)
        else:
            site.service.default(call)
    site.service.answer = answer
    with site.visit(receive_buffer=65536) as stalled:
        stalled.send(get(site, "/big"))
        stalled.head()
        for _ in range(20):
            assert site.get("/small").body == b"ok"


def test_visitor_who_leaves_frees_the_local_service(site):
    ended = []

    def answer(call):
        try:
            call.send(HEAD + b"\r\n")
            while True:
                call.send(b"data: x\n\n")
                time.sleep(0.02)
        finally:
            ended.append(True)
    site.service.answer = answer
    with site.visit() as visitor:
        visitor.send(get(site))
        visitor.head()
        assert visitor.some()
    until(lambda: ended, "the local service to be told that the visitor left")


@pytest.mark.parametrize("answered", [False, True], ids=["before the head", "in a silent stream"])
def test_visitor_who_leaves_in_silence(site, answered):
    """A front that does not tell of it lets the local service work on, until there is something to send."""
    def answer(call):
        if answered:
            call.send(HEAD + b"\r\ndata: 1\n\n")
        try:
            call.connection.socket.settimeout(PATIENCE if site.front.notices_departure else 1.5)
            waited.append(call.connection.socket.recv(1))
        except (TimeoutError, ConnectionError) as error:
            waited.append(type(error))
    waited = []
    site.service.answer = answer
    with site.visit() as visitor:
        visitor.send(get(site))
        site.service.next()
        if answered:
            visitor.head()
            visitor.some()
    until(lambda: waited, "the local service to hear of it, or not")
    assert waited == [b""] if site.front.notices_departure else [TimeoutError]


def test_response_that_begins_before_the_upload_ends(site):
    """As git's does. No front passes both on at once, but each carries both to their ends."""
    def answer(call):
        first = call.some()
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        call.chunk(b"begun ")
        call.chunk(b"%d" % len(first + call.read_body()))
        call.send(b"0\r\n\r\n")
    response = site.answered(answer, "PUT", body=b"x" * 5_000_000)
    assert (response.status, response.body) == (200, b"begun 5000000")


def broken(site, head, part):
    """What a visitor sees of a response whose local service breaks off after `part`: "complete", "broken" or "stalled".

    Apache hangs up on the visitor only when a kept connection has been idle for its KeepAliveTimeout, 5 s."""
    gate = Gate()

    def answer(call):
        call.send(head, part)
        gate.wait()
        call.reset()
    site.service.answer = answer
    with site.visit(8) as visitor:
        visitor.send(get(site))
        visitor.head()
        try:
            visitor.gather(4)
            gate.open()
            while visitor.some():
                pass
            return "complete"
        except BrokenOff:
            return "broken"
        except TimeoutError:
            return "stalled"


@pytest.mark.every_build
def test_broken_off_with_a_length(site):
    assert broken(site, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"only") == "broken"


def test_broken_off_chunked(site):
    """Never complete and short. Debian's Caddy cannot be made to abort here; there the response stalls instead."""
    end = broken(site, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\nonly\r\n")
    assert end in (("broken",) if site.front.aborts_chunked else ("broken", "stalled"))


def test_broken_off_inside_a_chunk(site):
    end = broken(site, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10\r\nonly")
    assert end in (("broken",) if site.front.aborts_chunked else ("broken", "stalled"))


def test_broken_off_as_soon_as_it_begins(site):
    """Head, bytes and break come to the web server at once: it must not make a whole response of them. (lighttpd does.)"""
    def answer(call):
        call.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n")
        call.close()
    site.service.answer = answer

    def status():
        with site.visit(PATIENCE - 5 if site.front.aborts_chunked else 4) as visitor:
            visitor.send(get(site))
            response = visitor.head()
            while visitor.some():
                pass
            return response.status
    visitors = [Background(status) for _ in range(30 if site.front.aborts_chunked else 3)]
    for visitor in visitors:
        try:
            assert visitor.result() in (502, 503)
        except BrokenOff:
            pass
        except TimeoutError:
            assert not site.front.aborts_chunked, "it stalls"


def test_many_at_once(site):
    """Each of many parallel exchanges gets its own bytes."""
    def answer(call):
        body = call.read_body()
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    site.service.answer = answer
    def one(i):
        for j in range(4):
            body = os.urandom(1 + (i * 7919 + j * 104729) % 300_000)
            response = site.request("POST", f"/{i}/{j}", body=body, deadline=60)
            assert response.status == 200 and response.body == body
    for each in [Background(one, i) for i in range(24)]:
        each.result(90)
