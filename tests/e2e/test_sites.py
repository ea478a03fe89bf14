"""The files of deploy/ in a site: with their own values, with lists of handlers and brokers, and over HTTP/2."""
import hashlib
import os
import subprocess
import threading
import time

import pytest

from kit import fastcgi, fronts
from kit.background import Background
from kit.programs import found, run
from kit.visitor import request_bytes
from kit.wait import until

LISTS = pytest.mark.parametrize("front_name", [name for name in fronts.NAMES if fronts.CLASSES[name].takes_lists])


@pytest.mark.skipif(os.getuid() != 0, reason="gives the front a /run/pipegate of its own, which takes root")
def test_with_its_own_values(own_site):
    """Nothing is set: the prefix is /tunnels, the sockets are in /run/pipegate; what else the site serves stays its own."""
    site = own_site(prefix="/tunnels", defaults=True)
    response = site.request("POST", "/a//b?c", body=[b"x" * 100_000], chunked=True)
    assert response.status == 200
    call = site.service.next()
    assert (call.target, call.read_body()) == ("/a//b?c", b"x" * 100_000)
    assert call.value("X-Forwarded-Prefix") == site.base
    assert site.front.request("GET", "/-/healthz").status == 200
    assert site.front.send(request_bytes("GET", "/elsewhere/", [("Connection", "close")])).body == b"the site's own"


# What a site may have said of all its errors.
OWN_ERRORS = {
    "caddy": 'handle_errors {\n\t\trespond "the site\'s own" 500\n\t}',
    "apache": """ProxyErrorOverride On
ErrorDocument 401 "the site's own"
ErrorDocument 404 "the site's own"
ErrorDocument 502 "the site's own\"""",
    "nginx": "error_page 401 404 502 /elsewhere/; proxy_intercept_errors on; fastcgi_intercept_errors on;",
    "lighttpd": 'server.error-handler = "/elsewhere/"\nserver.error-intercept = "enable"',
}


def test_own_errors_of_a_site(own_site, front_name):
    """They stay out of the tunnels."""
    site = own_site(extra=OWN_ERRORS[front_name])
    site.service.answer = lambda call: call.reply(404, body=b"not here, says the local service")
    response = site.get()
    assert (response.status, response.body) == (404, b"not here, says the local service")
    site.service.answer = lambda call: call.close()
    response = site.get()
    assert (response.status, response.error) == (502, "local-service") and b"the site's own" not in response.body
    refused = run("pg-client", "--port", "1", "--server-url", site.front.url(site.tunnel, "ws"), "--token", "a.b.c")
    assert refused.status == 3 and "pg-broker token" in refused.err.text(), refused.last_words()


# --- several handlers and brokers, each with a socket of its own

@pytest.fixture
def listed(own_site):
    """Two of each."""
    site = own_site(attach=False, handlers=2, brokers=2)
    site.stack.start_handler(number=1)
    site.stack.start_broker(number=1)
    site.client = site.stack.client(site.front, site.tunnel, site.service)
    return site


def statuses(site, method, count=24):
    """Of that many requests, one after the other; and the seconds they took."""
    began = time.monotonic()
    body = b"x" if method == "POST" else None
    return [site.request(method, f"/{method}", body=body).status for _ in range(count)], time.monotonic() - began


@LISTS
def test_posts_of_a_handler_that_is_killed_are_not_done_twice(listed):
    """They are lost, whichever front it is; the other handler's are not touched."""
    site, release = listed, threading.Event()

    def answer(call):
        call.read_body()
        assert release.wait(60)
        call.reply(200)
    site.service.answer = answer
    # Small ones, an empty one among them, and some that are too large to be sent with their heads.
    bodies = [b"", b"x", b"y" * 20_000, b"z" * 1_000_000] * 3
    posts = [Background(site.request, "POST", f"/{i}", (), body) for i, body in enumerate(bodies)]
    until(lambda: len(site.service.seen) == len(posts), "all of them to reach the local service")
    site.stack.kill(site.stack.handler)
    site.service.answer = site.service.default
    assert site.get("/after").status in (200, 503)
    release.set()
    ends = [post.result().status for post in posts]
    assert set(ends) == {200, site.front.handler_died}, ends
    assert sorted(call.target for call in site.service.seen if call.method == "POST") == sorted(f"/{i}" for i in range(12))


