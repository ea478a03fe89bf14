"""What runs while something is killed. Each load records every response and every byte; the local service every delivery."""
import random
import threading
import time

BLOCK = random.Random(20261125).randbytes(16 * 1024 * 1024 + 4099)  # no divisor of any buffer's size
PIECE = 65536
WAIT = 90  # seconds that a visitor is prepared to wait: it must never have to


def piece_at(offset, length):
    """Bytes [offset, offset + length) of the one large body that all of the loads send."""
    at = offset % len(BLOCK)
    piece = BLOCK[at:at + length]
    return piece if len(piece) == length else piece + piece_at(offset + len(piece), length - len(piece))


class Pace:
    """Spreads `size` bytes over `seconds`: a body that is under way all the time."""

    def __init__(self, size, seconds):
        self.size, self.seconds, self.began = size, seconds, time.monotonic()

    def keep(self, sent):
        ahead = self.began + sent / self.size * self.seconds - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)


class Load:
    name = "?"

    def __init__(self, site, seconds, size):
        self.site, self.seconds, self.size = site, seconds, size
        self.lock = threading.Lock()
        self.exchanges = self.completed = self.duplicates = 0
        self.longest = 0.0
        self.errors = []
        self.running = threading.Event()  # something is under way
        self.stop = threading.Event()     # begin nothing new
        self.threads = []

    def start(self):
        self._thread(self.run)

    def _thread(self, function, *arguments):
        thread = threading.Thread(target=self._guard, args=(function, arguments), daemon=True)
        self.threads.append(thread)
        thread.start()

    def _guard(self, function, arguments):
        try:
            function(*arguments)
        except Exception as error:
            self.fail(f"{type(error).__name__}: {error}")

    def fail(self, what):
        with self.lock:
            self.errors.append(f"{time.strftime('%H:%M:%S')} {self.name}: {what}")

    def begun(self):
        with self.lock:
            self.exchanges += 1

    def ended(self, good, what=""):
        with self.lock:
            self.completed += bool(good)
        if not good:
            self.fail(what)

    def paused(self, seconds):
        with self.lock:
            self.longest = max(self.longest, seconds)

    def join(self):
        """Waits for all of it. False when something hangs."""
        end = time.monotonic() + WAIT
        for thread in list(self.threads):
            thread.join(max(0.1, end - time.monotonic()))
            if thread.is_alive():
                self.fail("still waits")
                return False
        return True

    def verify(self):
        """What only the local service can tell, once all is over."""


class Steady(Load):
    """A small request every so often, each on a connection of its own."""
    every = 0.04
    method = "GET"

    def run(self):
        number = 0
        while not self.stop.is_set():
            self._thread(self.one, number)
            number += 1
            self.running.set()
            time.sleep(self.every)

    def one(self, number):
        self.begun()
        began = time.monotonic()
        target = f"/{self.name}/{number}"
        body = f"{self.name}-{number}".encode() if self.method == "POST" else None
        response = self.site.request(self.method, target, body=body, deadline=WAIT)
        self.paused(time.monotonic() - began)
        self.ended((response.status, response.body) == (200, target.encode()), repr(response))

    def serve(self, call):
        body = call.read_body()
        with self.lock:
            self.deliveries[(call.target, body)] = self.deliveries.get((call.target, body), 0) + 1
        call.reply(200, body=call.target.encode())

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.deliveries = {}

    def verify(self):
        self.duplicates = sum(times - 1 for times in self.deliveries.values())
        if len(self.deliveries) != self.exchanges:
            self.fail(f"{len(self.deliveries)} of {self.exchanges} were delivered")


class Gets(Steady):
    name = "gets"


class Posts(Steady):
    name = "posts"
    method = "POST"

    def verify(self):
        super().verify()
        for (target, body), times in self.deliveries.items():
            if times != 1 or body != target.strip("/").replace("/", "-").encode():
                self.fail(f"{target} was delivered {times} times, with {body!r}")


