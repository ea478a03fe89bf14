"""Every limit, on both sides of it."""
import pytest

from kit import frames
from kit.attacher import Attacher, HungUp, Refused
from kit.stack import new_tunnel
from kit.wait import until


def own(response, status, code):
    assert (response.status, response.error) == (status, code), response


@pytest.mark.every_build
def test_body_at_the_limit(own_site):
    site = own_site(handler=["--max-body", "1m"])
    for chunked in (False, True):
        def send(size):
            body = b"x" * size
            return site.request("PUT", "/", body=[body[:1000], body[1000:]] if chunked else body, chunked=chunked)
        response = send(1 << 20)
        assert response.status == 200
        assert len(site.service.next().read_body()) == 1 << 20
        own(send((1 << 20) + 1), 413, "body-too-large")
    assert site.get().status == 200


def test_announced_body_over_the_limit_never_starts(own_site):
    site = own_site(handler=["--max-body", "1k"])
    own(site.request("PUT", "/", body=b"x" * 3_000_000), 413, "body-too-large")
    assert not site.service.seen


def test_no_body_limit_by_default(site):
    assert site.request("PUT", "/", body=b"x" * 20_000_000).status == 200


def fields_of(kilobytes):
    """Fields of 4,000 bytes each, with their names: no front minds one of that size."""
    return [(f"X-Large-{i}", "x" * 3991) for i in range(kilobytes // 4)]


@pytest.mark.parametrize("limit,fits,too_much", [("16k", 12, 20), ("32k", 28, 36)])
def test_request_head_at_the_limit(own_site, limit, fits, too_much):
    site = own_site(handler=["--max-header", limit])
    assert site.get("/", fields_of(fits)).status == 200
    own(site.get("/", fields_of(too_much)), 431, "header-too-large")
    assert len(site.service.seen) == 1


def test_request_head_of_many_fields_over_the_limit(own_site):
    site = own_site(handler=["--max-header", "4k"])
    own(site.get("/", [(f"X-Field-{i}", "x" * 50) for i in range(80)]), 431, "header-too-large")


def test_request_head_by_default(site):
    assert site.get("/", fields_of(44)).status == 200
    assert sum(len(value) for value in (v for _, v in site.service.next().fields)) > 11 * 3991
    own(site.get("/", fields_of(52)), 431, "header-too-large")


def test_one_large_field(site):
    """Up to what each front passes on: Apache 16 KiB, others more than our own limit."""
    size = site.front.largest_field
    assert site.get("/", [("Cookie", "c=" + "x" * size)]).status == 200
    assert len(site.service.next().value("Cookie")) == size + 2
    response = site.get("/", [("Cookie", "c=" + "x" * 50_000)])
    assert response.status == (431 if size > 16_000 else 400) and len(site.service.seen) == 1


def test_long_target(site):
    """It counts as part of the head."""
    size = site.front.longest_target
    assert site.get("/" + "a" * size).status == 200
    assert len(site.service.next().target) == size + 1
    assert site.get("/" + "a" * 50_000).status in (400, 414, 431)


def test_response_head(site):
    def answer(lines):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"x" * 7000)
                                                                      for i in range(lines)) \
            + b"\r\n"
    response = site.answered(answer(6))
    assert response.status == 200 and len([n for n, v in response.fields if len(v) == 7000]) == 6
    own(site.answered(answer(8)), 502, "local-service")


def test_clients_of_a_broker(own_stack):
    stack = own_stack([], broker=["--max-clients", "2"])

    def attach():
        tunnel = new_tunnel()
        attacher = Attacher(stack.path("broker.sock"), tunnel, stack.token(tunnel))
        attacher.receive(frames.ATTACHED)
        return attacher
    attached = [attach(), attach()]
    with pytest.raises(Refused) as refused:
        attach()
    assert refused.value.status == 503
    attached.pop().close()
    until(lambda: attachable(attach), "room for another")
    attached.pop().close()


def attachable(attach):
    try:
        attach().close()
        return True
    except (Refused, HungUp):
        return False


def test_how_long_a_tunnel_is_remembered(own_site):
    """Its client is away: visitors wait; it has been away for long: there is no such tunnel."""
    site = own_site(broker=["--remember", "6s"], handler=["--wait-timeout", "300ms"])
    site.stack.end(site.client)
    own(site.get(), 503, "client-away")
    until(lambda: site.get().error == "no-tunnel", "the tunnel to be forgotten", 10)
