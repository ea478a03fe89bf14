"""Responses: status, fields in order with duplicates, bodies as bytes; hop-by-hop fields, Status, 1xx and trailers dropped."""
import gzip
import hashlib
import os
import socket

import pytest

from kit.service import OK

EVERY_BYTE = bytes(range(256)) * 3


def raw(status, *lines, body=b""):
    return f"HTTP/1.1 {status} X\r\n".encode() + b"".join(line.encode("latin1") + b"\r\n" for line in lines) + b"\r\n" + body


@pytest.mark.every_build
@pytest.mark.parametrize("status",
                         [200, 201, 202, 203, 206, 207, 226, 299, 300, 301, 302, 307, 308, 400, 401, 402, 403, 404, 405,
                                    406, 409, 410, 412, 413, 416, 417, 418, 422, 428, 429, 451, 499, 500, 501, 502, 503, 504,
                                    511, 599])
def test_status(site, status):
    response = site.answered(raw(status, "Content-Length: 4", body=b"body"))
    assert (response.status, response.body, response.error) == (status, b"body", None)


def test_fields_as_they_came(site):
    response = site.answered(raw(200, "Content-Length: 0", "X-One: 1", "ETag: W/\"x\"", "X-Empty:", "X-Two: a, b;c=\"d\"",
                                 "Location: /there//x?y%20z", "WWW-Authenticate: Basic realm=\"a, b\"", "Vary: Accept",
                                 "Cache-Control: no-store", "Content-Type: text/plain; charset=x", "Retry-After: 7"))
    expected = {"X-One": "1", "ETag": 'W/"x"', "X-Two": 'a, b;c="d"', "Location": "/there//x?y%20z",
                "WWW-Authenticate": 'Basic realm="a, b"', "Vary": "Accept", "Cache-Control": "no-store",
                "Content-Type": "text/plain; charset=x", "Retry-After": "7"}
    assert {name: response.value(name) for name in expected} == expected
    assert response.values("X-Empty") == ([""] if site.front.empty_fields else [])


def test_set_cookie_repeated(site):
    cookies = ["a=1; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT", "b=2; HttpOnly", "a=3"]
    response = site.answered(raw(200, "Content-Length: 0", *[f"Set-Cookie: {c}" for c in cookies]))
    assert response.values("Set-Cookie") == cookies


def test_other_repeated_fields(site):
    response = site.answered(raw(200, "Content-Length: 0", "Link: <a>", "X-R: 1", "Link: <b>", "X-R: 2"))
    assert ", ".join(response.values("Link")) == "<a>, <b>"
    assert ", ".join(response.values("X-R")) == "1, 2"


def test_bytes_in_values(site):
    response = site.answered(raw(200, "Content-Length: 0", "X-Latin: caf\xe9\xff", "X-Tab: a\tb"))
    assert (response.value("X-Latin"), response.value("X-Tab")) == ("caf\xe9\xff", "a\tb")


def test_large_field(site):
    """Apache answers 500 to response lines over some 8,180 bytes, so that is what a site can count on."""
    response = site.answered(raw(200, "Content-Length: 0", "X-Large: " + "x" * 8150, "X-More: " + "y" * 8150))
    assert len(response.value("X-Large")) == len(response.value("X-More")) == 8150


def test_many_fields(site):
    response = site.answered(raw(200, "Content-Length: 0", *[f"X-F{i}: {i}" for i in range(200)]))
    assert [response.value(f"X-F{i}") for i in range(200)] == [str(i) for i in range(200)]


def test_a_line_of_blanks_ends_no_head(site):
    """It continues the field before it, with nothing (RFC 9112 5.2)."""
    response = site.answered(raw(200, "Content-Length: 2", "X-Before: 1", " \t", "X-After: 2", body=b"ok"))
    assert response.value("X-Before") == "1" and response.value("X-After") == "2" and response.body == b"ok"


def test_hop_by_hop_fields_and_status_are_dropped(site):
    response = site.answered(raw(200, "Content-Length: 2", "Keep-Alive: timeout=3", "Proxy-Connection: x", "Upgrade: h2c",
                                 "Proxy-Authenticate: Basic", "TE: x", "Status: 500 Wrong", "Connection: X-Hop", "X-Hop: 1",
                                 "X-Stay: 2", body=b"ok"))
    assert response.status == 200 and response.body == b"ok"
    for name in ("Keep-Alive", "Proxy-Connection", "Upgrade", "Proxy-Authenticate", "TE", "Status", "X-Hop"):
        # Apache adds a Keep-Alive of its own to a connection that it keeps; this one it does not.
        assert not response.has(name), name
    assert response.value("X-Stay") == "2"


def test_local_service_cannot_pose_as_pipegate(site):
    """X-Pipegate-Error is ours alone: from the local service it would read as an answer of ours."""
    response = site.answered(raw(200, "Content-Length: 0", "X-Pipegate-Error: no-tunnel"))
    assert response.status == 200 and not response.has("X-Pipegate-Error")


@pytest.mark.every_build
@pytest.mark.parametrize("size", [0, 1, 8184, 48000, 65312, 65313, 262144, 262145, 3_000_001])
def test_length_is_kept(site, size):
    body = os.urandom(size)
    response = site.answered(raw(200, f"Content-Length: {size}", body=body))
    assert response.value("Content-Length") == str(size) and response.body == body


def test_every_byte(site):
    assert site.answered(raw(200, f"Content-Length: {len(EVERY_BYTE)}", body=EVERY_BYTE)).body == EVERY_BYTE


