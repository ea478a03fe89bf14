"""A visitor that writes raw bytes and sees exactly how the answer is framed."""
import socket
import time

from .wait import PATIENCE


class BrokenOff(Exception):
    """The answer did not end as its own framing says it must."""


class Response:
    def __init__(self, raw_head):
        self.raw_head = raw_head
        lines = raw_head.decode("latin1").split("\r\n")
        # RFC 9112 4: the second space stands there even where no reason follows.
        self.version, status, self.reason = lines[0].split(" ", 2)
        self.status = int(status)
        self.fields = [(n, v.strip(" \t")) for n, v in (line.split(":", 1) for line in lines[1:])]
        self.interim = []
        self.body = b""

    def values(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def value(self, name):
        values = self.values(name)
        assert len(values) == 1, f"{name}: {values}\n{self.raw_head!r}"
        return values[0]

    def has(self, name):
        return bool(self.values(name))

    @property
    def error(self):
        """The code of an answer of PipeGate's own, or None."""
        return self.value("X-Pipegate-Error") if self.has("X-Pipegate-Error") else None

    def __repr__(self):
        return f"<{self.raw_head!r} {len(self.body)} bytes: {self.body[:300]!r}>"


class Visitor:
    """One connection to a front."""

    def __init__(self, address, deadline=PATIENCE, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(deadline)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.ended = b"", False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def _fill(self):
        try:
            data = self.socket.recv(262144)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.ended = True
            return False
        self.buffer += data
        return True

    def _need(self, count):
        while len(self.buffer) < count:
            if not self._fill():
                raise BrokenOff(f"{count} bytes awaited, got {len(self.buffer)}")
        piece, self.buffer = self.buffer[:count], self.buffer[count:]
        return piece

    def _until(self, mark):
        while mark not in self.buffer:
            if not self._fill():
                raise BrokenOff(f"hung up after {self.buffer[:200]!r}")
        piece, _, self.buffer = self.buffer.partition(mark)
        return piece

    def head(self, method="GET"):
        """The final response's head; interim ones are in .interim."""
        interim = []
        while True:
            response = Response(self._until(b"\r\n\r\n"))
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        self._plan(response, method)
        return response

    def _plan(self, response, method):
        lengths, codings = response.values("Content-Length"), response.values("Transfer-Encoding")
        if method == "HEAD" or response.status in (204, 304, 101):
            self.framing = "none"
        elif codings:
            assert [c.lower() for c in codings] == ["chunked"] and not lengths, response
            self.framing = "chunked"
        elif lengths:
            assert len(set(lengths)) == 1, response
            self.framing, self.left = "length", int(lengths[0])
        else:
            self.framing = "close"

    def some(self):
        """The next piece of the body as soon as it is there; b"" at its proper end; raises BrokenOff."""
        if self.framing == "none":
            return b""
        if self.framing == "chunked":
            size = int(self._until(b"\r\n").partition(b";")[0], 16)
            piece = self._need(size)
            end = self._need(2)
            assert end == b"\r\n", end
            return piece
        if self.framing == "length":
            if not self.left:
                return b""
            if not self.buffer and not self._fill():
                raise BrokenOff(f"{self.left} bytes of the body are missing")
            piece = self._need(min(self.left, len(self.buffer)))
            self.left -= len(piece)
            return piece
        if not self.buffer and not self._fill():
            return b""
        return self._need(len(self.buffer))

    def gather(self, count):
        """Pieces of the body until there are `count` bytes; fails when it ends before."""
        got = b""
        while len(got) < count:
            piece = self.some()
            assert piece, f"the body ended after {got!r}"
            got += piece
        return got

    def body(self, response):
        pieces = []
        while piece := self.some():
            pieces.append(piece)
        response.body = b"".join(pieces)
        return response

    def response(self, method="GET"):
        return self.body(self.head(method))

    def ends_within(self, seconds):
        """True when the connection ends within the time (what comes before that is thrown away)."""
        end = time.monotonic() + seconds
        while not self.ended:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                self._fill()
            except TimeoutError:
                return False
        return True


def request_bytes(method, target, fields=(), body=None, host="visitor.example", chunked=False):
    """A request as bytes. Fields are (name, value) in order; Host is there unless given."""
    lines = [f"{method} {target} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in fields):
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None and chunked:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in body if piece) + b"0\r\n\r\n"
    elif body is not None and not any(name.lower() == "content-length" for name, _ in fields):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines + ["", ""]).encode("latin1") + (body or b"")
