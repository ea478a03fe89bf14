"""Health, numbers, and how quiet the programs are."""
import glob
import os
import re
import resource
import socket
import subprocess
import time

import pytest

from kit import fastcgi, programs
from kit.attacher import Attacher, HungUp, Refused
from kit.programs import found
from kit.stack import admin, new_tunnel
from kit.wait import until


def test_handler_health_follows_redis(own_site):
    site = own_site(attach=False)
    health = lambda: site.front.request("GET", "/-/healthz")  # noqa: E731
    assert health().status == 200
    site.stack.kill(site.stack.redis_program)
    until(lambda: health().status == 503, "the handler to be unhealthy")
    site.stack.start_redis()
    until(lambda: health().status == 200, "the handler to be healthy again")


def metrics(text):
    """{name with labels: value}, checked to be Prometheus's text format."""
    found_values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r'([a-zA-Z_:][\w:]*(?:\{(?:[a-zA-Z_]\w*="[^"]*",?)*\})?) (\S+)', line)
            assert match, line
            found_values[match[1]] = float(match[2])
    return found_values


def total(values, pattern):
    return sum(value for name, value in values.items() if re.match(pattern, name))


def test_handler_metrics(own_site):
    site = own_site()
    assert site.get("/", body=None).status == 200
    assert site.request("POST", "/", body=b"x" * 5000).status == 200
    assert site.front.request("GET", f"/{new_tunnel()}/").status == 404
    response = site.front.request("GET", "/-/metrics")
    assert response.status == 200 and response.value("Content-Type").startswith("text/plain")
    values = metrics(response.body.decode())
    assert total(values, r"pipegate_handler_requests_total\{") == 3 or total(values,
                                                                             r"pipegate\w*requests\w*\{") == 3, values
    names = " ".join(values)
    for word in ("in_flight", "bytes", "_bucket{", "_sum", "_count", "reconnect"):
        assert word in names, f"no metric with {word}"
    assert total(values, r"\w*bytes\w*(\{.*)?") >= 5000


