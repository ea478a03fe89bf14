"""A client with a good token that does everything lib/WIRE.md forbids: the broker and the handler drop it or its message, and
go on; no other tunnel is touched."""
import os
import random
import select
import struct
import threading
import time

import pytest

from kit import fastcgi, frames
from kit.attacher import BINARY, CLOSE, PING, TEXT, Attacher, HungUp, Refused
from kit.background import Background
from kit.programs import SLOW_BUILD
from kit.stack import new_tunnel
from kit.visitor import BrokenOff


class Victim:
    """An exchange of our own tunnel in the hands of the hostile client, and somebody else's healthy tunnel beside it."""

    def __init__(self, site):
        self.site = site
        self.tunnel = new_tunnel()
        self.attacher = Attacher(site.stack.path("broker.sock"), self.tunnel, site.stack.token(self.tunnel))
        self.attached = self.attacher.receive(frames.ATTACHED)

    def visit(self, method="GET", body=None):
        """A visitor asks for our tunnel; returns the OPEN."""
        self.visitor = Background(lambda: self.site.front.request(method, f"/{self.tunnel}/path?q", body=body))
        self.open = self.attacher.receive(frames.OPEN)
        return self.open

    def outcome(self):
        """The response, or BrokenOff."""
        try:
            return self.visitor.result()
        except BrokenOff as broken:
            return broken

    def reply(self, kind, payload=b"", **header):
        self.attacher.send(kind, payload, **{"exchange": self.open.exchange, "handler": self.open.handler, **header})

    def others_are_well(self):
        assert self.site.get("/healthy").body == b"ok"
        self.site.stack.check()


@pytest.fixture
def victim(any_site):
    victim = Victim(any_site)
    yield victim
    victim.attacher.close()
    victim.others_are_well()


# --- the good case, so that the bad ones below are known to differ in one thing only

@pytest.mark.every_build
def test_a_proper_exchange(victim):
    opened = frames.Open(victim.visit("POST", b"body").payload)
    assert (opened.method, opened.target, opened.body) == (b"POST", b"/path?q", b"body")
    victim.reply(frames.HEAD, frames.head(200, [(b"X-A", b"1")], b"answer"), flags=frames.END)
    response = victim.outcome()
    assert (response.status, response.body, response.value("X-A")) == (200, b"answer", "1")


def test_a_proper_stream(victim):
    victim.visit()
    victim.reply(frames.HEAD, frames.head(200, [(b"Content-Length", b"10")], b"01234"))
    victim.reply(frames.DATA, b"567", offset=5)
    victim.reply(frames.DATA, b"89", offset=8, flags=frames.END)
    assert victim.outcome().body == b"0123456789"


def test_repeated_and_overlapping_bytes_are_taken_once(victim):
    """After a way was lost the client sends again from what it knows: bytes that are known are skipped."""
    victim.visit()
    for _ in range(3):
        victim.reply(frames.HEAD, frames.head(200, [(b"Content-Length", b"10")], b"01234"))
    victim.reply(frames.DATA, b"234567", offset=2)
    victim.reply(frames.DATA, b"0123456789", offset=0)
    victim.reply(frames.DATA, b"89", offset=8, flags=frames.END)
    assert victim.outcome().body == b"0123456789"


# --- frames that are none: the connection is dropped

GOOD_HEAD = frames.head(200, [], b"")
NO_FRAMES = {
    "empty": b"", "one byte": b"\x01", "header cut": frames.frame(frames.ACK)[:47], "zeros": bytes(48), "ones": b"\xff" * 48,
    "version 0": frames.frame(frames.ACK, bytes(32), version=0), "version 2": frames.frame(frames.ACK, bytes(32), version=2),
    "type 0": frames.frame(0), "type 10": frames.frame(10), "type 255": frames.frame(255),
    "length too small": frames.frame(frames.ACK, bytes(32), length=31),
    "length too large": frames.frame(frames.ACK, bytes(32), length=33),
    "length enormous": frames.frame(frames.ACK, bytes(32), length=0xFFFFFFFF),
    "unknown flag": frames.frame(frames.HEAD, GOOD_HEAD, flags=0x40),
    "flag of another type": frames.frame(frames.ACK, bytes(32), flags=frames.END),
    "high flag": frames.frame(frames.HEAD, GOOD_HEAD, flags=0x8000),
    "ack empty": frames.frame(frames.ACK), "ack uneven": frames.frame(frames.ACK, bytes(33)),
    "ack of too many": frames.frame(frames.ACK, bytes(32 * 1025)),
    "ack with an offset": frames.frame(frames.ACK, bytes(32), offset=1),
    "data empty without end": frames.frame(frames.DATA), "data too long": frames.frame(frames.DATA, bytes(65313)),
    "head empty": frames.frame(frames.HEAD), "head cut": frames.frame(frames.HEAD, GOOD_HEAD[:7]),
    "reset cut": frames.frame(frames.RESET, b"\0"), "reset reason 0": frames.frame(frames.RESET, frames.reset(0)),
    "reset too long": frames.frame(frames.RESET, frames.reset(3, b"x" * 513)),
    "resume cut": frames.frame(frames.RESUME, bytes(15)),
    "resume long": frames.frame(frames.RESUME, bytes(17)),
    # From the wrong side: only a broker or a handler sends these.
    "attached": frames.frame(frames.ATTACHED, bytes(16)), "goaway": frames.frame(frames.GOAWAY),
    "resync": frames.frame(frames.RESYNC),
    "open": frames.frame(frames.OPEN, struct.pack(">QQIIHHIHH", 0, 0, 0, 38, 1, 0, 1, 0, 0) + b"G/"),
}


