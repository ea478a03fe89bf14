"""Thousands of connections at once: a local service and visitors on epoll, and many attached clients."""
import asyncio
import resource
import socket
import threading

from . import frames
from .attacher import Attacher


def raise_limit(wanted):
    """File descriptors for this process and those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except (ValueError, OSError):
            pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, wanted), hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class PatientService:
    """Answers each request `seconds` after it came, but none before `count` are there, nor before answer() where it `waits`."""

    def __init__(self, count, seconds, body=b"patient", waits=False):
        self.count, self.seconds, self.present, self.most = count, seconds, 0, 0
        self.response, self.waits = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, waits
        self.loop = asyncio.new_event_loop()
        self.all_there = threading.Event()
        self.server = self.loop.run_until_complete(self._start())
        self.port = self.server.sockets[0].getsockname()[1]
        self.target = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    async def _start(self):
        self.go = asyncio.Event()
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=8192)

    async def _serve(self, reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                came = self.loop.time()
                self.present += 1
                self.most = max(self.most, self.present)
                if self.present >= self.count:
                    self.all_there.set()
                    if not self.waits:
                        self.go.set()
                await self.go.wait()
                await asyncio.sleep(max(0, came + self.seconds - self.loop.time()))
                self.present -= 1
                writer.write(self.response)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    def answer(self):
        self.loop.call_soon_threadsafe(self.go.set)

    async def _end(self):
        self.server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()


class Visitors:
    """`count` visitors at once, each with one request; the answers' first lines are counted."""

    def __init__(self, address, raw, count):
        self.address, self.raw, self.count, self.results = address, raw, count, {}
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)
        self.thread.start()

    async def _all(self):
        connecting = asyncio.Semaphore(200)
        await asyncio.gather(*(self._one(connecting) for _ in range(self.count)))

    async def _one(self, connecting):
        try:
            async with connecting:
                reader, writer = await asyncio.open_connection(*self.address)
                writer.write(self.raw)
                await writer.drain()
            answer = await asyncio.wait_for(reader.read(), 120)
            result = answer.split(b"\r\n", 1)[0].decode() + (" complete" if answer.endswith(b"patient") else "")
            writer.close()
        except (OSError, asyncio.TimeoutError) as error:
            result = type(error).__name__
        self.results[result] = self.results.get(result, 0) + 1

    def join(self, deadline):
        self.thread.join(deadline)
        return self.results


class QuietAttacher(Attacher):
    """One of many: it keeps a small receive buffer and no Python file object."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert self.receive(frames.ATTACHED)
