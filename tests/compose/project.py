"""The stack in deploy/docker as docker compose runs it: a project of its own for each test run, on free ports of the loopback."""
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile

from images import docker
from kit import ports
from kit.logs import clients_attached
from kit.programs import ROOT, Program, path_of
from kit.visitor import BrokenOff, Visitor, request_bytes
from kit.wait import PATIENCE, until

DEPLOY = ROOT / "deploy/docker"


def version(command):
    try:
        result = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, timeout=20)
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def find(generation):
    """The command of docker-compose 1.29 ("v1") or of docker compose ("v2"), or None. PG_COMPOSE_V2 may name a program for v2."""
    if generation == "v1":
        return ["docker-compose"] if version(["docker-compose"]).startswith("1.") else None
    named = os.environ.get("PG_COMPOSE_V2")
    for command in ([named],) if named else (["docker", "compose"], ["docker-compose"]):
        found = version(command)
        if found and not found.startswith("1."):
            return command
    return None


class TlsVisitor(Visitor):
    def __init__(self, address, context, name, deadline=PATIENCE, **options):
        super().__init__(address, deadline, **options)
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        self.name = name

    def send(self, raw):
        # The loads of tests/fault say "Host: a"; this site has a name, and answers to no other.
        super().send(raw.replace(b"\r\nHost: a\r\n", f"\r\nHost: {self.name}\r\n".encode(), 1) if self.name else raw)
        self.name = None


class Outside:
    """The front as those outside see it: by TLS at a published port, with no more trust than in its own authority. Has what
    kit.stack.Site needs of a front."""

    def __init__(self, port, prefix, ca):
        self.address, self.port, self.prefix = ("127.0.0.1", port), port, prefix
        self.context = ssl.create_default_context(cafile=ca)

    def visit(self, deadline=PATIENCE, **options):
        return TlsVisitor(self.address, self.context, "localhost", deadline, **options)

    def url(self, tunnel="", scheme="https"):
        return f"{scheme}://localhost:{self.port}{self.prefix}/{tunnel}"

    def request(self, method, target, fields=(), body=None, chunked=False, deadline=PATIENCE):
        fields = [("Connection", "close"), *fields]
        raw = request_bytes(method, self.prefix + target, fields, body, host="localhost", chunked=chunked)
        with self.visit(deadline) as visitor:
            visitor.send(raw)
            return visitor.response(method)

    def works(self, tunnel):
        try:
            return self.request("GET", f"/{tunnel}/works", deadline=3).status == 200
        except (BrokenOff, OSError):
            return False


