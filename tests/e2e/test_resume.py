"""A broker that dies under running exchanges: both ends go on from what the other has."""
import random
import threading

import pytest

from kit.background import Background
from kit.wait import PATIENCE

SIZE = 24 * 1024 * 1024
BODY = random.Random(20261123).randbytes(SIZE)


def restart_broker(site):
    """kill -9, and another one at the same place; the client comes back by itself."""
    site.stack.kill(site.stack.broker)
    site.stack.start_broker()
    site.client.await_line("attached", stream="err", start=1)


@pytest.mark.every_build
def test_download_survives_a_dead_broker(own_site):
    site, middle = own_site(), threading.Event()

    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for i in range(0, SIZE, 65536):
            call.send(BODY[i:i + 65536])
            if i == SIZE // 2:
                middle.set()
    site.service.answer = answer
    visitor = Background(lambda: site.get(deadline=60))
    assert middle.wait(PATIENCE)
    restart_broker(site)
    response = visitor.result(60)
    assert response.status == 200 and response.body == BODY


@pytest.mark.every_build
def test_upload_survives_a_dead_broker(own_site):
    site, middle, got = own_site(), threading.Event(), []

    def answer(call):
        while piece := call.some():
            got.append(piece)
            if len(got) > 50:
                middle.set()
        call.reply(200, body=b"done")
    site.service.answer = answer
    visitor = Background(lambda: site.request("PUT", "/", body=BODY, deadline=60))
    assert middle.wait(PATIENCE)
    restart_broker(site)
    response = visitor.result(60)
    assert (response.status, response.body) == (200, b"done")
    assert b"".join(got) == BODY


def test_slow_response_survives_a_dead_broker(own_site):
    """Nothing is under way when it dies: the request is delivered once, and its response arrives."""
    site, release, bodies = own_site(), threading.Event(), []

    def answer(call):
        bodies.append(call.read_body())
        assert release.wait(60)
        call.reply(200, body=b"late")
    site.service.answer = answer
    visitor = Background(lambda: site.request("POST", "/", body=b"once", deadline=60))
    site.service.next()
    restart_broker(site)
    release.set()
    response = visitor.result(60)
    assert (response.status, response.body) == (200, b"late")
    assert bodies == [b"once"]
