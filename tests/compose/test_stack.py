"""The stack from nothing, a client from outside by wss, visitors from outside by https; then all that is in it dies, is cut off,
scaled and replaced, and nothing is lost."""
import os
import signal
import subprocess
import time

import pytest

import loads
from images import docker
from kit.service import LocalService
from kit.stack import Site, new_tunnel
from kit.wait import until
from project import DEPLOY, Project

SERVICES = {"redis": 1, "handler": 2, "broker": 2, "front": 1}
STARTS = 15  # seconds that it may take to serve
SIZE = 1 << 26


class World:
    """A stack that is up, a local service and a client that is attached from outside."""

    def __init__(self, command, tag, **options):
        self.service = None
        self.project = Project(command, tag, **options)
        try:
            began = time.monotonic()
            self.project.up()
            self.front = self.project.outside()
            until(lambda: self.answers("/tunnels/none/") == 404, "the stack to serve", 60)
            self.started = time.monotonic() - began
            self.service = LocalService()
            self.tunnel = new_tunnel()
            self.client = self.project.client(self.front, self.tunnel, self.service.target)
            self.site = Site(None, self.front, self.tunnel, self.service)
        except BaseException:
            self.close()
            raise

    def answers(self, target):
        try:
            return self.front.request("GET", target.removeprefix(self.front.prefix), deadline=5).status
        except (OSError, AssertionError):
            return None

    def attached(self):
        return sum("attached (session" in line for line in self.client.err.lines)

    def while_it_goes_on(self, event, seconds=4, kinds=(loads.Gets, loads.Posts, loads.Download, loads.Upload)):
        """Runs `event` while all kinds of visitors are under way: each gets all of its own, each request is delivered once."""
        load = loads.Loads(self.site, seconds, SIZE, kinds)
        try:
            load.start()
            event()
        finally:
            load.finish()
            self.service.reset()
        assert not load.errors(), "\n".join(load.errors()[:20])
        assert all(each.completed == each.exchanges and each.duplicates == 0 for each in load.all)
        return load

    def close(self):
        if self.service:
            self.service.close()
        self.project.close()


@pytest.fixture(scope="module")
def world(images, compose):
    from conftest import TAG
    made = World(compose, TAG)
    yield made
    made.close()


@pytest.fixture
def project(world):
    """The stack, whole again after whatever the test before did."""
    if not world.project.whole(SERVICES):
        world.project.up()
    world.project.healthy()
    until(lambda: world.front.works(world.tunnel), "requests to get through")
    return world.project


def test_serves_soon(world):
    assert world.started < STARTS
    response = world.site.get("/hello")
    assert (response.status, response.body) == (200, b"ok")
    assert world.answers("/tunnels/-/metrics") == 403


def test_is_set_up_as_it_should_be(world, project):
    for service, count in SERVICES.items():
        containers = [project.inspect(each) for each in project.ids(service)]
        assert len(containers) == count, service
        for each in containers:
            host, config = each["HostConfig"], each["Config"]
            assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and config["User"] == "10001:10001", service
            assert host["RestartPolicy"]["Name"] == "unless-stopped", service
            assert each["State"]["Health"]["Status"] == "healthy", service
            network = project.networks("front" if service == "front" else "bus")
            assert list(each["NetworkSettings"]["Networks"]) == [network], service
            assert bool(host["PortBindings"]) == (service == "front"), service
            open_to_all = [*config["Env"], *(config["Cmd"] or [])]
            assert not [each for each in open_to_all if project_secret(project) in each], service
    assert docker("network", "inspect", "--format", "{{.Internal}}", project.networks("bus")) == "true"
    ask = lambda *words: project("exec", "-T", "redis", "sh", "-c",  # noqa: E731
                                 f"REDISCLI_AUTH=$(cat /run/secrets/redis-password) redis-cli {' '.join(words)}").split()
    answer = ask("config", "get", "maxmemory", "maxmemory-policy", "appendonly")
    assert dict(zip(answer[::2], answer[1::2])) == {"maxmemory": str(256 << 20), "maxmemory-policy": "noeviction",
                                                    "appendonly": "yes"}
    assert "NOAUTH" in project("exec", "-T", "redis", "redis-cli", "ping")


def project_secret(project):
    with open(os.path.join(project.secrets, "redis-password")) as file:
        return file.read()


@pytest.mark.once
def test_wrong_redis_password(world, project):
    wrong = ["--redis", "redis://:wrong@redis:6379"]
    for service, more in (("handler", ["--socket", "/tmp/x.sock"]), ("broker", ["--listen", "127.0.0.1:1"])):
        name = {"handler": "pg-handler", "broker": "pg-broker"}[service]
        image = project.inspect(project.ids(service)[0])["Image"]
        result = docker("run", "--rm", "--network", project.networks("bus"), "--tmpfs", "/tmp",
                        "-e", f"PIPEGATE_JWT_SECRET={'x' * 32}", image, *wrong, *more, check=False)
        line = [line for line in result.stderr.splitlines() if " info " not in line]
        assert result.returncode == 2 and len(line) == 1, result
        assert name in line[0] and "password" in line[0].lower(), line


