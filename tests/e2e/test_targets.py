"""Methods and targets reach the local service byte for byte."""
import pytest

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH",
           "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "BREW", "TRACE",
           "X-OWN!#$%&'*+.^_`|~1", "Mixed"]

TARGETS = [
    "/", "/a", "/a/", "//", "//a//b//", "/a%2Fb", "/a%2fb", "/%2F", "/%2e%2e/a", "/a/./b", "/a%20b", "/%C3%A9%e4", "/a+b%2B",
    "/?", "/a?", "/a??", "/a?b=c&b=c&&=&%", "/a?%zz%00%0a", "/a?/../b//c", "/a?b?c", "/;p=1;q", "/~!$&'()*,:@=", "/%7e%41",
    "/%0d%0aX:%20y", "/%3f%23", "/%5c", "/a:80/b", "/-/healthz", "/-/metrics", "/" + "long/" * 800, "/a?" + "q" * 6000,
]

# Bytes that should not be in a path, but come. Caddy percent-encodes a path that has one.
ILLEGAL = [('/a"b', "/a%22b"), ("/a|b<c>", "/a%7Cb%3Cc%3E"), ("/caf\xe9", "/caf%E9"), ("/{x}", "/%7Bx%7D"), ("/\\", "/%5C")]


@pytest.mark.every_build
@pytest.mark.parametrize("method", METHODS)
def test_method(site, method):
    seen = site.front.method_seen(method)
    response = site.request(method, "/m", body=b"" if method == "POST" else None)
    if isinstance(seen, int):
        assert response.status == seen and response.error is None and not site.service.seen
        return
    assert response.status == 200, response
    call = site.service.next()
    assert (call.method, call.target) == (seen, "/m")
    assert response.body == (b"" if method == "HEAD" else b"ok")


@pytest.mark.every_build
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t[:24])
def test_target(site, target):
    check_target(site, target)


def check_target(site, target):
    response = site.get(target)
    if any(part in target for part in site.front.refuses_in_targets):
        assert response.status == 400 and response.error is None and not site.service.seen
        return
    assert response.status == 200
    assert site.service.next().target == target


@pytest.mark.parametrize("target,encoded", ILLEGAL, ids=lambda t: ascii(t))
def test_illegal_bytes_in_the_path(site, target, encoded):
    assert site.get(target).status == 200
    assert site.service.next().target == (encoded if site.name == "caddy" else target)


@pytest.mark.parametrize("target", ["/a?\xe9<>\"{}|`^", "/a?\xff"], ids=ascii)
def test_raw_bytes_in_the_query(site, target):
    check_target(site, target)


def test_path_that_leaves_its_directory_stays_on_this_tunnel(site):
    # Within the tunnel, dots are the local service's business.
    assert site.get("/a/../b").status == 200
    assert site.service.next().target == "/a/../b"


def test_no_path_after_the_tunnel(site):
    """http://host/<uuid> is the service's root: an empty path is sent as "/" (RFC 9112 3.2.1)."""
    assert site.get("").status == 200
    assert site.service.next().target == "/"


def test_query_right_after_the_tunnel(site):
    assert site.get("?a=b").status == 200
    assert site.service.next().target == "/?a=b"


def test_upper_case_tunnel(site):
    assert site.front.request("GET", f"/{site.tunnel.upper()}/up").status == 200
    assert site.service.next().target == "/up"


def test_under_a_prefix(own_site):
    site = own_site(prefix="/tunnels")
    assert site.get("/a%2Fb//c?d").status == 200
    call = site.service.next()
    assert call.target == "/a%2Fb//c?d"
    assert call.value("X-Forwarded-Prefix") == f"/tunnels/{site.tunnel}"


def test_the_rest_of_the_site_is_its_own(own_site):
    site = own_site(prefix="/tunnels")
    with site.visit() as visitor:
        visitor.send(b"GET /elsewhere/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        response = visitor.response()
    assert (response.status, response.body) == (200, b"the site's own")
    assert not site.service.seen
