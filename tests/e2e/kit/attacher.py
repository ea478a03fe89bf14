"""A client written from lib/WIRE.md and RFC 6455, that can misbehave in every way a real one does not."""
import base64
import os
import socket
import struct

from . import frames
from .wait import PATIENCE

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    def __init__(self, head):
        super().__init__(head)
        self.status = int(head.split(" ")[1])


class HungUp(Exception):
    pass


class Attacher:
    """Attaches as `tunnel`. `address` is a path or (host, port); `target` the path in the Upgrade request."""

    def __init__(self, address, tunnel, token=None, target=None, protocol="pipegate.v1", fields=(), instance=None,
                 deadline=PATIENCE, method="GET"):
        self.instance = instance or os.urandom(16)
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(deadline)
        self.socket.connect(address)
        self.buffer = b""
        lines = [f"{method} {target or '/' + tunnel} HTTP/1.1", "Host: broker.example", "Connection: Upgrade",
                 "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
        if protocol:
            lines.append(f"Sec-WebSocket-Protocol: {protocol}")
        if token:
            lines.append(f"Authorization: Bearer {token}")
        lines += [f"{name}: {value}" for name, value in [*self.identity(), *fields]]
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.head = head.decode("latin1")
        if not self.head.startswith("HTTP/1.1 101"):
            self.socket.close()
            raise Refused(self.head)

    attempts = 0

    def identity(self):
        Attacher.attempts += 1
        return [("X-Pipegate-Instance", self.instance.hex()), ("X-Pipegate-Attempt", Attacher.attempts)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def _fill(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            raise HungUp
        self.buffer += data

    def _take(self, count):
        while len(self.buffer) < count:
            self._fill()
        piece, self.buffer = self.buffer[:count], self.buffer[count:]
        return piece

    def send_raw(self, raw):
        """Bytes below the WebSocket's framing."""
        self.socket.sendall(raw)

    def send_message(self, payload, opcode=BINARY, final=True, claimed=None):
        """A WebSocket message; `claimed` is the length its header tells, if not the true one."""
        length = len(payload) if claimed is None else claimed
        first = bytes([(0x80 if final else 0) | opcode])
        if length < 126:
            first += bytes([0x80 | length])
        elif length < 65536:
            first += bytes([0x80 | 126]) + struct.pack(">H", length)
        else:
            first += bytes([0x80 | 127]) + struct.pack(">Q", length)
        # A mask of zeros is a mask, and leaves the payload as it is.
        self.socket.sendall(first + bytes(4) + payload)

    def send(self, kind, payload=b"", **header):
        self.send_message(frames.frame(kind, payload, **header))

    def receive_message(self):
        """(opcode, payload); answers pings. Raises HungUp at the end."""
        whole = b""
        while True:
            first, second = self._take(2)
            length = second & 0x7F
            if length == 126:
                length, = struct.unpack(">H", self._take(2))
            elif length == 127:
                length, = struct.unpack(">Q", self._take(8))
            payload = self._take(length)
            opcode = first & 0x0F
            if opcode == PING:
                self.send_message(payload, PONG)
            elif opcode == CLOSE:
                raise HungUp(payload)
            elif opcode != PONG:
                whole += payload
                if first & 0x80:
                    return opcode, whole

    def receive(self, *kinds):
        """The next frame (of one of `kinds`, if any are given; others are passed over)."""
        while True:
            _, payload = self.receive_message()
            received = frames.Frame(payload)
            if not kinds or received.type in kinds:
                return received

    def ping(self):
        """Returns when everything sent so far was looked at; raises HungUp if it was not liked."""
        self.send_message(b"?", PING)
        while True:
            first, second = self._take(2)
            length = second & 0x7F
            self._take(struct.unpack(">H", self._take(2))[0] if length == 126 else length)
            if first & 0x0F == PONG:
                return
            if first & 0x0F == CLOSE:
                raise HungUp

    def await_hangup(self, deadline=PATIENCE):
        """True when the broker hangs up in time."""
        self.socket.settimeout(deadline)
        try:
            while True:
                self.receive_message()
        except HungUp:
            return True
        except TimeoutError:
            return False
