"""Request bodies are bytes, whatever is in them and however long."""
import gzip
import hashlib
import os
import random
import subprocess

import pytest

from kit import fastcgi
from kit.programs import found
from kit.service import OK, Closed
from kit.wait import until

EVERY_BYTE = bytes(range(256)) * 3


def body_of(site, body, method="POST", fields=(), **options):
    response = site.request(method, "/b", fields, body=body, **options)
    assert response.status == 200, response
    call = site.service.next()
    return call, call.read_body()


@pytest.mark.every_build
@pytest.mark.parametrize("size", [1, 2, 100, 8184, 65312, 65313, 262144, 262145, 1_000_003])
def test_size(site, size):
    body = os.urandom(size)
    call, got = body_of(site, body)
    assert got == body and call.framing == size


@pytest.mark.every_build
@pytest.mark.parametrize("seed", range(6))
def test_records_in_pieces(any_site, seed):
    """As no web server sends them, and as one may: records of any length and padding, cut anywhere on their way."""
    pick = random.Random(seed)
    body = pick.randbytes(pick.choice([20_000, 300_000]))
    raw, at = b"", 0
    while at < len(body):
        content = body[at:at + pick.choice([1, 7, 8, 300, 8192, 65_535])]
        raw += fastcgi.record(fastcgi.STDIN, content, padding=pick.choice([0, 1, 7, 255]))
        at += len(content)
    raw += fastcgi.record(fastcgi.STDIN)
    with fastcgi.Connection(any_site.stack.path("handler.sock")) as connection:
        connection.begin(fastcgi.params_of("PUT", f"/{any_site.tunnel}/b", CONTENT_LENGTH=str(len(body))))
        at = 0
        while at < len(raw):
            step = pick.choice([1, 8, 9, 300, 8192, 70_000])
            connection.send(raw[at:at + step])
            at += step
        assert connection.response().status == 200
    assert any_site.service.next().read_body() == body


@pytest.mark.parametrize("content", [b"", b"x" * 100], ids=["empty", "some"])
def test_record_of_another_request(any_site, content):
    """libfcgi passes over it and waits for the next one. Nobody else may wait for that."""
    with fastcgi.Connection(any_site.stack.path("handler.sock")) as connection:
        connection.begin(fastcgi.params_of("POST", f"/{any_site.tunnel}/", CONTENT_LENGTH="100000"))
        connection.send(fastcgi.record(fastcgi.STDIN, b"y" * 50_000))
        assert any_site.service.next().method == "POST"
        connection.send(fastcgi.record(fastcgi.STDIN, content, request=2))
        for _ in range(5):
            assert any_site.get("/").status == 200


def test_every_byte(site):
    assert body_of(site, EVERY_BYTE)[1] == EVERY_BYTE


def test_looks_like_a_request(site):
    body = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n"
    assert body_of(site, body)[1] == body
    assert len(site.service.seen) == 1


def test_no_body_has_no_length(site):
    assert site.get("/").status == 200
    assert site.service.next().framing is None


def test_empty_body_with_a_length(site):
    call, got = body_of(site, b"")
    assert got == b"" and call.framing == 0


def test_post_without_body_and_length(site):
    response = site.request("POST", "/")
    if not site.front.post_without_length:
        assert response.status == 411 and not site.service.seen
        return
    assert response.status == 200
    call = site.service.next()
    assert call.framing in (None, 0) and call.read_body() == b""


@pytest.mark.parametrize("method", ["GET", "DELETE", "PROPFIND"])  # Caddy drops that of OPTIONS
def test_body_where_it_is_unusual(site, method):
    assert body_of(site, b"<xml/>", method)[1] == b"<xml/>"


@pytest.mark.every_build
def test_chunked(site):
    call, got = body_of(site, [b"a", b"bc" * 1000, EVERY_BYTE, b"e"], chunked=True)
    assert got == b"a" + b"bc" * 1000 + EVERY_BYTE + b"e"


def test_chunked_and_empty(site):
    assert body_of(site, [], chunked=True)[1] == b""


def test_chunked_and_large(site):
    pieces = [os.urandom(40_000) for _ in range(50)]
    assert body_of(site, pieces, chunked=True)[1] == b"".join(pieces)