@pytest.mark.every_build
@pytest.mark.parametrize("case", NO_FRAMES)
def test_no_frame(victim, case):
    victim.attacher.send_message(NO_FRAMES[case])
    assert victim.attacher.await_hangup(), "the broker went on with a client that breaks the protocol"


NO_MESSAGES = {
    "text": lambda a: a.send_message(b"hello", TEXT), "message over the limit": lambda a: a.send_message(bytes(200_000)),
    "claims 2^62 bytes": lambda a: a.send_message(b"x", claimed=1 << 62),
    "claims 2^63": lambda a: a.send_message(b"x", claimed=(1 << 64) - 1),
    "reserved opcode": lambda a: a.send_message(b"x", 3), "reserved bits": lambda a: a.send_raw(b"\xf2\x81\0\0\0\0x"),
    "unmasked": lambda a: a.send_raw(b"\x82\x01x"), "long ping": lambda a: a.send_message(bytes(126), PING),
    "fragmented ping": lambda a: a.send_message(b"x", PING, final=False), "garbage": lambda a: a.send_raw(os.urandom(5000)),
    "http": lambda a: a.send_raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 10),
    "continuation of nothing": lambda a: a.send_message(frames.frame(frames.ACK, bytes(32)), 0),
    "close": lambda a: a.send_message(b"\x03\xe8bye", CLOSE),
    "close with a bad code": lambda a: a.send_message(b"\0", CLOSE),
}


@pytest.mark.parametrize("case", NO_MESSAGES)
def test_no_message(victim, case):
    try:
        NO_MESSAGES[case](victim.attacher)
        # Where a message only claims to be long, hanging up is for us: the broker waits, but with bounded memory.
        victim.attacher.await_hangup(5)
    except OSError:
        pass


def test_fragments(victim):
    """A message in several WebSocket frames is one message still."""
    victim.visit()
    whole = frames.frame(frames.HEAD, frames.head(200, [], b"x" * 3000), flags=frames.END, exchange=victim.open.exchange,
                         handler=victim.open.handler)
    victim.attacher.send_message(whole[:10], BINARY, final=False)
    victim.attacher.send_message(whole[10:2000], 0, final=False)
    victim.attacher.send_message(b"", PING)
    victim.attacher.send_message(whole[2000:], 0)
    assert victim.outcome().body == b"x" * 3000


def test_endless_fragments(victim):
    """A message that never ends is bounded, too."""
    try:
        victim.attacher.send_message(b"\x01", BINARY, final=False)
        for _ in range(300):
            victim.attacher.send_message(bytes(1000), 0, final=False)
        assert victim.attacher.await_hangup()
    except OSError:
        pass


# --- frames that are well-formed and wrong: for the handler to see

