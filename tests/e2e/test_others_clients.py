"""As others' clients do it: git, and a browser's kept connections."""
import gzip
import os
import subprocess

import pytest

from kit.background import Background
from kit.git_service import GitService
from kit.programs import found
from kit.stack import new_tunnel

MEGABYTES = 50


def git(*arguments, cwd=None):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
                   "GIT_TERMINAL_PROMPT": "0",
                   "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example", "GIT_COMMITTER_NAME": "A",
                   "GIT_COMMITTER_EMAIL": "a@example"}
    done = subprocess.run([found("git"), *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path):
    """A bare repository that weighs 50 MB, in many files and one large one, and the service before it."""
    work, bare = tmp_path / "work", tmp_path / "repo.git"
    git("init", "-q", "-b", "main", work)
    (work / "large").write_bytes(os.urandom((MEGABYTES - 5) * 1_000_000))
    for i in range(250):
        (work / f"small-{i}").write_bytes(os.urandom(20_000))
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "first", cwd=work)
    git("clone", "-q", "--bare", work, bare)
    git("config", "http.receivepack", "true", cwd=bare)
    service = GitService(tmp_path)
    yield service, bare
    service.close()


def test_git_clone_and_push_50_mb(stack, front_name, repository, tmp_path):
    service, bare = repository
    front, tunnel = stack.fronts[front_name], new_tunnel()
    client = stack.client(front, tunnel, service)
    copy = tmp_path / "copy"
    git("clone", "-q", f"{front.url(tunnel)}/repo.git", copy)
    assert git("rev-parse", "HEAD", cwd=copy) == git("rev-parse", "main", cwd=bare)
    git("fsck", "--full", cwd=copy)
    (copy / "more").write_bytes(os.urandom(MEGABYTES * 1_000_000))
    git("add", ".", cwd=copy)
    git("commit", "-q", "-m", "second", cwd=copy)
    git("push", "-q", "origin", "main", cwd=copy)
    assert git("rev-parse", "HEAD", cwd=copy) == git("rev-parse", "main", cwd=bare)
    git("fsck", "--full", cwd=bare)
    stack.end(client)


class Browser:
    """Kept connections, a few at a time, with the fields a browser sends."""
    fields = ("Host: {host}\r\nConnection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0\r\n"
              "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: de,en;q=0.5\r\n"
              "Accept-Encoding: gzip, deflate, br\r\nDNT: 1\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\n"
              "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nPriority: u=0, i\r\n")

    def __init__(self, site):
        self.site, self.connection = site, site.visit()
        self.cookies = {}

    def get(self, target, *more):
        cookie = f"Cookie: {'; '.join(f'{n}={v}' for n, v in self.cookies.items())}\r\n" if self.cookies else ""
        raw = f"GET {self.site.base}{target} HTTP/1.1\r\n{self.fields.format(host=f'localhost:{self.site.front.port}')}{cookie}"
        self.connection.send((raw + "".join(f"{line}\r\n" for line in more) + "\r\n").encode())
        response = self.connection.response()
        for each in response.values("Set-Cookie"):
            name, _, value = each.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response


PAGE = gzip.compress(b"<html>" + b"hello " * 5000)


def shop(call):
    """A site with pages, cookies, validators and redirects."""
    call.read_body()
    if call.values("If-None-Match") == ['"v1"']:
        call.reply(304, [("ETag", '"v1"')])
    elif call.target == "/login":
        call.reply(302, [("Location", "/home"), ("Set-Cookie", "session=1; Path=/; HttpOnly"), ("Set-Cookie", "theme=dark")])
    elif call.target == "/home":
        call.reply(200, [("X-Cookies", call.value("Cookie"))], b"home")
    elif call.target == "/missing":
        call.reply(404, [("Content-Type", "text/html")], b"<h1>no</h1>")
    else:
        call.reply(200,
                   [("Content-Type", "text/html"), ("Content-Encoding", "gzip"), ("ETag", '"v1"'),
                    ("Vary", "Accept-Encoding")], PAGE)


@pytest.mark.every_build
def test_browser(site):
    site.service.answer = shop
    browser = Browser(site)
    page = browser.get("/")
    assert page.body == PAGE and page.value("ETag") == '"v1"'
    assert browser.get("/", 'If-None-Match: "v1"').status == 304
    assert browser.get("/login").status == 302
    home = browser.get("/home")
    assert (home.body, home.value("X-Cookies")) == (b"home", "session=1; theme=dark")
    assert browser.get("/missing").status == 404
    assert browser.get("/style.css").body == PAGE
    assert not browser.connection.ended, "one connection carried it all"


def test_six_connections_at_once(site):
    """A page with many pictures."""
    site.service.answer = lambda call: (call.read_body(), call.reply(200, [], call.target.encode() * 1000))
    def fetch(number):
        browser = Browser(site)
        for i in range(20):
            assert browser.get(f"/{number}/{i}").body == f"/{number}/{i}".encode() * 1000
    for each in [Background(fetch, number) for number in range(6)]:
        each.result(60)


def test_pipelined_requests(site):
    """Old, but allowed: requests sent before the answers came."""
    site.service.answer = lambda call: (call.read_body(), call.reply(200, [], call.target.encode()))
    with site.visit() as visitor:
        visitor.send(b"".join(f"GET {site.base}/{i} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for i in range(5)))
        assert [visitor.response().body for _ in range(5)] == [b"/%d" % i for i in range(5)]


def test_http_1_0_visitor(site):
    response = site.front.send(f"GET {site.base}/old HTTP/1.0\r\nHost: a\r\n\r\n".encode())
    assert (response.status, response.body) == (200, b"ok")


def test_curl_follows_download_and_resumes(site, tmp_path):
    """curl -C -: the second part of a file, by Range."""
    data = os.urandom(300_000)

    def answer(call):
        call.read_body()
        ranges = call.values("Range")
        if ranges:
            start = int(ranges[0].removeprefix("bytes=").rstrip("-"))
            call.reply(206, [("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")], data[start:])
        else:
            call.reply(200, [("Accept-Ranges", "bytes")], data)
    site.service.answer = answer
    file = tmp_path / "file"
    file.write_bytes(data[:100_000])
    subprocess.run([found("curl"), "-sS", "--max-time", "30", "-f", "-C", "-", "-o", str(file), site.url], check=True)
    assert file.read_bytes() == data
