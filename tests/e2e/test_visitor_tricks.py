"""A visitor cannot make the client connect anywhere but its target."""
import socket

import pytest

from kit import fastcgi


class Trap:
    """A listener that nobody may ever connect to."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.place = f"127.0.0.1:{self.listener.getsockname()[1]}"

    def is_empty(self):
        try:
            self.listener.accept()
            return False
        except BlockingIOError:
            return True


@pytest.fixture
def trap():
    trap = Trap()
    yield trap
    assert trap.is_empty(), "somebody was made to connect to it"
    trap.listener.close()


def test_absolute_form_keeps_its_path(site, trap):
    response = site.front.send(f"GET http://{trap.place}{site.base}/a//b?c HTTP/1.1\r\nHost: {trap.place}\r\n"
                               "Connection: close\r\n\r\n".encode())
    assert response.status == 200
    call = site.service.next()
    assert call.target == "/a//b?c" and call.value("Host") == f"127.0.0.1:{site.service.port}"


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "file", "HTTP"])
def test_absolute_form_of_any_scheme(any_site, trap, scheme):
    params = fastcgi.params_of("GET", f"{scheme}://{trap.place}/{any_site.tunnel}/x?y")
    response = fastcgi.request(any_site.stack.path("handler.sock"), params)
    if response.status == 200:
        assert any_site.service.next().target == "/x?y"
    else:
        assert response.error in ("bad-request", "no-tunnel")


@pytest.mark.parametrize("target",
                         ["//{}/x", "///{}/", "/http://{}/", "/@{}/", "/\\\\{}\\x", "/.//{}/", "/%2F%2F{}/", "/?//{}/",
                                    "/:{}@x/", "/#@{}/", "/..//{}/"])
def test_target_that_looks_like_an_address(site, trap, target):
    response = site.get(target.format(trap.place))
    if response.status == 200:
        call = site.service.next()
        assert call.target.startswith("/") and call.value("Host") == f"127.0.0.1:{site.service.port}"
    else:
        assert not site.service.seen


@pytest.mark.parametrize("fields",
                         [[("Host", "{}")], [("X-Forwarded-Host", "{}")], [("X-Host", "{}")], [("Forwarded", "host={}")],
                                    [("X-Original-URL", "http://{}/")], [("Proxy", "http://{}")],
                          [("X-Rewrite-Url", "//{}/")]])
def test_fields_that_name_a_place(site, trap, fields):
    told = [(name, value.format(trap.place)) for name, value in fields]
    assert site.get("/", told).status == 200
    assert site.service.next().value("Host") == f"127.0.0.1:{site.service.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_client_follows_no_redirect(site, trap, status):
    answer = f"HTTP/1.1 {status} X\r\nLocation: http://{trap.place}/\r\nContent-Length: 0\r\n\r\n".encode()
    response = site.answered(answer)
    assert response.status == status and len(site.service.seen) == 1


@pytest.mark.parametrize("target", ["{t}/x", "", "*", "http://", "://{t}", "/"])
def test_targets_that_name_no_tunnel(any_site, target):
    params = fastcgi.params_of("GET", target.format(t=any_site.tunnel))
    response = fastcgi.request(any_site.stack.path("handler.sock"), params)
    assert response.error in ("bad-request", "no-tunnel") and not any_site.service.seen


def test_request_smuggling_by_two_framings(site):
    """Content-Length and Transfer-Encoding together: one request at most reaches the local service, framed by us."""
    inner = f"GET {site.base}/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    raw = f"POST {site.base}/outer HTTP/1.1\r\nHost: a\r\nContent-Length: {5 + len(inner)}\r\nTransfer-Encoding: chunked\r\n\r\n" \
          f"0\r\n\r\n{inner}"
    with site.visit() as visitor:
        visitor.send(raw.encode())
        visitor.response()
    assert all(call.method == "POST" or call.framing is None for call in site.service.seen)
    assert sum(call.target == "/outer" for call in site.service.seen) <= 1


def test_framing_fields_are_not_copied(any_site):
    """Shown to the handler as a front might pass them on."""
    params = fastcgi.params_of("POST", f"/{any_site.tunnel}/",
                               [("Content-Length", "999"), ("Transfer-Encoding", "gzip, chunked")],
                               CONTENT_LENGTH="3")
    assert fastcgi.request(any_site.stack.path("handler.sock"), params, b"abc").status == 200
    call = any_site.service.next()
    assert call.read_body() == b"abc" and call.framing in (3, "chunked")
    assert len(call.values("Content-Length") + call.values("Transfer-Encoding")) == 1