BAD_HEADS = {
    "status 0": frames.head(0), "status 101": frames.head(101), "status 199": frames.head(199),
    "status 600": frames.head(600),
    "status 65535": frames.head(65535), "fields cut": frames.head(200, [(b"X", b"1")])[:-1],
    "too few fields": frames.head(200, [(b"X", b"1")], count=2),
    "too many fields": frames.head(200, [(b"X", b"1")], count=0),
    "count 65535": frames.head(200, [], count=65535), "head length short": frames.head(200, [(b"X", b"1")], head_length=7),
    "head length 0": frames.head(200, head_length=0), "head length beyond": frames.head(200, head_length=60_000),
    "value length enormous": struct.pack(">HHI", 200, 1, 15) + struct.pack(">HI", 1, 0xFFFFFFFF) + b"X",
    "empty name": frames.head(200, [(b"", b"1")]), "name with a colon": frames.head(200, [(b"X:", b"1")]),
    "name with CRLF": frames.head(200, [(b"X\r\nY", b"1")]), "name with a space": frames.head(200, [(b"X Y", b"1")]),
    "value with CRLF": frames.head(200, [(b"X", b"1\r\nSet-Cookie: a=b")]),
    "value with LF": frames.head(200, [(b"X", b"1\n2")]),
    "value with NUL": frames.head(200, [(b"X", b"1\x002")]),
    "splits the response": frames.head(200, [(b"X", b"1\r\n\r\n<html>")]),
    "head too long": frames.head(200, [(b"X%d" % i, b"x" * 9000) for i in range(6)]),
}


@pytest.mark.every_build
@pytest.mark.parametrize("case", BAD_HEADS)
def test_bad_head(victim, case):
    victim.visit()
    victim.reply(frames.HEAD, BAD_HEADS[case], flags=frames.END)
    outcome = victim.outcome()
    assert outcome.status in (502, 503) and not outcome.has("Set-Cookie"), outcome


def test_status_field_cannot_forge_the_status(victim):
    """FastCGI's own way to give a status is a field named Status."""
    victim.visit()
    victim.reply(frames.HEAD, frames.head(200, [(b"Status", b"500 x"), (b"status", b"404"), (b"X-A", b"1")], b"ok"),
                 flags=frames.END)
    response = victim.outcome()
    assert (response.status, response.body) == (200, b"ok") and not response.has("Status")


def test_x_pipegate_error_cannot_be_forged(victim):
    victim.visit()
    victim.reply(frames.HEAD, frames.head(200, [(b"X-Pipegate-Error", b"no-tunnel")], b"ok"), flags=frames.END)
    assert not victim.outcome().has("X-Pipegate-Error")


BAD_STREAMS = {
    "data before the head": [(frames.DATA, b"x", {})],
    "a gap": [(frames.HEAD, frames.head(200), {}), (frames.DATA, b"x", {"offset": 5})],
    "an offset of 2^64-1": [(frames.HEAD, frames.head(200), {}), (frames.DATA, b"x", {"offset": (1 << 64) - 1})],
    "more than its length": [(frames.HEAD, frames.head(200, [(b"Content-Length", b"2")]), {}),
                             (frames.DATA, b"xxxx", {"flags": frames.END})],
    "less than its length": [(frames.HEAD, frames.head(200, [(b"Content-Length", b"9")]), {}),
                             (frames.DATA, b"xx", {"flags": frames.END})],
    "another status": [(frames.HEAD, frames.head(200, [], b"ab"), {}),
                       (frames.HEAD, frames.head(404, [], b"cd"), {"flags": frames.END})],
    "reset after the head": [(frames.HEAD, frames.head(200, [(b"Content-Length", b"9")], b"ab"), {}),
                             (frames.RESET, frames.reset(3, b"gone"), {})],
}


@pytest.mark.parametrize("case", BAD_STREAMS)
def test_bad_stream(victim, case):
    """Whatever the visitor gets, it is not a complete response that nobody gave."""
    victim.site.front.request("GET", "/")  # so that the front's first request is not this one
    victim.visit()
    if case == "data before the head":
        victim.attacher.send(frames.ACK, frames.ack((victim.open.exchange, 0, 0)), handler=victim.open.handler)
    try:
        for kind, payload, header in BAD_STREAMS[case]:
            victim.reply(kind, payload, **header)
        if case == "data before the head":  # the head may be lost: the client is asked for it
            asked = victim.attacher.receive(frames.RESUME)
            assert asked.flags == 0 and asked.offset == 0
            victim.reply(frames.RESUME, victim.attacher.instance, flags=frames.ANSWER | frames.UNKNOWN)
    except OSError:
        pass
    victim.attacher.close()
    if victim.site.name == "caddy" and case in ("a gap", "an offset of 2^64-1", "another status"):
        return  # no length: Debian's Caddy can only be left waiting
    outcome = victim.outcome()
    assert isinstance(outcome, BrokenOff) or outcome.status in (502, 503), outcome


