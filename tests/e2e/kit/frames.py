"""lib/WIRE.md once more, written down independently of lib/wire.c, so that a mistake there does not cancel itself out."""
import struct
import uuid

ATTACHED, GOAWAY, RESYNC, OPEN, HEAD, DATA, ACK, RESUME, RESET = range(1, 10)
END, CHUNKED, ANSWER, UNKNOWN, HEAD_SEEN, END_SEEN = 1, 2, 4, 8, 16, 32
MAX = 65360
NONE = bytes(16)
_HEADER = struct.Struct(">BBHIQ16s16s")


def frame(kind, payload=b"", flags=0, offset=0, exchange=NONE, handler=NONE, version=1, length=None):
    length = len(payload) if length is None else length
    return _HEADER.pack(version, kind, flags, length, offset, exchange, handler) + payload


class Frame:
    def __init__(self, raw):
        self.version, self.type, self.flags, self.length, self.offset, self.exchange, self.handler = \
            _HEADER.unpack_from(raw)
        self.payload = raw[_HEADER.size:]
        assert self.version == 1 and self.length == len(self.payload), raw[:64]

    def __repr__(self):
        return f"<type {self.type} flags {self.flags:#x} offset {self.offset} {self.payload[:80]!r}>"


def fields(pairs):
    return b"".join(struct.pack(">HI", len(n), len(v)) + n + v for n, v in pairs)


def head(status, pairs=(), body=b"", count=None, head_length=None):
    """A HEAD's payload."""
    encoded = fields(pairs)
    return struct.pack(">HHI", status, len(pairs) if count is None else count,
                       8 + len(encoded) if head_length is None else head_length) + encoded + body


def ack(*entries):
    """Entries: (exchange, received, state)."""
    return b"".join(exchange + struct.pack(">QII", received, state, 0) for exchange, received, state in entries)


def reset(reason, sentence=b""):
    return struct.pack(">H", reason) + sentence


def open_whole(method, target, deadline):
    """The payload of an OPEN without fields and body, as a GET's; `deadline` in seconds of Unix time."""
    return struct.pack(">QQIIHHIHH", int(deadline * 1000), 2 ** 64 - 1, 60_000, 36 + len(method) + len(target), len(method), 0,
                       len(target), 0, 0) + method + target


class Open:
    """An OPEN's payload, taken apart."""

    def __init__(self, raw):
        (self.deadline, self.body_length, self.first_byte, head_length, method, count, target, visitor, zero) = \
            struct.unpack_from(">QQIIHHIHH", raw)
        assert zero == 0
        at = 36
        self.method, at = raw[at:at + method], at + method
        self.target, at = raw[at:at + target], at + target
        self.visitor, at = raw[at:at + visitor], at + visitor
        self.fields = []
        for _ in range(count):
            n, v = struct.unpack_from(">HI", raw, at)
            self.fields.append((raw[at + 6:at + 6 + n], raw[at + 6 + n:at + 6 + n + v]))
            at += 6 + n + v
        assert at == head_length, (at, head_length)
        self.body = raw[head_length:]


def envelope(tunnel, broker=NONE, session=0):
    return uuid.UUID(tunnel).bytes + broker + struct.pack(">Q", session)