@LISTS
def test_a_dead_handler_of_two(listed):
    """Who is answered by the front because of it, and how often."""
    site, front = listed, listed.front
    assert set(statuses(site, "GET")[0]) == {200}
    site.stack.kill(site.stack.handler)
    for method in ("GET", "POST"):
        ends, seconds = statuses(site, method)
        refused = len([status for status in ends if status != 200])
        if method in front.passes_unsent:
            assert refused == 0, ends
        else:  # as often as the front tries whether it is back
            assert refused <= 1 + seconds / front.tries_again_after, (ends, seconds)
            assert set(ends) <= {200, front.handler_died}
    site.stack.start_handler()
    path = site.stack.path("handler.sock")

    def served():
        assert site.get("/back").status == 200
        return b'pipegate_handler_requests_total{status="2xx"} 0' not in \
            fastcgi.request(path, fastcgi.params_of("GET", "/-/metrics")).body
    until(served, "the handler to get requests again", 30)


@LISTS
def test_a_dead_broker_of_two(listed):
    """Its clients attach at the other, new ones too."""
    site = listed
    site.stack.kill(site.stack.broker)
    until(site.works, "the tunnel to work by way of the other broker")
    for _ in range(3):
        client = site.stack.client(site.front, site.tunnel, site.service, wait=False)
        client.await_line("attached|another client", stream="err")
        site.stack.running.remove(client)
        client.kill()


def test_a_broken_upload_keeps_nobody_out(own_site):
    """What a visitor breaks off is no failure of the handler, the only one there is (as passive health would have it)."""
    site = own_site()
    began = time.monotonic()
    for _ in range(8):
        with site.visit() as visitor:
            visitor.send(f"PUT {site.base}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".encode() + b"x" * 300_000)
            until(lambda: any(call.method == "PUT" for call in site.service.seen), "the upload to begin")
        site.service.seen.clear()
        assert site.get().status == 200
    assert time.monotonic() - began < 7, "each second one was kept waiting"


# --- HTTP/2 to visitors

def command(site, *arguments):
    url = f"http://127.0.0.1:{site.front.h2_port}{site.base}/h2"
    return [found("curl"), "-sSN", "--http2-prior-knowledge", "--max-time", "60", *arguments, url]


def curl(site, *arguments, data=None):
    """(status, body) of a request with HTTP/2."""
    done = subprocess.run(command(site, "-w", "\n%{http_version} %{http_code}", *arguments), input=data, capture_output=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    body, _, line = done.stdout.rpartition(b"\n")
    version, status = line.split()
    assert version == b"2"
    return int(status), body


def test_http_2(own_site):
    site = own_site(h2=True)
    assert curl(site) == (200, b"ok")
    assert site.service.next().framing is None
    data = os.urandom(3_000_000)
    uploads = [["--data-binary", "@-"], ["-T", "-"]]  # a POST with a length, a PUT without
    if site.front.post_without_length:
        uploads.append(["-T", "-", "-X", "POST"])
    for arguments in uploads:
        assert curl(site, *arguments, data=data) == (200, b"ok")
        assert hashlib.sha256(site.service.next().read_body()).digest() == hashlib.sha256(data).digest()
    site.service.answer = lambda call: call.reply(200, [("X-Long", "x" * 8000)], data)
    assert curl(site) == (200, data)


HTTP2_STREAM_ERROR, TIMED_OUT = 92, 28  # curl's


def test_http_2_that_breaks_off(own_site):
    """curl says so: it never looks complete, but may have no end."""
    site, seen = own_site(h2=True), threading.Event()

    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        call.chunk(b"part")
        assert seen.wait(20)
        call.reset()
    site.service.answer = answer
    limit = 20 if site.front.aborts_h2 else 2
    with subprocess.Popen(command(site, "--max-time", str(limit)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as visitor:
        assert visitor.stdout.read(4) == b"part"
        seen.set()
        said = visitor.communicate()[1]
    expected = {HTTP2_STREAM_ERROR} if site.front.aborts_h2 else {HTTP2_STREAM_ERROR, TIMED_OUT}
    assert visitor.returncode in expected, said
