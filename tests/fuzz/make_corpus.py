#!/usr/bin/env python3
"""Writes the seeds of the fuzzers beside this file, after lib/WIRE.md and not after the C code."""
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent / "corpus"
ATTACHED, GOAWAY, RESYNC, OPEN, HEAD, DATA, ACK, RESUME, RESET = range(1, 10)
END, CHUNKED, ANSWER, UNKNOWN, HEAD_SEEN, END_SEEN = (1 << i for i in range(6))
EXCHANGE, HANDLER, TUNNEL, BROKER = (bytes([c]) * 16 for c in (0x11, 0x22, 0x33, 0x44))
NONE = bytes(16)
NO_LENGTH = 2**64 - 1


def save(fuzzer, name, content):
    folder = HERE / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def frame(kind, payload=b"", flags=0, offset=0, exchange=NONE, handler=NONE):
    return struct.pack(">BBHIQ", 1, kind, flags, len(payload), offset) + exchange + handler + payload


def own(kind, payload=b"", flags=0, offset=0):
    return frame(kind, payload, flags, offset, EXCHANGE, HANDLER)


def fields(pairs):
    return b"".join(struct.pack(">HI", len(n), len(v)) + n + v for n, v in pairs)


def open_payload(method, target, visitor, pairs, body=b"", length=NO_LENGTH):
    text = method + target + visitor + fields(pairs)
    return struct.pack(">QQIIHHIHH", 1754300000000, length, 300000, 36 + len(text), len(method), len(pairs), len(target),
                       len(visitor), 0) + text + body


def head_payload(status, pairs, body=b""):
    encoded = fields(pairs)
    return struct.pack(">HHI", status, len(pairs), 8 + len(encoded)) + encoded + body


def ack(exchange, received, state):
    return exchange + struct.pack(">QII", received, state, 0)


REQUEST = [(b"Host", b"example.com"), (b"Accept", b"*/*"), (b"Cookie", b"a=b; c=d"), (b"X-Empty", b"")]
RESPONSE = [(b"Content-Type", b"text/html"), (b"Set-Cookie", b"a=b"), (b"Set-Cookie", b"c=d")]

WIRE = {
    "attached": frame(ATTACHED, struct.pack(">QII", 7, 1048576, 65360) + b"https://example.com/x/"),
    "attached-no-url": frame(ATTACHED, struct.pack(">QII", 2**63, 4096, 4096)),
    "goaway": frame(GOAWAY),
    "resync": frame(RESYNC),
    "open-get": own(OPEN, open_payload(b"GET", b"/a?b=%2F", b"192.0.2.1", REQUEST), END),
    "open-post": own(OPEN, open_payload(b"POST", b"/", b"::1", REQUEST, b"body", 4), END),
    "open-chunked": own(OPEN, open_payload(b"PUT", b"//x", b"", REQUEST, b"first bytes"), CHUNKED),
    "open-known-length": own(OPEN, open_payload(b"PUT", b"/big", b"v", [], b"", 2**30)),
    "open-smallest": own(OPEN, open_payload(b"G", b"/", b"", []), END),
    "open-hop-by-hop": own(OPEN, open_payload(b"GET", b"/", b"v", [(b"Connection", b"x-a, Host"), (b"X-A", b"1"), (b"TE", b"")]), END),
    "open-empty-fields": own(OPEN, open_payload(b"GET", b"*", b"v", [(b"", b"")] * 5), END | CHUNKED),
    "head": own(HEAD, head_payload(200, RESPONSE, b"<p>"), 0),
    "head-end": own(HEAD, head_payload(200, RESPONSE, b"<p>hello"), END),
    "head-204": own(HEAD, head_payload(204, []), END),
    "head-599": own(HEAD, head_payload(599, [(b"X", b"y" * 50)])),
    "data": own(DATA, b"some bytes", 0, 768),
    "data-end": own(DATA, b"the last", END, 2**40),
    "data-end-alone": own(DATA, b"", END, 10),
    "data-largest-offset": own(DATA, b"x", 0, 2**63 - 1),
    "ack": frame(ACK, ack(EXCHANGE, 5, 1), handler=HANDLER),
    "ack-many": frame(ACK, b"".join(ack(bytes([i]) * 16, i * 1000, i & 1) for i in range(1, 9)), handler=HANDLER),
    "resume": own(RESUME, b"0123456789abcdef", 0, 100),
    "resume-answer": own(RESUME, b"0123456789abcdef", ANSWER | HEAD_SEEN | END_SEEN, 2**33),
    "resume-unknown": own(RESUME, b"0123456789abcdef", ANSWER | UNKNOWN),
    **{f"reset-{r}": own(RESET, struct.pack(">H", r) + b"why") for r in range(1, 10)},
    "reset-no-sentence": own(RESET, struct.pack(">H", 7)),
    "reset-longest": own(RESET, struct.pack(">H", 2) + b"s" * 512),
    **{f"control-{k}": b"\x43" + bytes([k]) + TUNNEL + struct.pack(">Q", 9) for k in (1, 2, 3, 4)},
}
ENVELOPE_OUT = TUNNEL + NONE + struct.pack(">Q", 0)
ENVELOPE_BACK = TUNNEL + BROKER + struct.pack(">Q", 77)


