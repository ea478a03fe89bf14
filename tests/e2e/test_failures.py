"""The failure table of DESIGN section 6, row by row, behind both fronts."""
import os
import socket
import threading
import time

import pytest

from kit import fastcgi, frames, fronts
from kit.background import Background
from kit.service import LocalService
from kit.stack import Site, new_tunnel
from kit.visitor import BrokenOff
from kit.wait import until

BROWSER = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]


def check_own(response, status, code):
    """An answer of PipeGate's own: it names itself and says something to read."""
    assert (response.status, response.error) == (status, code), response
    assert len(response.body) > 20, response
    return response


# --- 404

NOT_A_TUNNEL = ["/", "/x", "/not-a-uuid/x", "/123e4567-e89b-12d3-a456-42661417400/",
                "/123e4567-e89b-12d3-a456-4266141740000/",
                "/{123e4567-e89b-12d3-a456-426614174000}/", "/123e4567e89b12d3a456426614174000/",
                "/123e4567-e89b-12d3-a456-42661417400g/",
                "//123e4567-e89b-12d3-a456-426614174000/", "/%31%32%33e4567-e89b-12d3-a456-426614174000/", "/favicon.ico"]


@pytest.mark.parametrize("target", NOT_A_TUNNEL)
def test_id_is_no_uuid(site, target):
    check_own(site.front.request("GET", target), 404, "no-tunnel")


def test_never_attached(site):
    began = time.monotonic()
    check_own(site.front.request("GET", f"/{new_tunnel()}/"), 404, "no-tunnel")
    assert time.monotonic() - began < 5, "it waited for a client that nobody ever saw"


@pytest.mark.parametrize("method,body", [("POST", b"x" * 500_000), ("PUT", b""), ("PROPFIND", None), ("OPTIONS", None)])
def test_never_attached_with_other_methods(site, method, body):
    check_own(site.front.request(method, f"/{new_tunnel()}/", body=body), 404, "no-tunnel")


def test_head_of_an_error_has_no_body(site):
    response = site.front.request("HEAD", f"/{new_tunnel()}/")
    assert (response.status, response.error) == (404, "no-tunnel")


def test_error_for_a_browser_is_a_page(site):
    response = check_own(site.front.request("GET", f"/{new_tunnel()}/", BROWSER), 404, "no-tunnel")
    assert response.value("Content-Type").startswith("text/html") and b"<html" in response.body.lower()


@pytest.mark.parametrize("accept", [[], [("Accept", "*/*")], [("Accept", "application/json")]])
def test_error_for_a_program_is_text(site, accept):
    response = check_own(site.front.request("GET", f"/{new_tunnel()}/", accept), 404, "no-tunnel")
    assert response.value("Content-Type").startswith("text/plain") and b"<" not in response.body


def test_error_page_cannot_be_scripted(site):
    """What the visitor sent does not come back as markup."""
    response = site.front.request("GET", "/<script>alert(1)</script>", BROWSER)
    assert response.status == 404 and b"<script>alert" not in response.body


# --- 503: client away, too many

def test_client_away(own_site):
    site = own_site(handler=["--wait-timeout", "1s"])
    site.stack.end(site.client)
    began = time.monotonic()
    response = check_own(site.get(), 503, "client-away")
    assert 0.9 < time.monotonic() - began < 8
    assert int(response.value("Retry-After")) > 0


@pytest.mark.every_build
def test_client_away_and_back_in_time(own_site):
    site = own_site()
    with site.stack.redis() as redis:
        waiting = site.queued(redis, "/waited")
    site.stack.client(site.front, site.tunnel, site.service)
    assert waiting.result().body == b"ok"
    assert site.service.next().target == "/waited"
    assert len(site.service.seen) == 1


def hold(site):
    """The local service holds every request until released."""
    release = threading.Event()

    def answer(call):
        call.read_body()
        assert release.wait(60)
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    site.service.answer = answer
    return release


def in_background(site, count, tunnel=None):
    return [Background(site.front.request, "GET", f"/{tunnel or site.tunnel}/") for _ in range(count)]


