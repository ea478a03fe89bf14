"""Garbage in Redis: a line in the log, and on it goes."""
import os
import random
import re
import struct
import threading
import uuid

import pytest

from kit import frames
from kit.attacher import Attacher
from kit.stack import Site, admin, new_tunnel
from kit.wait import until


def is_inbox_read(redis, keys):
    return all(redis.call("LLEN", key) == 0 for key in keys)


@pytest.fixture(scope="module")
def bus(shared_stack, shared_service):
    """The shared tunnel, a look into its Redis, and the inboxes of its handler and its broker."""
    shared_service.reset()
    site = Site(shared_stack, next(iter(shared_stack.fronts.values())), shared_stack.tunnel, shared_service)
    with shared_stack.redis() as redis:
        yield site, redis, sorted(watch_inboxes(site))


def watch_inboxes(site):
    """Names of inboxes that are used while requests pass, from MONITOR: as keys they exist only while something is in them."""
    names = set()
    connection = site.stack.redis()
    assert connection.call("MONITOR") == b"OK"
    done = threading.Event()

    def watch():
        try:
            while not done.is_set():
                line = connection.file.readline()
                if not line:
                    return
                names.update(re.findall(rb'"(pg:\{[^}]*\}:inbox:[^"]+)"', line))
        except (OSError, ValueError):
            pass
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for _ in range(3):
        assert site.get().status == 200
    until(lambda: len(names) >= 2, "inboxes in use")
    done.set()
    site.get()
    watcher.join(5)
    connection.socket.close()
    return names


GARBAGE = {
    "empty": b"", "one byte": b"x", "text": b"hello" * 20, "zeros": bytes(88), "ones": b"\xff" * 88,
    "envelope only": bytes(40),
    "envelope cut": bytes(39), "control cut": b"\x42" + bytes(24), "control of no kind": b"\x42" + bytes(25),
    "long": bytes(65_400),
    "longer than any": bytes(200_000), "frame cut": bytes(40) + frames.frame(frames.ACK, bytes(32))[:-1],
    "frame of no type": bytes(40) + frames.frame(77),
    "valid frame of nobody": bytes(40) + frames.frame(frames.ACK, bytes(32)),
    "head of nobody": frames.envelope(str(uuid.uuid4())) + frames.frame(frames.HEAD, frames.head(200), flags=1,
                                                                        exchange=os.urandom(16)),
    "open in an inbox": bytes(40) + frames.frame(frames.OPEN, bytes(36)),
    "attached": bytes(40) + frames.frame(frames.ATTACHED, bytes(16)),
    "bell of nobody": b"\x42\x01" + bytes(24), "bell, other layout": b"\x42" + os.urandom(16),
}


@pytest.mark.every_build
@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_in_the_inboxes(bus, stack, case):
    site, redis, keys = bus
    for key in keys:
        redis.call("RPUSH", key, GARBAGE[case])
    until(lambda: is_inbox_read(redis, keys), "the garbage to be read")
    assert site.get().body == b"ok"


def test_random_garbage_in_the_inboxes(bus, stack):
    site, redis, keys = bus
    chance = random.Random(7)
    for _ in range(300):
        raw = bytearray(frames.envelope(site.tunnel) + frames.frame(chance.randrange(1, 10),
                                                                    chance.randbytes(chance.randrange(200)),
                                                                    exchange=chance.randbytes(16)))
        for _ in range(chance.randrange(4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        redis.call("RPUSH", chance.choice(keys), bytes(raw))
    until(lambda: is_inbox_read(redis, keys), "the garbage to be read")
    assert site.get().body == b"ok"


def test_garbage_among_the_requests(own_site):
    """In a tunnel's list of waiting requests: it must not keep those behind it from being served."""
    site = own_site()
    with site.stack.redis() as redis:
        visitor = site.queued(redis, "/waits")
        key, = redis.keys("*requests*")
        for raw in GARBAGE.values():
            redis.call("LPUSH", key, raw)
            redis.call("RPUSH", key, raw)
        valid = frames.frame(frames.OPEN, struct.pack(">QQIIHHIHH", 1, 0, 0, 38, 1, 0, 1, 0, 0) + b"G/", flags=1,
                             exchange=os.urandom(16))
        redis.call("LPUSH", key, frames.envelope(new_tunnel()) + valid)  # another tunnel's, and overdue
        site.stack.client(site.front, site.tunnel, site.service)
        assert visitor.result().body == b"ok"
        assert [call.target for call in site.service.seen] == ["/waits"]


def test_keys_of_another_type(own_site):
    """Somebody used our names for something else: errors, but no crash and no hanging visitor."""
    site = own_site(handler=["--wait-timeout", "2s", "--path-timeout", "2s"])
    site.stack.end(site.client)
    with site.stack.redis() as redis:
        tunnel = new_tunnel()
        with Attacher(site.stack.path("broker.sock"), tunnel, site.stack.token(tunnel)) as attacher:
            attacher.receive(frames.ATTACHED)
            shard = redis.keys("pg:*")[0].split(b"}")[0] + b"}"
            redis.call("SET", shard + b":requests:" + tunnel.encode(), "text")
            assert site.front.request("GET", f"/{tunnel}/").status in (502, 503)
            redis.call("DEL", shard + b":requests:" + tunnel.encode())
    site.stack.client(site.front, site.tunnel, site.service)
    assert site.get().status == 200


def test_everything_in_redis_expires(own_site):
    """Kill everything without a chance to clean up: nothing may stay in Redis for ever."""
    site = own_site()
    assert site.get().status == 200
    for program in (site.client, site.stack.broker, site.stack.handler):
        site.stack.kill(program)
    with site.stack.redis() as redis:
        assert all(redis.call("PTTL", key) > 0 for key in redis.keys()), redis.keys()


@pytest.mark.every_build
def test_redis_forgets_everything(own_site):
    """FLUSHALL, on connections that stay: whoever finds its sign of life gone sets all up again."""
    site = own_site()
    assert site.get().status == 200
    with site.stack.redis() as redis:
        redis.call("FLUSHALL")
    until(lambda: site.get().status == 200, "the tunnel to be known again")
    until(lambda: admin(site.stack, "/-/readyz")[0] == 200, "the broker to be ready")
