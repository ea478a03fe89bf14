"""A TCP relay before a server: to add TLS, and to let a link go dead without closing it."""
import select
import socket
import threading


class Link:
    """One relayed connection. One thread for both ways, since a TLS connection is not for two."""

    def __init__(self, near, far):
        self.near, self.far, self.dead = near, far, False
        near.settimeout(30)
        far.settimeout(30)

    def run(self):
        try:
            while True:
                ready = [self.near] if getattr(self.near, "pending", int)() else \
                    select.select([self.near, self.far], [], [])[0]
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    if not self.dead:
                        (self.far if source is self.near else self.near).sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            self.close()

    def close(self):
        for each in (self.near, self.far):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()


class Relay:
    def __init__(self, to, context=None):
        self.to, self.context = to, context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.links = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near):
        try:
            if self.context:
                near = self.context.wrap_socket(near, server_side=True)
            link = Link(near, socket.create_connection(self.to))
        except OSError:
            near.close()
            return
        self.links.append(link)
        link.run()

    def freeze(self):
        """The present connections swallow everything from now on, both ways, and stay open. New ones work."""
        for link in self.links:
            link.dead = True

    def cut(self):
        for link in self.links:
            link.close()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.cut()