def all_200(visitors):
    return all(visitor.result().status == 200 for visitor in visitors)


@pytest.mark.parametrize("option", ["--max-in-flight", "--max-tunnel-in-flight"])
def test_too_many_in_flight(own_site, option):
    site = own_site(handler=[option, "3"])
    release = hold(site)
    results = in_background(site, 3)
    until(lambda: len(site.service.seen) == 3, "three requests in flight")
    response = check_own(site.get(), 503, "overloaded")
    assert int(response.value("Retry-After")) > 0
    release.set()
    assert all_200(results)
    assert site.get().status == 200


def test_one_tunnel_does_not_fill_another(own_site):
    site = own_site(handler=["--max-tunnel-in-flight", "2"])
    other = new_tunnel()
    site.stack.client(site.front, other, site.service)
    release = hold(site)
    results = in_background(site, 2)
    until(lambda: len(site.service.seen) == 2, "two requests in flight")
    check_own(site.get(), 503, "overloaded")
    more = in_background(site, 1, other)
    until(lambda: len(site.service.seen) == 3, "the other tunnel's request to get through")
    release.set()
    assert all_200(results) and all_200(more)


def test_too_many_waiting(own_site):
    site = own_site(handler=["--max-waiting", "2", "--wait-timeout", "20s"])
    site.stack.end(site.client)
    results = in_background(site, 2)
    with site.stack.redis() as redis:
        def waiting():
            return [redis.call("LLEN", key) for key in redis.keys("*requests*")] == [2]
        until(waiting, "two requests to wait")
    response = check_own(site.get(), 503, "overloaded")
    assert int(response.value("Retry-After")) > 0
    site.stack.client(site.front, site.tunnel, site.service)
    assert all_200(results)


def test_too_many_at_the_client(own_site):
    site = own_site(client=["--max-concurrent", "2"])
    release = hold(site)
    results = in_background(site, 2)
    until(lambda: len(site.service.seen) == 2, "two requests in flight")
    check_own(site.get(), 503, "overloaded")
    release.set()
    assert all_200(results)


def test_what_was_refused_is_not_done_later(own_site):
    """A copy of a request that had no room, when there is: its visitor has had a 503."""
    site = own_site(client=["--max-concurrent", "1"])
    release = hold(site)
    held = Background(site.get, "/held")
    site.service.next()
    copy = frames.envelope(site.tunnel) + frames.frame(frames.OPEN, frames.open_whole(b"GET", b"/refused", time.time() + 600),
                                                       flags=frames.END, exchange=os.urandom(16), handler=os.urandom(16))
    with site.stack.redis() as redis:
        queue = redis.keys("pg:*")[0].split(b"}")[0] + b"}:requests:" + site.tunnel.encode()
        redis.call("RPUSH", queue, copy)
        check_own(site.get("/refused-too"), 503, "overloaded")  # both have come to the client
        release.set()
        assert held.result().body == b"ok"
        redis.call("RPUSH", queue, copy)
    assert site.get("/after").body == b"ok"
    assert [call.target for call in site.service.seen] == ["/held", "/after"]


# --- 400: what a front would not let through is shown to the handler directly, as a front would send it

BAD_PARAMS = {
    "method with a space": ("GE T", "/{t}/", []), "empty method": ("", "/{t}/", []),
    "method with CR": ("GET\r\nX: 1", "/{t}/", []),
    "method with a byte of 0x80": ("G\x80T", "/{t}/", []),
    "target with a space": ("GET", "/{t}/a b", []), "target with LF": ("GET", "/{t}/a\nb", []),
    "target with CRLF": ("GET", "/{t}/a HTTP/1.1\r\nX: 1", []),
    "target with DEL": ("GET", "/{t}/a\x7fb", []), "query with a tab": ("GET", "/{t}/?a\tb", []),
    "value with CRLF": ("GET", "/{t}/", [("X-A", "1\r\nX-B: 2")]), "value with LF": ("GET", "/{t}/", [("X-A", "1\n")]),
    "cookie with CR": ("GET", "/{t}/", [("Cookie", "a\rb")]),
    "host with CRLF": ("GET", "/{t}/", [("Host", "a\r\nX: 1")]),
}


