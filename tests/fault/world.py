"""What the fault tests happen in."""
import random

import link as links
from kit.logs import clients_attached
from kit.service import LocalService
from kit.stack import Site, Stack, new_tunnel
from kit.wait import until


class World:
    """A PipeGate with several brokers behind one front, and a client behind a cable."""

    def __init__(self, front, brokers, seed, long, with_link, handlers=1, shared=False,
                 handler_options=(), broker_options=()):
        self.random, self.long, self.rounds = random.Random(seed), long, 3 if long else 1
        self.link = links.Link() if with_link else None
        listen = ["127.0.0.1"] + ([self.link.server] if self.link else [])
        self.shared, self.stack, self.service = shared, None, None
        try:
            self.stack = Stack([front], brokers=brokers, handlers=1 if shared else handlers, listen=listen,
                               handler=[*handler_options, *(["--share"] if shared else [])], broker=broker_options)
            self.service = LocalService(unix=self.stack.path("service.sock"))
            self.brokers = [self.stack.broker] + [self.stack.start_broker(number=i) for i in range(1, brokers)]
            self.handlers = [self.stack.handler] + [self.start_handler(i) for i in range(1, handlers)]
            self.site = Site(self.stack, self.stack.fronts[front], new_tunnel(), self.service)
            self.attach()
        except BaseException:
            self.abandon()
            raise

    def start_handler(self, number):
        return self.stack.start_handler(number=number, at=self.stack.path("handler.sock") if self.shared else None)

    def attach(self):
        front = self.site.front
        server = f"ws://{self.link.server}:{front.port}/{self.site.tunnel}" if self.link else None
        self.client = self.stack.client(front, self.site.tunnel, self.service, server=server,
                                        within=self.link.within if self.link else ())
        self.attached = 1

    def reattached(self):
        """Waits until the client says once more that it is attached."""
        lines = lambda: sum("attached (session" in line for line in self.client.err.lines)  # noqa: E731
        until(lambda: lines() > self.attached, f"the client to attach again; {self.client.last_words()}")
        self.attached = lines()

    def holder(self):
        """Which broker has the client."""
        def holders():
            return [i for i, broker in enumerate(self.brokers) if clients_attached(broker.err.lines)]
        return until(holders, "a broker to have the client")[0]

    def metric(self, name):
        page = self.site.front.request("GET", "/-/metrics").body.decode()
        return float(next(line.split()[-1] for line in page.splitlines() if line.startswith(f"pipegate_handler_{name} ")))

    def nothing_left(self):
        """No exchange anywhere, and nothing waits in Redis."""
        until(lambda: self.metric("requests_in_flight") == 0, "the handler to have nothing in flight")

        def empty():
            with self.stack.redis() as connection:
                return [key for key in connection.keys("pg:*") if b":requests:" in key] == []
        until(empty, "no request to wait in Redis")

    def stop(self):
        try:
            self.stack.check()
            self.service.close()
            self.stack.stop()
        finally:
            self.let_go()

    def let_go(self):
        if self.link:
            self.link.close()

    def abandon(self):
        if self.service:
            self.service.close()
        if self.stack:
            self.stack.abandon()
        self.let_go()