@pytest.mark.every_build
@pytest.mark.parametrize("keep", [False, True])
def test_bad_stream_before_the_request_ends(victim, keep):
    """Caddy sends the empty end of a GET after its head. Could it not, it would make the request once more, unseen."""
    with fastcgi.Connection(victim.site.stack.path("handler.sock")) as front:
        front.begin(fastcgi.params_of("GET", f"/{victim.tunnel}/"), keep=keep)
        victim.open = victim.attacher.receive(frames.OPEN)
        for kind, payload, header in BAD_STREAMS["more than its length"]:
            victim.reply(kind, payload, **header)
        assert front.receive()[0] == fastcgi.STDOUT
        broken = front.buffer + front.socket.makefile("rb").read()
        assert broken[0] == 255, broken
        front.stdin()
        assert front.await_close(), "it waits for a front that has nothing more to say"


@pytest.mark.parametrize("reads,seconds", [(True, 2), (False, 10)])
def test_late_end_of_a_broken_response(victim, reads, seconds):
    """lighttpd must have sent the head before; but one that does not read is not waited for longer than that."""
    with fastcgi.Connection(victim.site.stack.path("handler.sock")) as front:
        front.begin(fastcgi.params_of("GET", f"/{victim.tunnel}/", SERVER_SOFTWARE="lighttpd/1.4.69"))
        front.stdin()
        victim.open = victim.attacher.receive(frames.OPEN)
        victim.reply(frames.HEAD, frames.head(200, [], b"ab"))
        if reads:
            assert [front.receive()[0] for _ in range(2)] == [fastcgi.STDOUT] * 2
        began = time.monotonic()
        victim.reply(frames.RESET, frames.reset(3, b"gone"))
        assert front.await_close() and time.monotonic() - began > seconds - 0.01


def test_no_end_of_broken_responses(own_site):
    """A front that takes a hang-up for the end is not given one. Of more than 256 such responses the oldest are: Debian's Caddy does not
    tell of visitors who left, and the last ones must not look complete for that."""
    victim, fronts = Victim(own_site(attach=False)), []
    params = fastcgi.params_of("GET", f"/{victim.tunnel}/", SERVER_SOFTWARE="Caddy/v2.6.2")
    try:
        for _ in range(258):
            front = fastcgi.Connection(victim.site.stack.path("handler.sock"))
            fronts.append(front)
            front.begin(params)
            front.stdin()
            victim.open = victim.attacher.receive(frames.OPEN)
            victim.reply(frames.HEAD, frames.head(200, [], b"ab"))
            assert [front.receive()[0] for _ in range(2)] == [fastcgi.STDOUT] * 2
            victim.reply(frames.RESET, frames.reset(3, b"gone"))
        for front in fronts[:2]:
            with pytest.raises(ConnectionError):
                front.receive()
        held = select.poll()
        for front in fronts[2:]:
            held.register(front.socket, select.POLLIN)
        assert not held.poll(0)
    finally:
        for front in fronts:
            front.close()
        victim.attacher.close()


@pytest.mark.every_build
def test_beyond_the_credit(victim):
    """Far more than the window, unasked: the handler takes no more than it has room for."""
    victim.visit()
    victim.reply(frames.HEAD, frames.head(200, [(b"Content-Length", b"500000000")]))
    before = victim.site.stack.handler.rss_kb()
    offset = 0
    try:
        victim.attacher.socket.settimeout(5)
        for _ in range(600):
            victim.reply(frames.DATA, bytes(65000), offset=offset)
            offset += 65000
    except OSError:
        pass
    # The address sanitizer keeps freed memory, so there only that nothing breaks is seen.
    assert SLOW_BUILD or victim.site.stack.handler.rss_kb() - before < 8_000
    victim.attacher.close()


@pytest.mark.parametrize("sentence",
                         [b"", b"it broke", b"x" * 512, b"<script>alert(1)</script>", b"a\r\nb: c\r\n\r\n", b"\xff\xfe\x80"])
@pytest.mark.parametrize("reason,status", [(1, 502), (2, 502), (3, 502), (4, 504), (6, 503)])
def test_reset(victim, reason, status, sentence):
    victim.visit()
    victim.reply(frames.RESET, frames.reset(reason, sentence))
    response = victim.outcome()
    assert response.status == status and response.error
    assert not response.has("b") and b"<script>" not in (response.body if "html" in response.value("Content-Type") else b"")


# --- somebody else's exchange