@pytest.mark.parametrize("case", BAD_PARAMS)
def test_bad_request(any_site, case):
    method, target, fields = BAD_PARAMS[case]
    params = fastcgi.params_of(method, target.format(t=any_site.tunnel), fields)
    check_own(fastcgi.request(any_site.stack.path("handler.sock"), params), 400, "bad-request")
    assert not any_site.service.seen


@pytest.mark.parametrize("target,value", [("/a\0b", "1"), ("/", "1\0 2")])
def test_nul_is_not_passed_on(any_site, target, value):
    """In FastCGI's parameters a NUL ends the value, if it is not refused."""
    params = fastcgi.params_of("GET", f"/{any_site.tunnel}{target}", [("X-A", value)])
    response = fastcgi.request(any_site.stack.path("handler.sock"), params)
    assert response.status in (200, 400)
    assert all(b"\0" not in call.raw_head for call in any_site.service.seen)


@pytest.mark.parametrize("length", ["x", "-2", "+1", "1 2", "0x10", "99999999999999999999999"])
def test_bad_content_length(any_site, length):
    params = fastcgi.params_of("POST", f"/{any_site.tunnel}/", CONTENT_LENGTH=length)
    check_own(fastcgi.request(any_site.stack.path("handler.sock"), params, b"x"), 400, "bad-request")


@pytest.mark.parametrize("line", ["GE(T {}/ HTTP/1.1", "GET {}/a b HTTP/1.1", "GET {}/\x01 HTTP/1.1"])
def test_bad_request_at_a_front(site, line):
    """Whoever refuses it first: the local service must not see it."""
    response = site.front.send((line.format(site.base) + "\r\nHost: a\r\nConnection: close\r\n\r\n").encode("latin1"))
    assert response.status in (400, 404, 405, 501) and not site.service.seen


# --- 502, 504: the local service

def test_nothing_listens(own_site, front_name):
    site = own_site(attach=False)
    nobody = LocalService()
    site.stack.client(site.front, site.tunnel, nobody)
    nobody.close()
    response = check_own(site.get(), 502, "local-service")
    assert b"refused" in response.body.lower(), "the visitor is told what the client saw"


NO_HTTP = {
    "closes at once": b"", "garbage": b"\x00\x01\x02\xff" * 50 + b"\r\n\r\n", "another protocol": b"SSH-2.0-OpenSSH_9\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", "status 99": b"HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", "only interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "bad field name": b"HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 0\r\n\r\n",
    "no field name": b"HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 0\r\n\r\n",
    "line without colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X-A: 1234567890\r\n" * 200_000,
}


@pytest.mark.parametrize("case", NO_HTTP)
def test_speaks_no_http(site, case):
    def answer(call):
        call.read_body()
        call.send(NO_HTTP[case])
        call.close()
    check_own(site.answered(answer), 502, "local-service")
    assert site.answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").body == b"next"


@pytest.mark.every_build
def test_resets(site):
    response = check_own(site.answered(lambda call: call.reset()), 502, "local-service")
    assert response.body


def test_resets_while_the_request_comes(site):
    def answer(call):
        call.some()
        call.reset()
    check_own(site.answered(answer, "POST", body=b"x" * 2_000_000), 502, "local-service")


def test_post_is_delivered_once_even_if_the_service_hangs_up(site):
    """A kept connection that dies must not make the client send a POST again."""
    assert site.request("POST", "/first", body=b"1").status == 200
    check_own(site.answered(lambda call: call.reset(), "POST", "/second", body=b"2"), 502, "local-service")
    assert [call.target for call in site.service.seen] == ["/first", "/second"]


def test_no_first_byte_in_time(own_site):
    site = own_site(handler=["--first-byte-timeout", "1s"])
    release = hold(site)
    check_own(site.get(), 504, "timeout")
    release.set()
    site.service.answer = site.service.default
    assert site.get().status == 200


def test_first_byte_timeout_is_not_for_the_whole(own_site):
    """A response that began in time may take longer."""
    site = own_site(handler=["--first-byte-timeout", "1s"])

    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        assert not threading.Event().wait(1.6)
        call.send(b"cd")
    assert site.answered(answer).body == b"abcd"


