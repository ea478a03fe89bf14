"""Request fields: a list that is passed on as it is, but for hop-by-hop fields, framing, and what PipeGate adds."""
import re
import uuid

import pytest

from kit import fastcgi
from kit.visitor import request_bytes

OURS = {"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix",
        "x-pipegate-correlation-id"}


def call_with(site, *fields, **options):
    response = site.get("/", fields, **options)
    assert response.status == 200, response
    return site.service.next()


def test_nothing_is_invented(site):
    call = call_with(site)
    assert {name.lower() for name, _ in call.fields} == OURS


@pytest.mark.parametrize("value",
                         ["v", "a, b;c=\"d\"", "\xe9\xff", "tab\there", "x" * 4000, "http://a/?b=c", "\"quoted, comma\""])
def test_value(site, value):
    assert call_with(site, ("X-Some", value)).value("X-Some") == value


def test_empty_value(site):
    assert call_with(site, ("X-Empty", "")).values("X-Empty") == ([""] if site.front.empty_fields else [])


def test_repeated_field(site):
    """The fronts join repeated fields; what counts is that their order and all values are there."""
    assert ", ".join(call_with(site, ("X-R", "1"), ("X-R", "2"), ("X-R", "1")).values("X-R")) == "1, 2, 1"


def test_cookies_are_joined_as_cookies(site):
    call = call_with(site, ("Cookie", "a=1; b=2"), ("Cookie", "c=3"))
    assert call.value("Cookie") == "a=1; b=2; c=3"


def test_one_cookie_is_left_alone(site):
    assert call_with(site, ("Cookie", 'a="x y"; b=,;c=%20==')).value("Cookie") == 'a="x y"; b=,;c=%20=='


@pytest.mark.parametrize("name", ["Accept", "Accept-Encoding", "User-Agent", "Referer", "Range", "If-None-Match", "Origin",
                                  "Content-Type", "Content-Encoding", "X-1", "Via", "Date"])
def test_ordinary_field(site, name):
    assert call_with(site, (name, "some/value")).value(name) == "some/value"


def test_authorization_is_for_the_local_service(site):
    assert call_with(site, ("Authorization", "Basic eDp5")).value("Authorization") == "Basic eDp5"


def test_hop_by_hop_fields_stay_here(site):
    gone = [("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("Proxy-Authorization", "Basic x"),
            ("Proxy-Authenticate", "Basic"), ("TE", "trailers"), ("Trailer", "X-T"), ("Upgrade", "foo")]
    call = call_with(site, *gone, ("X-Stay", "1"))
    names = {name.lower() for name, _ in call.fields}
    assert names == OURS | {"x-stay"}


def test_fields_named_by_connection_stay_here(site):
    raw = (f"GET {site.base}/ HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop ,x-other\r\nX-Hop: 1\r\nX-Other: 2\r\n"
           "X-Stay: 3\r\n\r\n")
    assert site.front.send(raw.encode()).status == 200
    assert {name.lower() for name, _ in site.service.next().fields} == OURS | {"x-stay"}


def test_connection_cannot_remove_what_pipegate_adds(site):
    raw = (f"GET {site.base}/ HTTP/1.1\r\nHost: a\r\nConnection: close, X-Forwarded-For, X-Forwarded-Host, "
           "X-Pipegate-Correlation-Id, Host\r\n\r\n")
    assert site.front.send(raw.encode()).status == 200
    assert {name.lower() for name, _ in site.service.next().fields} == OURS


def test_forwarded_fields(site):
    call = call_with(site, ("Host", "public.example:8443"))
    assert call.value("X-Forwarded-For") == "127.0.0.1"
    assert call.value("X-Forwarded-Proto") == "http"
    assert call.value("X-Forwarded-Host") == "public.example:8443"
    assert call.value("X-Forwarded-Prefix") == site.base


def test_visitor_cannot_forge_forwarded_fields(site):
    forged = ["X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Pipegate-Correlation-Id"]
    call = call_with(site, *[(name, "forged") for name in forged], ("X-Forwarded-For", "6.6.6.6"))
    for name in forged:
        assert "forged" not in call.value(name)
    # What the visitor claims may be passed on, but only before the address that the front saw.
    assert re.fullmatch(r"(6\.6\.6\.6, )?127\.0\.0\.1", call.value("X-Forwarded-For"))


def test_correlation_id_is_new_each_time(site):
    seen = {str(uuid.UUID(call_with(site).value("X-Pipegate-Correlation-Id"))) for _ in range(3)}
    assert len(seen) == 3


def test_host_is_the_local_services(site):
    assert call_with(site, ("Host", "public.example")).value("Host") == f"127.0.0.1:{site.service.port}"


def test_request_line_is_http_1_1(site):
    assert call_with(site).version == "HTTP/1.1"


def test_a_lot_of_fields(site):
    fields = [(f"X-Number-{i}", str(i)) for i in range(90)]
    call = call_with(site, *fields)
    assert [f for f in call.fields if f[0].lower().startswith("x-number")] and \
        {(n.lower(), v) for n, v in call.fields} >= {(n.lower(), v) for n, v in fields}


def test_large_cookie(site):
    cookie = "c=" + "x" * 15000
    assert call_with(site, ("Cookie", cookie)).value("Cookie") == cookie


def test_proxy_field_does_not_steer_anything(site):
    """HTTP_PROXY, as CGI calls a field named Proxy, must not make anyone use a proxy."""
    assert site.get("/", [("Proxy", "http://127.0.0.1:1")]).status == 200
    site.service.next()


def test_expect_is_the_fronts_business(site):
    assert site.request("POST", "/", [("Expect", "100-continue")], body=b"x").status == 200
    call = site.service.next()
    assert not call.values("Expect") and call.read_body() == b"x"


@pytest.mark.parametrize("params,scheme",
                         [({"REQUEST_SCHEME": "https"}, "https"), ({"REQUEST_SCHEME": "http", "HTTPS": "on"}, "https"),
                                           ({"REQUEST_SCHEME": "http"}, "http")])
def test_scheme_as_the_front_tells_it(any_site, params, scheme):
    sent = fastcgi.params_of("GET", f"/{any_site.tunnel}/", **params)
    assert fastcgi.request(any_site.stack.path("handler.sock"), sent).status == 200
    call = any_site.service.next()
    assert call.value("X-Forwarded-Proto") == scheme and call.value("X-Forwarded-For") == "192.0.2.7"


def test_a_visitors_websocket_is_no_client(site):
    """Without the subprotocol pipegate.v1 it is a request like any other; FastCGI cannot upgrade, so that is left out."""
    fields = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
              ("Sec-WebSocket-Protocol", "chat")]
    raw = request_bytes("GET", site.base + "/socket", [("Connection", "Upgrade"), *fields])
    with site.visit() as visitor:
        visitor.send(raw)
        assert visitor.response().status == 200
    call = site.service.next()
    assert call.target == "/socket" and not call.values("Upgrade") and not call.values("Connection")
