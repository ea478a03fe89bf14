"""The local service: records the bytes of every request and answers with whatever bytes a test wants, when it wants."""
import os
import queue
import socket
import ssl
import struct
import threading

from .wait import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Closed(Exception):
    """The other end hung up."""


class Call:
    """One request as it came, and the way to answer it."""

    def __init__(self, connection, raw_head):
        self.connection, self.raw_head = connection, raw_head
        lines = raw_head.decode("latin1").split("\r\n")
        self.request_line = lines[0]
        self.method, self.target, self.version = lines[0].split(" ", 2)
        self.fields = [tuple(line.split(":", 1)) for line in lines[1:] if line]
        self.fields = [(name, value.strip(" \t")) for name, value in self.fields]
        self.body = None  # bytes, once read whole
        self.framing = self._framing()

    def values(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def value(self, name):
        values = self.values(name)
        assert len(values) == 1, f"{name}: {values} in {self.raw_head!r}"
        return values[0]

    def _framing(self):
        lengths, codings = self.values("Content-Length"), self.values("Transfer-Encoding")
        assert len(lengths) + len(codings) <= 1, f"ambiguous framing: {self.raw_head!r}"
        if codings:
            assert codings == ["chunked"], codings
            return "chunked"
        return int(lengths[0]) if lengths else None

    # The request's body. Each raises Closed when it breaks off.

    def some(self, limit=65536):
        """The next piece of the body, b"" at its end."""
        if self.framing == "chunked":
            size = int(self.connection.line().partition(b";")[0], 16)
            piece = self.connection.exactly(size)
            self.connection.line()
            return piece
        left = (self.framing or 0) if not hasattr(self, "_left") else self._left
        piece = self.connection.at_most(min(left, limit)) if left else b""
        self._left = left - len(piece)
        return piece

    def read_body(self):
        if self.body is None:
            pieces = []
            while piece := self.some():
                pieces.append(piece)
            self.body = b"".join(pieces)
        return self.body

    # The answer.

    def send(self, *raw):
        for piece in raw:
            self.connection.socket.sendall(piece)

    def reply(self, status=200, fields=(), body=b"", reason="X"):
        head = [f"HTTP/1.1 {status} {reason}"] + [f"{name}: {value}" for name, value in fields]
        if not any(name.lower() == "content-length" for name, _ in fields) and status not in (204, 304):
            head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(head + ["", ""]).encode("latin1"), body)

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self):
        self.connection.close()

    def reset(self):
        """Hangs up with a TCP reset."""
        self.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def await_hangup(self, deadline=PATIENCE):
        """Reads until the other end hangs up; fails if it does not."""
        self.connection.socket.settimeout(deadline)
        try:
            while self.connection.socket.recv(65536):
                pass
        except ConnectionError:
            pass


class Connection:
    def __init__(self, sock):
        self.socket, self.buffer = sock, b""
        sock.settimeout(60)

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, OSError) as error:
            raise Closed(str(error)) from None
        if not data:
            raise Closed("end of stream")
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def line(self):
        return self.until(b"\r\n")

    def at_most(self, limit):
        if not self.buffer:
            self.fill()
        piece, self.buffer = self.buffer[:limit], self.buffer[limit:]
        return piece

    def exactly(self, size):
        while len(self.buffer) < size:
            self.fill()
        piece, self.buffer = self.buffer[:size], self.buffer[size:]
        return piece

    def close(self):
        try:
            self.socket.close()
        except OSError:
            pass


class LocalService:
    """`answer` is what happens to a request: a function of the Call. It must read the body, if it wants it recorded."""

    def __init__(self, unix=None, tls=None):
        if unix:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(unix)
            self.port, self.target = None, f"unix:{unix}"
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
            self.target = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.unix, self.tls = unix, tls
        self.listener.listen(1024)
        self.errors, self.closing = [], False
        self.open = set()
        self.reset()
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self):
        """Forgets what it recorded and answers 200 "ok" again."""
        self.calls = queue.Queue()
        self.seen = []
        self.connections = 0
        self.errors.clear()
        self.answer = self.default

    @staticmethod
    def default(call):
        call.read_body()
        call.send(OK)

    def next(self, deadline=PATIENCE):
        """The next request that came and was not taken yet."""
        try:
            return self.calls.get(timeout=deadline)
        except queue.Empty:
            raise AssertionError(f"no request reached the local service in {deadline:g} s; {self.errors}") from None

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
        except (ssl.SSLError, OSError):
            return
        connection = Connection(sock)
        self.open.add(connection)
        fresh = True
        try:
            while True:
                call = Call(connection, connection.until(b"\r\n\r\n"))
                self.connections += fresh
                fresh = False
                self.seen.append(call)
                answer = self.answer
                self.calls.put(call)
                answer(call)
                if call.body is None and call.framing:
                    break  # what is left of the body must not be read as a request
        except (Closed, OSError):
            pass
        except Exception as error:  # a test's mistake must not look like a hung-up service
            self.errors.append(repr(error))
        finally:
            self.open.discard(connection)
            connection.close()

    def close(self):
        # shutdown wakes the thread that sits in accept; close alone does not.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in list(self.open):
            connection.close()
        if self.unix:
            os.unlink(self.unix)