def test_gzip_is_not_touched(site):
    body = gzip.compress(b"hello" * 1000)
    call, got = body_of(site, body, fields=[("Content-Encoding", "gzip"), ("Content-Type", "text/plain")])
    assert got == body
    assert (call.value("Content-Encoding"), call.value("Content-Type")) == ("gzip", "text/plain")


def test_no_content_type_is_invented(site):
    call, _ = body_of(site, b"x")
    assert not call.values("Content-Type")


@pytest.mark.parametrize("flags", [["-T", "{file}"], ["--data-binary", "@{file}"], ["-F", "f=@{file}"],
                                   ["-T", "{file}", "-H", "Transfer-Encoding: chunked"],
                                   ["--data-binary", "@{file}", "-H", "Expect: 100-continue"]],
                         ids=["put", "post", "form", "chunked", "expect"])
def test_curl(site, tmp_path, flags):
    """curl waits for 100 Continue with bodies over 1 MiB, or when told."""
    data = os.urandom(1_500_000)
    file = tmp_path / "file"
    file.write_bytes(data)
    command = [found("curl"), "-sS", "--max-time", "30", "-w", "%{http_code}", *[f.format(file=file) for f in flags],
               site.url + "x"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.stdout == b"ok200", done
    body = site.service.next().read_body()
    assert data in body if "-F" in flags else body == data


def test_curl_waits_no_second_for_100_continue(site, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    command = [found("curl"), "-sS", "--max-time", "30", "--expect100-timeout", "20", "-H", "Expect: 100-continue",
               "-o", "/dev/null", "-w", "%{time_total}", "-T", str(file), site.url]
    taken = float(subprocess.run(command, capture_output=True, check=True).stdout)
    assert taken < 10


# Fronts gather some of a body before they pass it on, so pieces have to be larger than their buffers.
PIECE = os.urandom(200_000)


def test_slow_and_in_pieces(site):
    """The body reaches the local service as it comes, before it is complete."""
    arrived = bytearray()

    def answer(call):
        while piece := call.some():
            arrived.extend(piece)
        call.body = bytes(arrived)
        call.send(OK)
    site.service.answer = answer
    with site.visit() as visitor:
        visitor.send(f"PUT {site.base}/ HTTP/1.1\r\nHost: a\r\nContent-Length: {2 * len(PIECE)}\r\n\r\n".encode() + PIECE)
        until(lambda: len(arrived) > 60_000, "the first half of the body to arrive alone")
        assert len(arrived) <= len(PIECE)
        visitor.send(PIECE)
        assert visitor.response().status == 200
    assert arrived == PIECE + PIECE


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_upload_that_breaks_off(site, framing):
    """The local service sees a broken body, not a shorter one."""
    ended = []

    def answer(call):
        try:
            call.read_body()
            ended.append("complete")
        except Closed:
            ended.append("broken")
            raise
    collected = "chunked" in framing and not site.front.streams_chunked_uploads
    site.service.answer = site.service.default if collected else answer
    with site.visit() as visitor:
        piece = PIECE if "Length" in framing else b"%x\r\n%s\r\n" % (len(PIECE), PIECE)
        visitor.send(f"PUT {site.base}/ HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode() + piece)
        if collected:
            assert site.get("/later").status == 200
        else:
            site.service.next()
    if collected:  # a front that has it all first passes on nothing of it
        assert site.get("/last").status == 200
        assert [call.target for call in site.service.seen] == ["/later", "/last"]
        return
    until(lambda: ended, "the local service to see the end of it")
    assert ended == ["broken"]


def test_large_upload_arrives_whole(site):
    size, digest, seen = 30_000_000, hashlib.sha256(), hashlib.sha256()

    def answer(call):
        while piece := call.some():
            seen.update(piece)
        call.body = b""
        call.send(OK)
    site.service.answer = answer
    block = os.urandom(1_000_000)
    with site.visit(60) as visitor:
        visitor.send(f"PUT {site.base}/ HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // len(block)):
            digest.update(block)
            visitor.send(block)
        assert visitor.response().status == 200
    assert seen.digest() == digest.digest()