def test_timed_out_request_is_cancelled_at_the_local_service(own_site):
    site = own_site(handler=["--first-byte-timeout", "1s"])
    hung_up = []

    def answer(call):
        call.await_hangup()
        hung_up.append(True)
    check_own(site.answered(answer), 504, "timeout")
    until(lambda: hung_up, "the client to hang up on the local service")


# --- 503: Redis

def test_redis_away(own_site):
    site = own_site(handler=["--path-timeout", "1s", "--wait-timeout", "1s"])
    site.stack.kill(site.stack.redis_program)
    check_own(site.get(), 503, "bus-unavailable")


def test_redis_away_and_back(own_site):
    site = own_site(handler=["--path-timeout", "1s", "--wait-timeout", "2s"])
    site.stack.kill(site.stack.redis_program)
    check_own(site.get(), 503, "bus-unavailable")
    site.stack.start_redis()

    until(site.works, "the tunnel to work again after Redis came back")


def test_redis_full(own_site):
    site = own_site(handler=["--path-timeout", "1s"])
    with site.stack.redis() as redis:
        redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        redis.call("CONFIG", "SET", "maxmemory", "1")
        check_own(site.get(), 503, "bus-unavailable")
        redis.call("CONFIG", "SET", "maxmemory", "0")
    until(site.works, "the tunnel to work again with memory")


def test_redis_fills_up_while_a_request_waits(own_site):
    """The request is in Redis already: that it cannot be queued once more is no reason to refuse it."""
    site = own_site()
    with site.stack.redis() as redis:
        waiting = site.queued(redis, "/waited")
        redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        redis.call("CONFIG", "SET", "maxmemory", "1")
        until(lambda: b"errorstat_OOM" in redis.call("INFO", "errorstats"), "Redis to refuse something")
        redis.call("CONFIG", "SET", "maxmemory", "0")
    site.stack.client(site.front, site.tunnel, site.service)
    assert waiting.result().body == b"ok"
    assert [call.target for call in site.service.seen] == ["/waited"]


# --- the client is gone, and does not come back

# The handler asks after a client it has not heard of for 15 s, and then waits as long as a path may take to come back. That takes
# long, and is the same behind every front.
once = pytest.mark.parametrize("front_name", fronts.NAMES[:1])


@once
def test_client_dies_during_a_request(own_site):
    """A POST that may have been done waits for the client that has it, and is not done again."""
    site = own_site(handler=["--path-timeout", "2s", "--wait-timeout", "2s"])
    release = hold(site)
    # More than a window: when all of it is there, the handler has heard of the client that took it.
    waiting = Background(lambda: site.request("POST", "/", body=b"x" * 1_000_000, deadline=60))
    call = site.service.next()
    until(lambda: call.body, "the whole body to arrive")
    site.stack.kill(site.client)
    check_own(waiting.result(60), 503, "client-away")
    release.set()


@once
def test_client_dies_during_a_response(own_site):
    site = own_site(handler=["--path-timeout", "1s"])
    gone = threading.Event()

    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabcd")
        gone.wait(30)
    site.service.answer = answer
    with site.visit(60) as visitor:
        visitor.send(f"GET {site.base}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        response = visitor.head()
        site.stack.kill(site.client)
        gone.set()
        with pytest.raises(BrokenOff):
            visitor.body(response)


# --- the front without its handler

def test_handler_away(own_site):
    """Not our answer, but not a false one either; and everything works again when it is back."""
    site = own_site()
    site.stack.end(site.stack.handler)
    response = site.get()
    assert response.status in (502, 503) and response.error is None
    site.stack.start_handler()
    until(site.works, "the tunnel to work with a new handler", 10)


def test_handler_refuses_nobody_it_has_room_for(site):
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(site.stack.path("handler.sock"))
        assert site.get().status == 200


def test_shared_options(site):
    """The site fixture's tunnel is one that works: guards the tests above against testing a broken one."""
    assert isinstance(site, Site) and site.get().status == 200
