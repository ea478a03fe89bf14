"""A whole PipeGate in a directory of its own: Redis, handler, broker, one or both fronts, and clients."""
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import uuid

from . import fronts, redis, tokens
from .background import Background
from .programs import Program, found, path_of
from .wait import PATIENCE, until


class Stack:
    """Options for the programs are lists of arguments. Everything stops in the reverse order of its start."""

    def __init__(self, front_names=fronts.NAMES, handler=(), broker=(), redis_options=(), prefix="", **front_options):
        # Short: a Unix socket's path has room for 107 bytes.
        self.directory = tempfile.mkdtemp(prefix="pg-e2e-", dir="/tmp")
        self.running = []
        self.fronts = {}
        self.options = {"handler": list(handler), "broker": list(broker), "redis": list(redis_options)}
        try:
            fronts.let_in(self.directory)
            self.secret_file = self.file("secret", secrets.token_hex(32))
            self.start_redis()
            self.start_broker()
            self.start_handler()
            for name in front_names:
                front = fronts.CLASSES[name](self.directory, prefix=prefix, **front_options)
                self.fronts[name] = front
                self.running.append(front)
        except BaseException:
            self.abandon()
            raise

    def path(self, name):
        return os.path.join(self.directory, name)

    def file(self, name, text):
        with open(os.open(self.path(name), os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
        return self.path(name)

    @property
    def bus(self):
        return "unix:" + self.path("redis.sock")

    def _start(self, name, command, path=None, env=None, stdin=None):
        program = Program(name, command, env=env, stdin=stdin or subprocess.DEVNULL, preexec=lambda: os.umask(0o007))
        self.running.append(program)
        if path:
            def listens():
                assert program.alive(), program.last_words()
                return is_listening(path)
            until(listens, f"{name} to listen on {path}")
        return program

    def start_redis(self, wait=True):
        path = self.path("redis.sock")
        command = [found("redis-server"), "--port", "0", "--unixsocket", path, "--unixsocketperm", "770", "--save", "",
                   "--appendonly", "no", "--dir", self.directory, *self.options["redis"]]
        self.redis_program = self._start("redis", command, path)
        if wait:
            until(self.redis_answers, "Redis to answer")

    def redis_answers(self):
        try:
            with self.redis() as connection:
                return connection.call("PING") == b"PONG"
        except (OSError, redis.Error):
            return False

    def redis(self):
        return redis.Connection(self.path("redis.sock"))

    def start_handler(self, *more, number=0, listener=None, at=None):
        """`listener`: a listening socket for its descriptor 0; `at`: the path of one; else it has its own."""
        path = at or self.path(fronts.numbered("handler", number) + ".sock")
        admin_path = self.path(fronts.numbered("handler-admin", number) + ".sock")
        where = [] if listener else ["--socket", path]
        command = [path_of("pg-handler"), *where, "--admin", f"unix:{admin_path}", "--redis", self.bus, *self.options["handler"], *more]
        handler = self._start("handler", command, admin_path, stdin=listener)  # it listens there last
        if number == 0:
            self.handler = handler
        return handler

    def start_broker(self, *more, number=0, at=None):
        path = at or self.path(fronts.numbered("broker", number) + ".sock")
        admin = self.path(fronts.numbered("admin", number) + ".sock")
        options = [*self.options["broker"], *more]
        secret = [] if "--open" in options else ["--secret-file", self.secret_file]
        command = [path_of("pg-broker"), "--listen", f"unix:{path}", "--redis", self.bus, *secret, "--admin", f"unix:{admin}", *options]
        broker = self._start("broker", command, None if at else path)
        if at:
            broker.await_line("clients attach at", stream="err")
        if number == 0:
            self.broker, self.admin = broker, admin
        return broker

    def token(self, tunnel, **claims):
        with open(self.secret_file) as file:
            return tokens.make(file.read().encode(), tunnel, **claims)

    def client(self, front, tunnel, target, *more, wait=True, token=None, server=None, within=()):
        """Starts a client that attaches through the front (or at `server`), and waits until it says that it has. `target`: a
        LocalService. `within`: a command that runs it, like `ip netns exec NAME`."""
        command = [*within, path_of("pg-client"), "--target", target.target, "--server-url", server or front.url(tunnel, "ws"),
                   *more]
        program = self._start("client", command, env={"PIPEGATE_TOKEN": token or self.token(tunnel)})
        if wait:
            program.await_line(tunnel)
        return program

    def end(self, thing):
        """Stops one of what runs, in order."""
        self.running.remove(thing)
        thing.stop()

    def kill(self, program):
        self.running.remove(program)
        program.kill()

    def check(self):
        """Everything that should run does, and no sanitizer has anything to say."""
        for thing in self.running:
            program = getattr(thing, "program", thing)
            program.check()
            assert program.alive(), f"{program.name} died; {program.last_words()}"

    def stop(self):
        problems = []
        # Clients first: a broker that ends gives those it has some seconds to attach elsewhere.
        self.running.sort(key=lambda thing: getattr(thing, "name", "") == "client")
        while self.running:
            thing = self.running.pop()
            try:
                thing.stop()
            except AssertionError as problem:
                problems.append(str(problem))
        shutil.rmtree(self.directory, ignore_errors=True)
        assert not problems, "\n".join(problems)

    def abandon(self):
        while self.running:
            program = getattr(self.running[-1], "program", self.running[-1])
            self.running.pop()
            program.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def is_listening(path):
    """A socket's file may be there, left by somebody who died; what counts is that somebody accepts."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            return True
        except OSError:
            return False


def admin(stack, target, method="GET", path=None):
    """(status, body) of a page on the broker's --admin, or on that at `path`."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path or stack.admin)
        connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def new_tunnel():
    return str(uuid.uuid4())


class Site:
    """A front together with an attached tunnel: what most tests need. Targets are those the local service shall see."""

    def __init__(self, stack, front, tunnel, service):
        self.stack, self.front, self.tunnel, self.service = stack, front, tunnel, service

    @property
    def name(self):
        return self.front.name

    @property
    def base(self):
        return f"{self.front.prefix}/{self.tunnel}"

    @property
    def url(self):
        return self.front.url(self.tunnel) + "/"

    def visit(self, deadline=PATIENCE, **options):
        return self.front.visit(deadline, **options)

    def request(self, method, target="/", fields=(), body=None, chunked=False, deadline=PATIENCE):
        return self.front.request(method, f"/{self.tunnel}{target}", fields, body, chunked, deadline)

    def get(self, target="/", fields=(), **options):
        return self.request("GET", target, fields, **options)

    def works(self):
        return self.front.works(self.tunnel)

    def queued(self, redis, target):
        """Ends the client. A GET (in the background) that waits in Redis then."""
        self.stack.end(self.client)
        visitor = Background(self.get, target)
        until(lambda: redis.keys("*requests*"), "the request to wait in Redis")
        return visitor

    def answered(self, answer, method="GET", target="/", fields=(), **options):
        """The response to a request that the local service answers with `answer`: raw bytes, or a function of the Call."""
        if isinstance(answer, bytes):
            def reply(call):
                call.read_body()
                call.send(answer)
            self.service.answer = reply
        else:
            self.service.answer = answer
        return self.request(method, target, fields, **options)