@pytest.mark.every_build
def test_chunked(site):
    def answer(call):
        call.send(raw(200, "Transfer-Encoding: chunked"))
        for piece in (b"one", EVERY_BYTE, b"x" * 100_000):
            call.chunk(piece)
        call.send(b"0\r\n\r\n")
    response = site.answered(answer)
    assert response.body == b"one" + EVERY_BYTE + b"x" * 100_000


def test_trailers_are_dropped(site):
    def answer(call):
        call.send(raw(200, "Transfer-Encoding: chunked", "Trailer: X-T"), b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n")
    response = site.answered(answer)
    assert response.body == b"ok" and not response.has("X-T") and not response.has("Trailer")


def test_body_until_the_connection_closes(site):
    def answer(call):
        call.send(raw(200, "Content-Type: text/plain", body=b"until the end"))
        call.close()
    assert site.answered(answer).body == b"until the end"


def test_http_1_0_service(site):
    def answer(call):
        call.send(b"HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nold")
        call.close()
    response = site.answered(answer)
    assert (response.status, response.body, response.value("X-Old")) == (200, b"old", "1")


def test_interim_responses_are_dropped(site):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    response = site.answered(interim + OK)
    assert (response.status, response.body) == (200, b"ok")
    assert not response.interim and not response.has("Link")


@pytest.mark.every_build
@pytest.mark.parametrize("length", [None, 0, 12345])
def test_head(site, length):
    lines = [f"Content-Length: {length}"] if length is not None else []
    response = site.answered(raw(200, *lines, "X-H: 1"), method="HEAD")
    assert response.status == 200 and response.body == b"" and response.value("X-H") == "1"
    if length:
        assert response.value("Content-Length") == str(length)


def test_head_keeps_the_connection(site):
    """Nothing but the head of a HEAD's response arrives, or the next one on the connection would be garbled."""
    site.service.answer = lambda call: call.send(raw(200, "Content-Length: 5", body=b"" if call.method == "HEAD"
                                                     else b"after"))
    with site.visit() as visitor:
        visitor.send(f"HEAD {site.base}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert visitor.response("HEAD").status == 200
        visitor.send(f"GET {site.base}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert visitor.response().body == b"after"


@pytest.mark.every_build
@pytest.mark.parametrize("status", [204, 304])
def test_no_body(site, status):
    response = site.answered(raw(status, "X-N: 1", 'ETag: "e"'))
    assert (response.status, response.value("ETag"), response.body) == (status, '"e"', b"")


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_and_the_connection_goes_on(site, status):
    site.service.answer = lambda call: call.send(raw(status) if call.target == "/none" else OK)
    with site.visit() as visitor:
        visitor.send(f"GET {site.base}/none HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert visitor.response().status == status
        visitor.send(f"GET {site.base}/some HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert visitor.response().body == b"ok"


def test_304_with_a_length(site):
    response = site.answered(raw(304, "Content-Length: 1000", 'ETag: "e"'))
    assert (response.status, response.body) == (304, b"")


def test_range(site):
    def answer(call):
        assert call.value("Range") == "bytes=2-4"
        call.send(raw(206, "Content-Range: bytes 2-4/10", "Content-Length: 3", "Accept-Ranges: bytes", body=b"234"))
    response = site.answered(answer, fields=[("Range", "bytes=2-4")])
    assert (response.status, response.body, response.value("Content-Range")) == (206, b"234", "bytes 2-4/10")


def test_range_that_cannot_be(site):
    response = site.answered(raw(416, "Content-Range: bytes */10", "Content-Length: 0"), fields=[("Range", "bytes=20-")])
    assert (response.status, response.value("Content-Range")) == (416, "bytes */10")


def test_gzip_is_not_touched(site):
    body = gzip.compress(b"hello" * 1000)
    response = site.answered(raw(200, "Content-Encoding: gzip", "Content-Type: text/html", f"Content-Length: {len(body)}",
                                 body=body),
                             fields=[("Accept-Encoding", "gzip")])
    assert response.body == body and response.value("Content-Encoding") == "gzip"


def test_text_is_not_packed_on_the_way(site):
    """Debian's Apache packs text for whoever accepts gzip; through the tunnel it may not."""
    body = b"<p>hello</p>" * 1000
    response = site.answered(raw(200, "Content-Type: text/html", 'ETag: "x"', f"Content-Length: {len(body)}", body=body),
                             fields=[("Accept-Encoding", "gzip, br")])
    assert response.body == body and not response.has("Content-Encoding") and response.value("ETag") == '"x"'


def test_redirects_are_the_visitors(site):
    response = site.answered(raw(302, "Location: http://127.0.0.1:1/", "Content-Length: 0"))
    assert (response.status, response.value("Location")) == (302, "http://127.0.0.1:1/")
    assert len(site.service.seen) == 1


def test_local_service_in_small_pieces(site):
    def answer(call):
        call.connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw(200, "X-Slow: yes", "Content-Length: 3", body=b"abc"):
            call.send(bytes([byte]))
    response = site.answered(answer)
    assert (response.body, response.value("X-Slow")) == (b"abc", "yes")


def test_large_download_arrives_whole(site):
    size, sent, got = 30_000_000, hashlib.sha256(), hashlib.sha256()
    block = os.urandom(1_000_000)

    def answer(call):
        call.send(raw(200, f"Content-Length: {size}"))
        for _ in range(size // len(block)):
            sent.update(block)
            call.send(block)
    site.service.answer = answer
    with site.visit(60) as visitor:
        visitor.send(f"GET {site.base}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        visitor.head()
        while piece := visitor.some():
            got.update(piece)
    assert got.digest() == sent.digest()