class Download(Load):
    name = "download"

    def run(self):
        self.begun()
        got, last = 0, time.monotonic()
        with self.site.visit(WAIT) as visitor:
            visitor.send(f"GET {self.site.base}/download/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            response = visitor.head()
            self.running.set()
            while piece := visitor.some():
                now = time.monotonic()
                self.paused(now - last)
                last = now
                if piece != piece_at(got, len(piece)):
                    self.ended(False, f"other bytes at {got}")
                    return
                got += len(piece)
        self.ended(response.status == 200 and got == self.size, f"{response.status}, {got} of {self.size} bytes")

    def serve(self, call):
        call.read_body()
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.size)
        pace, sent = Pace(self.size, self.seconds), 0
        while sent < self.size:
            piece = piece_at(sent, min(PIECE, self.size - sent))
            call.send(piece)
            sent += len(piece)
            pace.keep(sent)


class Upload(Load):
    name = "upload"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.deliveries = 0

    def run(self):
        self.begun()
        with self.site.visit(WAIT) as visitor:
            visitor.send(f"PUT {self.site.base}/upload/ HTTP/1.1\r\nHost: a\r\nContent-Length: {self.size}\r\n\r\n".encode())
            pace, sent = Pace(self.size, self.seconds), 0
            while sent < self.size:
                piece = piece_at(sent, min(PIECE, self.size - sent))
                began = time.monotonic()
                visitor.send(piece)
                self.paused(time.monotonic() - began)
                self.running.set()
                sent += len(piece)
                pace.keep(sent)
            response = visitor.response()
        self.ended((response.status, response.body) == (200, b"%d" % self.size), repr(response))

    def serve(self, call):
        got = 0
        self.deliveries += 1
        while piece := call.some():
            if piece != piece_at(got, len(piece)):
                self.fail(f"other bytes at {got}")
            got += len(piece)
        call.reply(200, body=b"%d" % got)

    def verify(self):
        self.duplicates = self.deliveries - 1


class Events(Load):
    """Server-sent events, numbered."""
    name = "events"
    every = 0.05

    def run(self):
        self.begun()
        number, last, text = 0, time.monotonic(), b""
        with self.site.visit(WAIT) as visitor:
            visitor.send(f"GET {self.site.base}/events/ HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n".encode())
            response = visitor.head()
            while piece := visitor.some():
                text += piece
                *whole, text = text.split(b"\n\n")
                now = time.monotonic()
                self.paused(now - last)
                last = now
                for event in whole:
                    if event != b"data: %d" % number:
                        self.ended(False, f"{event!r} in the place of event {number}")
                        return
                    number += 1
                self.running.set()
        self.ended(response.status == 200 and text == b"" and number == self.sent, f"{number} of {self.sent} events")

    def serve(self, call):
        call.read_body()
        call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.sent = 0
        while not self.stop.wait(self.every):
            call.chunk(b"data: %d\n\n" % self.sent)
            self.sent += 1
        call.send(b"0\r\n\r\n")


class Slow(Load):
    """The first byte comes after 20 s; a POST, so that it may not be done twice."""
    name = "slow"
    wait = 20

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.deliveries = 0

    def run(self):
        while self.exchanges == 0 or not self.stop.is_set():
            self.begun()
            response = self.site.request("POST", "/slow/", body=b"once", deadline=WAIT)
            self.ended((response.status, response.body) == (200, b"late once"), repr(response))

    def serve(self, call):
        body = call.read_body()
        self.deliveries += 1
        self.running.set()
        time.sleep(self.wait)
        call.reply(200, body=b"late " + body)

    def verify(self):
        self.duplicates = self.deliveries - self.exchanges


ALL = (Gets, Posts, Download, Upload, Events, Slow)


class Loads:
    """All of them at once, on one tunnel."""

    def __init__(self, site, seconds, size, kinds=ALL):
        self.all = [kind(site, seconds, size) for kind in kinds]
        self.by_path = {load.name: load for load in self.all}
        site.service.answer = lambda call: self.by_path[call.target.split("/")[1]].serve(call)

    def start(self):
        for load in self.all:
            load.start()
        for load in self.all:
            assert load.running.wait(30), f"{load.name} never began: {load.errors}"

    def finish(self):
        """The bodies set the time: all else goes on until they are over."""
        for load in self.all:
            if load.name in ("download", "upload"):
                load.join()
        for load in self.all:
            load.stop.set()
        for load in self.all:
            load.join()
            load.verify()

    def errors(self):
        return [error for load in self.all for error in load.errors]
