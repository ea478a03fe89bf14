"""A web server's end of FastCGI, to show pg-handler what no real front lets through, byte by byte."""
import select
import socket
import struct

from .visitor import Response
from .wait import PATIENCE

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = 1, 2, 3, 4, 5, 6, 7


def record(kind, content=b"", request=1, version=1, length=None, padding=0):
    return struct.pack(">BBHHBx", version, kind, request, len(content) if length is None else length, padding) + content \
        + bytes(padding)


def pair(name, value):
    def size(n):
        return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)
    name = name.encode("latin1") if isinstance(name, str) else name
    value = value.encode("latin1") if isinstance(value, str) else value
    return size(len(name)) + size(len(value)) + name + value


def params_of(method, target, fields=(), **more):
    """What a front sends for a request, as a list of pairs."""
    params = {"REQUEST_METHOD": method, "REQUEST_URI": target, "REMOTE_ADDR": "192.0.2.7", "REQUEST_SCHEME": "http",
              "SERVER_SOFTWARE": "test", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "visitor.example", **more}
    return list(params.items()) + [("HTTP_" + n.upper().replace("-", "_"), v) for n, v in fields]


class Connection:
    def __init__(self, path, deadline=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(deadline)
        self.socket.connect(path)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def begin(self, params, keep=False, role=1):
        encoded = b"".join(pair(*p) for p in params)
        raw = record(BEGIN, struct.pack(">HB5x", role, 1 if keep else 0))
        for at in range(0, len(encoded), 65000):
            raw += record(PARAMS, encoded[at:at + 65000])
        self.send(raw + record(PARAMS))

    def stdin(self, body=b"", end=True):
        for at in range(0, len(body), 65000):
            self.send(record(STDIN, body[at:at + 65000]))
        if end:
            self.send(record(STDIN))

    def _take(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("hung up")
            self.buffer += data
        piece, self.buffer = self.buffer[:count], self.buffer[count:]
        return piece

    def receive(self):
        """(type, content) of the next record."""
        version, kind, _, length, padding = struct.unpack(">BBHHBx", self._take(8))
        assert version == 1
        content = self._take(length)
        self._take(padding)
        return kind, content

    def await_close(self, deadline=PATIENCE):
        """True when the handler closes its end in time, and does not only say that it sends no more; reads nothing."""
        closed = select.poll()
        closed.register(self.socket, 0)  # POLLHUP is told of unasked
        return bool(closed.poll(deadline * 1000))

    def response(self):
        out = b""
        while True:
            kind, content = self.receive()
            if kind == STDOUT:
                out += content
            elif kind == END:
                break
        head, _, body = out.partition(b"\r\n\r\n")
        lines = head.decode("latin1").split("\r\n")
        status = next((line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("status:")), "200")
        response = Response(f"CGI {status}\r\n{head.decode('latin1')}".encode("latin1"))
        response.body = body
        return response


def request(path, params, body=b"", deadline=PATIENCE):
    with Connection(path, deadline) as connection:
        connection.begin(params)
        connection.stdin(body)
        return connection.response()


def healthz(path):
    """The status of the handler's own page at its socket."""
    return request(path, params_of("GET", "/-/healthz")).status