def operation(what, number=0):
    return struct.pack(">BH", what, number)


# The numbers of fuzz_flow.c's operate().
(APPEND, FILL, SEND, SEND_ALL, DELIVER, REPEAT, LOSE, PASS, TELL, ACKNOWLEDGE, AGAIN, FINISH, LIE, THROUGH) = range(14)
LIE_END = 14 * 10 + LIE  # 0x98: the end bit is set
FLOW = {
    "plain": [(APPEND, 50), (SEND_ALL, 0), (DELIVER, 0), (PASS, 50), (TELL, 0), (FINISH, 0), (SEND_ALL, 0), (DELIVER, 0)],
    "end-with-bytes": [(APPEND, 50), (FINISH, 0), (SEND, 20), (SEND_ALL, 0), (DELIVER, 1), (DELIVER, 0), (PASS, 99), (TELL, 0)],
    "wrap": [(FILL, 0), (SEND, 40), (DELIVER, 0), (PASS, 40), (TELL, 0), (FILL, 0), (SEND_ALL, 0), (SEND_ALL, 0)] * 3,
    "again": [(FILL, 0), (SEND, 30), (DELIVER, 0), (PASS, 10), (TELL, 0), (AGAIN, 0), (SEND, 60), (DELIVER, 0), (PASS, 99), (TELL, 0)],
    "lost": [(FILL, 0), (SEND, 10), (SEND, 10), (LOSE, 0), (DELIVER, 0), (AGAIN, 0), (SEND_ALL, 0), (REPEAT, 0), (DELIVER, 0)],
    "through": [(THROUGH, 30), (THROUGH, 30), (TELL, 0), (LIE, 0), (14 * 10 + THROUGH, 4)],
    "lies": [(LIE, 0), (LIE, 5), (LIE, 0xFFFF), (LIE + 0x10 * 7, 800), (LIE_END, 0), (LIE_END, 40), (LIE, 1)],
    "wrong-acks": [(APPEND, 10), (ACKNOWLEDGE, 1), (SEND, 5), (ACKNOWLEDGE, 5), (ACKNOWLEDGE, 6), (ACKNOWLEDGE, 0xFFFF)],
}

HTTP = {
    "plain": b"Host: example.com\nContent-Length: 42\nAccept: */*\nCookie: a=b\nCookie: c=d",
    "connection": b"Connection: close, X-A ,\tx-b,,\nX-A: 1\nx-B: 2\nX-C: 3",
    "smuggling": b"Connection: content-length, Host, Transfer-Encoding\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\nTransfer-Encoding: x",
    "two-connections": b"connection: x-a\nX-A: 1\nCONNECTION: x-a, connection,te\nX-B:\nTE: trailers",
    "all-hop-by-hop": b"Connection:\nKeep-Alive: 5\nProxy-Connection: x\nProxy-Authenticate: y\nProxy-Authorization: z\nTE: a\nTrailer: b\n"
                      b"Transfer-Encoding: c\nUpgrade: websocket\nExpect: 100-continue\nKept: 1",
    "near-misses": b"Connections: x\nTE : y\nT: z\nUpgrade-Insecure-Requests: 1\n: empty\nno colon at all",
    "lengths": b"a:0\nb:9223372036854775807\nc:9223372036854775808\nd:99999999999999999999\ne: 1\nf:1 \ng:+1\nh:",
    "bytes": b"X\x00Y: a\rb\x00\nCaf\xc3\xa9: \xff\xfe\x7f\nA(b): <>@,;\\\"/[]?={}",
    "many-members": b"Connection: " + b"a," * 70 + b"x\nX: 1\nA: 2",
    "methods": b"GET\nHEAD\nOPTIONS\nTRACE\nPUT\nDELETE\nPOST\nget\nM-SEARCH",
    "targets": b"/a?b=c%2F\n//evil\nhttp://x/\n*\n/a b\n/\x7f",
}


def main():
    for name, content in WIRE.items():
        save("fuzz_wire", name, content)
        if name in ("open-get", "head-end", "data-end-alone", "ack", "reset-3"):
            save("fuzz_wire", "out-" + name, ENVELOPE_OUT + content)
            save("fuzz_wire", "back-" + name, ENVELOPE_BACK + content)
    for name, operations in FLOW.items():
        for window in (0, 2, 4):
            save("fuzz_flow", f"{name}-{window}", bytes([window]) + b"".join(operation(*o) for o in operations))
    for name, content in HTTP.items():
        save("fuzz_http", name, content)


main()