@pytest.mark.once
def test_client_image(world, project):
    from conftest import TAG
    tunnel = new_tunnel()
    name = f"{project.name}-client"
    docker("run", "-d", "--name", name, "--network", "host", "--read-only", "--cap-drop", "ALL", "-v", f"{project.ca}:/ca.crt:ro",
           "-e", f"PIPEGATE_TOKEN={project.token(tunnel)}", f"pipegate/pg-client:{TAG}", "--target", world.service.target,
           "--server-url", world.front.url(tunnel, "wss"), "--ca", "/ca.crt")
    try:
        until(lambda: world.front.works(tunnel), "a request to get through the client in a container")
        docker("stop", "-t", "10", name)
        assert project.inspect(name)["State"]["ExitCode"] == 0
    finally:
        docker("rm", "-f", name)


@pytest.mark.once
def test_brokers_killed_one_after_the_other(world, project):
    def event():
        for _ in range(2):
            before, holder = world.attached(), project.holder()
            docker("kill", holder)
            until(lambda: world.attached() > before, "the client to attach elsewhere")
            docker("start", holder)
    world.while_it_goes_on(event)


@pytest.mark.once
def test_redis_killed(world, project):
    redis, = project.ids("redis")

    def event():
        docker("kill", redis)
        docker("start", redis)
        until(lambda: project.health(redis) == "healthy", "Redis to be back", 30)
    world.while_it_goes_on(event, 6)


@pytest.mark.once
def test_handlers_killed_one_after_the_other(world, project):
    """What a killed one had in hand is lost, and only that: here it has nothing. What comes after goes to the other at once."""
    for container in project.ids("handler"):
        docker("kill", container)
        load = world.while_it_goes_on(lambda: time.sleep(0.5), 1, (loads.Gets, loads.Posts, loads.Download))
        assert max(each.longest for each in load.all) < 3
        docker("start", container)
        until(lambda: "serving FastCGI" in project.said(container), "the handler to be back")


@pytest.mark.once
def test_what_crashes_comes_back(world, project):
    for service in ("redis", "broker", "handler", "front"):
        container = project.ids(service)[0]
        began = project.inspect(container)["State"]
        os.kill(began["Pid"], signal.SIGKILL)  # docker kill would mean that it shall stay so
        until(lambda: project.inspect(container)["State"]["StartedAt"] != began["StartedAt"] and project.running(container),
              f"{service} to be started again")
    project.healthy()
    until(lambda: world.front.works(world.tunnel), "requests to get through")


@pytest.mark.once
@pytest.mark.parametrize("service", ["redis", "broker", "handler"])
def test_cut_off_from_the_network(world, project, service):
    container = project.holder() if service == "broker" else project.ids(service)[0]

    def event():
        docker("network", "disconnect", project.networks("bus"), container)
        time.sleep(2)  # the outage itself
        docker("network", "connect", "--alias", service, project.networks("bus"), container)
    world.while_it_goes_on(event, 6)


def test_scale(world, project):
    def event():
        for count in (4, 1, 2):
            project.up("--no-recreate", "--scale", f"handler={count}", "--scale", f"broker={count}")
            assert [len(project.ids(service)) for service in ("handler", "broker")] == [count, count]
    world.while_it_goes_on(event, 6)


def test_rolling_upgrade(world, project):
    """A newer version of both images, under another tag in .env."""
    old, tag = project.settings["PIPEGATE_TAG"], f"{project.settings['PIPEGATE_TAG']}-next"
    names = {service: f"pipegate/pg-{service}" for service in ("handler", "broker")}

    for name in names.values():
        newer = subprocess.run(["docker", "build", "-q", "-t", f"{name}:{tag}", "--label", "newer=yes", "-"], text=True,
                               timeout=60, input=f"FROM {name}:{old}\n", capture_output=True)
        assert newer.returncode == 0, newer.stderr

    def event():
        project.configure(PIPEGATE_TAG=tag)
        result = subprocess.run([DEPLOY / "upgrade", *project.options], capture_output=True, text=True, timeout=180,
                                env={**project.environment(), "PIPEGATE_COMPOSE": project.command[0]})
        assert result.returncode == 0, result.stdout + result.stderr
    try:
        world.while_it_goes_on(event, 8)
        for service, name in names.items():
            containers = [project.inspect(each) for each in project.ids(service)]
            assert [each["Config"]["Labels"].get("newer") for each in containers] == ["yes"] * 2
    finally:
        project.configure(PIPEGATE_TAG=old)
        project.up()  # the older ones again
        for name in names.values():
            docker("image", "rm", f"{name}:{tag}", check=False)


def test_all_of_it_anew(world, project):
    """Down and up again: what is in volumes stays, so that the client and its token need nothing new."""
    before = world.attached()
    project("down")
    project.up()
    until(lambda: world.attached() > before, "the client to attach again", 30)
    until(lambda: world.front.works(world.tunnel), "requests to get through")