class Project:
    number = 0
    authority = "/data/caddy/pki/authorities/local/root.crt"

    def __init__(self, command, tag, files=("docker-compose.yml",), environment=(), **settings):
        Project.number += 1
        self.name = f"pgtest{os.getpid()}x{Project.number}"
        self.directory = tempfile.mkdtemp(prefix="pg-compose-", dir="/tmp")
        self.secrets = os.path.join(self.directory, "secrets")
        self.http, self.https = ports.take(), ports.take()
        self.settings = {
            "PIPEGATE_HTTP": f"127.0.0.1:{self.http}", "PIPEGATE_HTTPS": f"127.0.0.1:{self.https}",
            "PIPEGATE_SECRETS": self.secrets, "PIPEGATE_TAG": tag, "COMPOSE_PROJECT_NAME": self.name,
            **settings}
        self.env_file = os.path.join(self.directory, ".env")
        self.configure()
        self.options = ["--env-file", self.env_file, *(word for file in files for word in ("-f", str(DEPLOY / file)))]
        self.command = [*command, *self.options]
        if "docker-compose.apache.yml" in files:
            self.authority = "/data/local/root.crt"
        self.more_environment = dict(environment)  # what a line of the file has no room for
        self.programs = []

    def configure(self, **settings):
        """As a user does: a copy of the example, some of it changed. None: the line is taken out."""
        self.settings.update(settings)
        lines = (DEPLOY / ".env.example").read_text().splitlines()
        lines = [line for line in lines if line.split("=")[0] not in self.settings]
        lines += [f"{name}={value}" for name, value in self.settings.items() if value is not None]
        with open(self.env_file, "w") as file:
            file.write("\n".join(lines) + "\n")

    def environment(self):
        """The caller's, without what would win over the file."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIPEGATE_", "COMPOSE_"))}
        return {**kept, **self.more_environment}

    def run(self, *arguments, deadline=120, **options):
        return subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=deadline,
                              stdin=subprocess.DEVNULL, env=self.environment(), **options)

    def __call__(self, *arguments, **options):
        result = self.run(*arguments, **options)
        assert result.returncode == 0, f"compose {' '.join(arguments)}: {result.stdout[-2000:]}{result.stderr[-4000:]}"
        return result.stdout

    def up(self, *arguments):
        self("up", "-d", *arguments)

    def ids(self, service=None, everything=False):
        labels = ["project=" + self.name, "oneoff=False"] + ([f"service={service}"] if service else [])
        filters = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
        return docker("ps", "-q", "--no-trunc", *(["-a"] if everything else []), *filters).split()

    def inspect(self, container):
        return json.loads(docker("inspect", container))[0]

    def running(self, container):
        return self.inspect(container)["State"]["Running"]

    def health(self, container):
        return self.inspect(container)["State"]["Health"]["Status"]

    def healthy(self):
        """Waits until all that runs is."""
        def all_are():
            found = docker("inspect", "--format", "{{.State.Health.Status}}", *self.ids(), check=False)
            return found.returncode == 0 and set(found.stdout.split()) == {"healthy"}
        until(all_are, "all to be healthy", 40)

    def whole(self, services):
        """Is everything there that should be, and nothing else?"""
        return all(len(self.ids(service)) == len(self.ids(service, True)) == count for service, count in services.items())

    def logs(self, *services):
        result = self.run("logs", "--no-color", *services)
        return result.stdout + result.stderr

    def said(self, container):
        """What it logged since it was started last."""
        result = docker("logs", "--since", self.inspect(container)["State"]["StartedAt"], container, check=False)
        return result.stdout + result.stderr

    def outside(self):
        """The stack as it is seen from outside, once there is a certificate for localhost."""
        path = self.authority
        try:
            text = until(lambda: self.run("exec", "-T", "front", "cat", path).stdout, "the front's authority")
        except AssertionError as problem:
            raise AssertionError(f"{problem}; its log:\n{self.logs('front')[-3000:]}") from None
        self.ca = os.path.join(self.directory, "ca.crt")
        with open(self.ca, "w") as file:
            file.write(text)
        return Outside(self.https, self.settings.get("PIPEGATE_PREFIX", "/tunnels"), self.ca)

    def token(self, tunnel):
        return self("exec", "-T", "broker", "pg-broker", "token", "--tunnel", tunnel).strip()

    def client(self, front, tunnel, target):
        """pg-client on this machine, outside of all containers."""
        command = [path_of("pg-client"), "--target", target, "--server-url", front.url(tunnel, "wss"), "--ca", self.ca]
        program = Program("client", command, env={"PIPEGATE_TOKEN": self.token(tunnel)})
        self.programs.append(program)
        program.await_line(tunnel)
        return program

    def holder(self):
        """The broker that has the client."""
        def holders():
            return [each for each in self.ids("broker") if clients_attached(self.said(each).splitlines())]
        return until(holders, "a broker to have the client")[0]

    def networks(self, name):
        return f"{self.name}_{name}"

    def close(self):
        problems = []
        for program in self.programs:
            try:
                program.stop()
            except AssertionError as problem:
                problems.append(str(problem))
        down = self.run("down", "-v", "--remove-orphans", "-t", "5")
        if down.returncode != 0:
            problems.append(down.stderr)
        for kind in ("ps -aq", "volume ls -q", "network ls -q"):
            left = docker(*kind.split(), "--filter", f"label=com.docker.compose.project={self.name}")
            if left:
                problems.append(f"left behind ({kind}): {left}")
        shutil.rmtree(self.directory, ignore_errors=True)
        for port in (self.http, self.https):
            ports.give_back(port)
        assert not problems, "\n".join(problems)


def one_line(text):
    """What a bad setting gives: exactly one line. (Compose has its own, of what it makes; 1.29 also prints the exit status.)"""
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "").splitlines() if line.strip()]
    lines = [line for line in lines if not re.match(r"(Creating|Network|Volume|Container| |\d+$)", line)]
    assert len(lines) == 1, text
    return lines[0]