@pytest.mark.every_build
@pytest.mark.parametrize("kind", ["head", "data", "reset", "ack"])
def test_foreign_exchange(victim, any_site, kind):
    """Knowing the ids of another tunnel's exchange and its handler does not help."""
    release = threading.Event()

    def answer(call):
        assert release.wait(30)
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue")
    any_site.service.answer = answer
    visitor = Background(any_site.get)
    exchange = bytes.fromhex(any_site.service.next().value("X-Pipegate-Correlation-Id").replace("-", ""))
    handler = victim.visit().handler  # the same handler process serves both
    payload, flags, number = {"head": (frames.head(200, [], b"false"), frames.END, frames.HEAD),
                              "data": (b"false", frames.END, frames.DATA),
                              "reset": (frames.reset(3, b"ha"), 0, frames.RESET),
                              "ack": (frames.ack((exchange, 1 << 20, 1)), 0, frames.ACK)}[kind]
    own = frames.NONE if kind == "ack" else exchange
    victim.attacher.send(number, payload, flags=flags, exchange=own, handler=handler)
    # Our own exchange still works or has been dropped; the other one is untouched.
    any_site.front.request("GET", "/")
    release.set()
    assert visitor.result().body == b"true"
    any_site.service.reset()


def test_unknown_exchange(victim):
    victim.visit()
    for _ in range(50):
        victim.reply(frames.HEAD, frames.head(200, [], b"x"), flags=frames.END, exchange=os.urandom(16))
    victim.reply(frames.HEAD, frames.head(200, [], b"mine"), flags=frames.END)
    outcome = victim.outcome()
    assert outcome.body == b"mine" or outcome.status == 502


@pytest.mark.parametrize("handler", [frames.NONE, b"\xff" * 16, b"nobody's inbox!!"])
def test_unknown_handler(victim, handler):
    """A frame for a handler process that does not exist goes nowhere."""
    victim.attacher.send(frames.HEAD, frames.head(200), flags=frames.END, exchange=os.urandom(16), handler=handler)
    with victim.site.stack.redis() as redis:
        keys = [key for key in redis.keys("*inbox*") if handler.hex().encode() in key.replace(b"-", b"")]
    assert not keys, "a client can make inboxes for processes that do not exist"


def test_resumes_what_it_never_had(victim):
    victim.visit()
    for flags in (0, frames.ANSWER, frames.UNKNOWN, frames.HEAD_SEEN | frames.END_SEEN):
        try:
            victim.attacher.send(frames.RESUME, victim.attacher.instance, flags=flags, offset=1 << 40,
                                 exchange=os.urandom(16),
                                 handler=victim.open.handler)
        except OSError:
            break


def test_random_frames(victim, any_site):
    """Seeded, so that a failure can be repeated: headers that are half right, payloads of any kind."""
    chance = random.Random(20261123)
    attacher, address, dropped = victim.attacher, any_site.stack.path("broker.sock"), 0
    for _ in range(600):
        payload = chance.choice([b"", chance.randbytes(32), chance.randbytes(chance.randrange(300)),
                                 frames.head(200, [(b"A", b"b")])])
        raw = bytearray(frames.frame(chance.randrange(12), payload,
                                     flags=chance.choice([0, 0, 1, 2, chance.randrange(65536)]),
                                     offset=chance.choice([0, 0, 1 << 63]),
                                     exchange=chance.choice([frames.NONE, chance.randbytes(16)])))
        for _ in range(chance.choice([0, 0, 1, 3])):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            attacher.send_message(bytes(raw))
            attacher.ping()
        except (OSError, HungUp):
            dropped += 1
            attacher.close()
            attacher = Attacher(address, victim.tunnel, any_site.stack.token(victim.tunnel), instance=attacher.instance)
    victim.attacher = attacher
    assert 100 < dropped < 600, "some are frames, some are none"


class Counting(Attacher):
    """A client that says itself which attempt it is."""

    def __init__(self, attempt, *arguments, **options):
        self.attempt = attempt
        super().__init__(*arguments, **options)

    def identity(self):
        return [("X-Pipegate-Instance", self.instance.hex()), ("X-Pipegate-Attempt", self.attempt)]


@pytest.mark.parametrize("attempt, fine", [("0", True), ("4294967295", True), ("4294967296", False), ("-1", False), ("x", False)])
def test_attempts_are_numbers_of_32_bits(stack, attempt, fine):
    tunnel = new_tunnel()
    arguments = (attempt, stack.path("broker.sock"), tunnel, stack.token(tunnel))
    if fine:
        with Counting(*arguments) as attacher:
            assert attacher.receive(frames.ATTACHED)
    else:
        with pytest.raises(Refused) as refused:
            Counting(*arguments)
        assert refused.value.status == 400 and "X-Pipegate-Attempt" in str(refused.value)