@pytest.mark.parametrize("which", ["handler", "broker"])
def test_metrics_are_as_prometheus_wants_them(own_site, which):
    """promtool: format, help texts, names, units."""
    site = own_site()
    assert site.get().status == 200
    page = admin(site.stack, "/-/metrics", path=site.stack.path("handler-admin.sock") if which == "handler" else None)[1]
    done = subprocess.run([found("promtool"), "check", "metrics"], input=page, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    for line in page.decode().splitlines():
        assert line.startswith(("# HELP pipegate_", "# TYPE pipegate_", f"pipegate_{which}_", "# HELP process_", "# TYPE process_", "process_")), line
    values = metrics(page.decode())
    assert 1e6 < values["process_resident_memory_bytes"] < 1e9 or programs.SLOW_BUILD
    assert 0 <= time.time() - values["process_start_time_seconds"] < 600
    assert values[f"pipegate_{which}_ready"] == values[f"pipegate_{which}_bus_up"] == 1


def test_metrics_are_not_for_everybody(own_site):
    site = own_site(attach=False, metrics_from="192.0.2.0/24")
    for target in ("/-/metrics", "/-/healthz", "//-/metrics", "/%2d/metrics", "/x/../-/metrics", "/-%2Fmetrics",
                   "/-//metrics", "/./-/metrics",
                   "/-/metrics/", "/-/metrics?x"):
        response = site.front.request("GET", target)
        assert response.status in (400, 403, 404) and b"pipegate_" not in response.body, target


@pytest.mark.parametrize("target", ["/-/", "/-", "/-/x", "/-/healthz/x"])
def test_nothing_else_beside_them(any_site, target):
    assert any_site.front.request("GET", target).status == 404


def test_broker_admin(own_site):
    site = own_site()
    assert admin(site.stack, "/-/healthz")[0] == 200
    assert site.get().status == 200
    status, body = admin(site.stack, "/-/metrics")
    assert status == 200 and metrics(body.decode())
    assert admin(site.stack, "/")[0] == 404
    assert admin(site.stack, "/-/metrics", "HEAD") == (200, b"") and admin(site.stack, "/", "HEAD") == (404, b"")
    for method in ("POST", "PUT", "DELETE"):
        assert admin(site.stack, "/-/healthz", method)[0] == 405, method
    site.stack.kill(site.stack.redis_program)
    until(lambda: admin(site.stack, "/-/healthz")[0] == 503, "the broker to be unhealthy")
    site.stack.start_redis()
    until(lambda: admin(site.stack, "/-/healthz")[0] == 200, "the broker to be healthy again")


def test_handler_admin(own_site):
    """The same pages by HTTP, without a prefix, from this very handler."""
    site = own_site(handler=["--share"])
    second = site.stack.start_handler(number=1, at=site.stack.path("handler.sock"))
    paths = [site.stack.path("handler-admin.sock"), site.stack.path("handler-admin2.sock")]
    until(lambda: [admin(site.stack, "/-/healthz", path=path) for path in paths] == [(200, b"ok\n")] * 2, "both to be healthy")
    for _ in range(20):
        assert site.get().status == 200

    def served(path):
        status, page = admin(site.stack, "/-/metrics", path=path)
        assert status == 200
        return metrics(page.decode())['pipegate_handler_requests_total{outcome="relayed"}']
    assert sum(served(path) for path in paths) == 20
    for method, target in (("GET", "/"), ("GET", "/-/metrics/"), ("POST", "/-/metrics"), ("PUT", "/-/healthz"), ("GET", f"/{site.tunnel}/")):
        assert admin(site.stack, target, method, paths[0])[0] == 404
    assert admin(site.stack, "/-/metrics", "HEAD", paths[0]) == (200, b"")
    site.stack.kill(site.stack.redis_program)
    until(lambda: admin(site.stack, "/-/readyz", path=paths[0])[0] == 503, "the handler to be not ready")
    site.stack.start_redis()
    until(lambda: admin(site.stack, "/-/readyz", path=paths[0])[0] == 200, "the handler to be ready again")
    site.stack.end(second)
    assert not os.path.exists(paths[1])


@pytest.mark.parametrize("bytes_sent", ids=["nothing", "a byte", "a part", "zeros", "a long path", "a body"], argvalues=[b"", b"G", b"GET /-/metrics HTTP/1.1\r\n", b"\0" * 100, b"GET " + b"x" * 20_000,
                                        b"POST /-/metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000])
def test_handler_admin_is_bounded(own_stack, bytes_sent):
    """Connections that bring nothing, or rubbish, are few and end by themselves; requests of visitors do not feel it."""
    stack = own_stack([])
    path = stack.path("handler-admin.sock")
    until(lambda: admin(stack, "/-/healthz", path=path)[0] == 200, "a healthy handler")
    before = stack.handler.descriptors()
    connections = []
    for _ in range(80):  # more than are served
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(path)
        try:
            connection.sendall(bytes_sent)
        except OSError:
            pass  # it has seen enough
        connections.append(connection)
    assert fastcgi.request(stack.path("handler.sock"), fastcgi.params_of("GET", "/-/healthz")).status == 200
    assert stack.handler.descriptors() <= before + 64 + 2
    for connection in connections:
        connection.close()
    until(lambda: stack.handler.descriptors() <= before, "every connection to be closed")
    assert admin(stack, "/-/healthz", path=path)[0] == 200


def test_handler_admin_without_descriptors(own_stack, tmp_path):
    """When visitors' connections take all of them its pages wait, and cost nothing; when there are some again they answer."""
    stack = own_stack([])
    program = programs.Program("handler", [programs.path_of("pg-handler"), "--socket", str(tmp_path / "h"), "--redis", stack.bus,
                                           "--admin", f"unix:{tmp_path}/a"],
                               preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)))
    program.await_line("serving FastCGI", stream="err")
    first = socket.socket(socket.AF_UNIX)
    first.connect(str(tmp_path / "a"))
    visitors = [fastcgi.Connection(str(tmp_path / "h")) for _ in range(60)]
    program.await_line("no more file descriptors", stream="err")
    second = socket.socket(socket.AF_UNIX)
    second.connect(str(tmp_path / "a"))
    used = lambda: sum(map(int, open(f"/proc/{program.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))  # noqa: E731
    before = used()
    time.sleep(1)  # measured over time
    assert used() - before < 30, "hundredths of a second of CPU time"
    for connection in (first, second, *visitors):
        connection.close()
    until(lambda: admin(stack, "/-/healthz", path=str(tmp_path / "a"))[0] == 200, "its pages to be there again")
    program.stop()


def test_admin_is_not_on_the_public_socket(stack):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(stack.path("broker.sock"))
        connection.sendall(b"GET /-/metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"pipegate_" not in connection.recv(65536)


def test_no_client_on_the_admin_socket(stack):
    tunnel = new_tunnel()
    with pytest.raises((Refused, HungUp)):
        with Attacher(stack.admin, tunnel, stack.token(tunnel)) as attacher:
            attacher.receive()


def test_programs_are_quiet_when_idle(own_stack, own_service):
    """Heartbeats only, every two seconds or four: a program that polls would show here."""
    stack = own_stack(["caddy"])
    client = stack.client(stack.fronts["caddy"], new_tunnel(), own_service())

    def waits(program):
        """How often one of its threads went to sleep."""
        texts = [open(path).read() for path in glob.glob(f"/proc/{program.pid}/task/*/status")]
        return sum(int(n) for text in texts for n in re.findall(r"\nvoluntary_ctxt_switches:\s+(\d+)", text))
    ours = [stack.handler, stack.broker, client]
    before = [waits(p) for p in ours]
    time.sleep(3)  # measured over time: the one place where time has to pass
    after = [waits(p) for p in ours]
    for program, a, b in zip(ours, before, after):
        assert b - a <= 15, f"{program.name} woke {b - a} times in 3 s"
