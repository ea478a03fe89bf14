"""pg-client as its user sees it: options, targets, what it prints, when it gives up and when it goes on."""
import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from kit import ports, tokens
from kit.background import Background
from kit.programs import Program, found, path_of, run
from kit.relay import Relay
from kit.stack import Site, new_tunnel
from kit.wait import until


def start(stack, *arguments, env=None, tunnel=None, token=True):
    """A client with exactly these arguments; the token comes by the environment unless told otherwise."""
    environment = {"PIPEGATE_TOKEN": stack.token(tunnel)} if token and tunnel else {}
    program = Program("client", [path_of("pg-client"), *arguments], env={**environment, **(env or {})})
    stack.running.append(program)
    return program


@pytest.fixture
def tunnel():
    return new_tunnel()


@pytest.fixture
def front(stack, front_name):
    return stack.fronts[front_name]


@pytest.fixture
def clients(stack):
    """Ends the clients a test started on the shared stack."""
    before = list(stack.running)
    yield
    for program in [p for p in stack.running if p not in before]:
        stack.end(program)


pytestmark = pytest.mark.usefixtures("clients")


def works(front, tunnel, service):
    service.reset()
    response = front.request("GET", f"/{tunnel}/works")
    assert response.status == 200, response
    return service.next()


# --- where to

def test_port(stack, front, service, tunnel):
    client = start(stack, "--port", str(service.port), "--server-url", front.url(tunnel, "ws"), tunnel=tunnel)
    client.await_line(tunnel)
    works(front, tunnel, service)


@pytest.mark.parametrize("option", ["--server-url", "--server_url"])
def test_server_url(stack, front, service, tunnel, option):
    client = start(stack, "--target", service.target, option, front.url(tunnel, "ws"), tunnel=tunnel)
    client.await_line(tunnel)
    works(front, tunnel, service)


def test_everything_from_the_environment(stack, front, service, tunnel):
    client = start(stack, env={"PIPEGATE_SERVER_URL": front.url(tunnel, "ws"), "PIPEGATE_TARGET": service.target},
                   tunnel=tunnel)
    client.await_line(tunnel)
    works(front, tunnel, service)


def test_flags_win_over_the_environment(stack, front, service, tunnel):
    client = start(stack, "--server-url", front.url(tunnel, "ws"), "--port", str(service.port), "--token",
                   stack.token(tunnel),
                   env={"PIPEGATE_SERVER_URL": front.url(new_tunnel(), "ws"), "PIPEGATE_PORT": "1",
                        "PIPEGATE_TOKEN": "wrong"})
    client.await_line(tunnel)
    works(front, tunnel, service)


def test_token_file(stack, front, service, tunnel, tmp_path):
    file = tmp_path / "token"
    file.write_text(stack.token(tunnel) + "\n")
    client = start(stack, "--port", str(service.port), "--server-url", front.url(tunnel, "ws"), "--token-file", str(file))
    client.await_line(tunnel)
    works(front, tunnel, service)


def test_trailing_slash(stack, front, service, tunnel):
    client = start(stack, "--port", str(service.port), "--server-url", front.url(tunnel, "ws") + "/", tunnel=tunnel)
    client.await_line(tunnel)
    works(front, tunnel, service)


def test_makes_a_tunnel_where_none_is_given(own_stack, service, front_name):
    """Only a broker told --open takes a tunnel that nobody made a token for."""
    stack = own_stack([front_name], broker=["--open"])
    front = stack.fronts[front_name]
    client = start(stack, "--port", str(service.port), "--server-url", front.url("", "ws"))
    tunnel = client.await_line(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").group(0)
    works(front, tunnel, service)


def test_server_under_a_prefix(own_stack, own_service, front_name):
    stack = own_stack([front_name], prefix="/some/tunnels")
    front, served, tunnel = stack.fronts[front_name], own_service(), new_tunnel()
    client = stack.client(front, tunnel, served)
    client.await_line(re.escape(f"http://127.0.0.1:{front.port}/some/tunnels/{tunnel}"))
    assert Site(stack, front, tunnel, served).get("/a").status == 200


# --- what stands behind

def certificate(directory, name="localhost"):
    key, crt = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
    subprocess.run([found("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", key, "-out", crt],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    return context, crt


def test_https_target_self_signed(stack, front, own_service, tunnel, tmp_path):
    context, _ = certificate(tmp_path)
    served = own_service(tls=context)
    stack.client(front, tunnel, served, "--target-insecure")
    assert front.request("GET", f"/{tunnel}/").body == b"ok"


def test_https_target_is_verified(stack, front, own_service, tunnel, tmp_path):
    context, _ = certificate(tmp_path)
    served = own_service(tls=context)
    stack.client(front, tunnel, served)
    response = front.request("GET", f"/{tunnel}/")
    assert (response.status, response.error) == (502, "local-service")
    assert not served.seen


def test_unix_target(stack, front, own_service, tunnel, tmp_path):
    served = own_service(unix=str(tmp_path / "service.sock"))
    stack.client(front, tunnel, served)
    assert front.request("GET", f"/{tunnel}/a?b").body == b"ok"
    assert served.next().target == "/a?b"


def test_target_with_a_path(stack, front, service, tunnel):
    """The service lives below a path of its server."""
    client = start(stack, "--target", service.target + "/base", "--server-url", front.url(tunnel, "ws"), tunnel=tunnel)
    client.await_line(tunnel)
    assert front.request("GET", f"/{tunnel}/a//b?c").status == 200
    assert service.next().target == "/base/a//b?c"


@pytest.mark.parametrize("option,expected", [("visitor", "seen.example:81"), ("fixed.example", "fixed.example")])
def test_host_header(stack, front, service, tunnel, option, expected):
    stack.client(front, tunnel, service, "--host-header", option)
    assert front.request("GET", f"/{tunnel}/", [("Host", "seen.example:81")]).status == 200
    assert service.next().value("Host") == expected


def test_keeps_few_connections_to_the_local_service(own_site):
    """A small service may serve each connection by a process or a thread: idle ones must not use them up. A POST may not be sent
    on a kept connection (it could be delivered twice), but neither need its own be kept."""
    site = own_site()
    for _ in range(60):
        assert site.request("POST", "/", body=b"x").status == 200
    assert site.service.connections <= 61
    until(lambda: len(site.service.open) <= 20, "connections that nobody will use to be closed", 5)


def test_connect_timeout(stack, front, service, tunnel):
    """A local service that does not even accept: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        filling = [socket.socket() for _ in range(3)]
        for each in filling:
            each.setblocking(False)
            each.connect_ex(address)
        client = start(stack, "--port", str(address[1]), "--server-url", front.url(tunnel, "ws"), "--connect-timeout",
                       "500ms",
                       tunnel=tunnel)
        client.await_line(tunnel)
        began = time.monotonic()
        response = front.request("GET", f"/{tunnel}/")
        assert (response.status, response.error) in [(502, "local-service"), (504, "timeout")]
        assert 0.4 < time.monotonic() - began < 8
        for each in filling:
            each.close()


# --- what it prints

def test_prints_the_public_url_then_a_line_a_request(stack, front, service, tunnel):
    client = stack.client(front, tunnel, service)
    client.await_line(re.escape(front.url(tunnel)))
    service.answer = lambda call: (call.read_body(), call.reply(418, body=b"x" * 321))
    front.request("PROPFIND", f"/{tunnel}/some/path?q=1")
    line = client.await_line("PROPFIND").string
    assert re.search(r"\d\d:\d\d:\d\d", line) and "/some/path?q=1" in line and re.search(r"\b418\b", line)
    assert re.search(r"\d+(\.\d+)? ?ms", line) and re.search(r"\b321\b", line), line


def test_a_visitor_cannot_write_into_the_log(stack, front, service, tunnel):
    """Control bytes would let a visitor paint the terminal."""
    client = stack.client(front, tunnel, service)
    front.request("GET", f"/{tunnel}/a\x9b31mred?\x80\x9f")
    client.await_line("GET /a")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", client.out.text())


def test_quiet(stack, front, service, tunnel):
    client = stack.client(front, tunnel, service, "--quiet", wait=False)
    until(lambda: front.request("GET", f"/{tunnel}/quiet").status == 200, "the tunnel to work")
    stack.end(client)
    assert "/quiet" not in client.out.text()


def test_failed_requests_are_in_the_log_too(stack, front, service, tunnel):
    client = stack.client(front, tunnel, service)
    service.answer = lambda call: call.reset()
    assert front.request("GET", f"/{tunnel}/fails").status == 502
    client.await_line(r"GET /fails.*\b502\b")


# --- when it ends

@pytest.mark.every_build
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_with_0_when_told(stack, front, service, tunnel, number):
    client = stack.client(front, tunnel, service)
    client.process.send_signal(number)
    assert client.wait() == 0
    stack.running.remove(client)


def test_ends_when_told_while_the_server_is_away(service, tunnel):
    client = Program("client",
                     [path_of("pg-client"), "--port", str(service.port), "--server-url", f"ws://127.0.0.1:1/{tunnel}"])
    client.await_line(".", stream="err")  # it says that it cannot connect, and goes on
    client.stop()


def test_drains_when_told(stack, front, service, tunnel):
    """A request in flight is answered before the client ends."""
    client = stack.client(front, tunnel, service)
    release = threading.Event()

    def answer(call):
        assert release.wait(30)
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    service.answer = answer
    visitor = Background(front.request, "GET", f"/{tunnel}/")
    service.next()
    client.process.send_signal(signal.SIGTERM)
    release.set()
    assert visitor.result().body == b"done"
    assert client.wait() == 0
    stack.running.remove(client)


USAGE = {
    "no server": ["--port", "3000"], "no target": ["--server-url", "ws://a/{t}"], "unknown option": ["--nonsense"],
    "port that is none": ["--port", "x", "--server-url", "ws://a/{t}"],
    "port 0": ["--port", "0", "--server-url", "ws://a/{t}"],
    "port too high": ["--port", "65536", "--server-url", "ws://a/{t}"],
    "port and target": ["--port", "1", "--target", "http://a", "--server-url", "ws://a/{t}"],
    "bad scheme": ["--port", "1", "--server-url", "gopher://a/{t}"], "no host": ["--port", "1", "--server-url", "ws:///{t}"],
    "bad target": ["--target", "ftp://a", "--server-url", "ws://a/{t}"],
    "stray argument": ["--port", "1", "--server-url", "ws://a/{t}", "x"],
    "missing token file": ["--port", "1", "--server-url", "ws://a/{t}", "--token-file", "/does/not/exist"],
    "bad host header": ["--port", "1", "--server-url", "ws://a/{t}", "--host-header", "a\nb"],
    "zero concurrency": ["--port", "1", "--server-url", "ws://a/{t}", "--max-concurrent", "0"],
    "missing ca": ["--port", "1", "--server-url", "wss://a/{t}", "--ca", "/does/not/exist"],
    "ca that cannot be read twice": ["--port", "1", "--server-url", "wss://a/{t}", "--ca", "/dev/null"],
    "ca without a certificate": ["--port", "1", "--server-url", "wss://a/{t}", "--ca", "/proc/self/status"],
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(case, tunnel):
    done = run("pg-client", *[a.format(t=tunnel) for a in USAGE[case]])
    assert done.status == 2 and len(done.err.lines) == 1 and not done.out.lines, done.last_words()


def bad_tokens(stack, tunnel):
    secret = open(stack.secret_file, "rb").read()
    now = int(time.time())
    return {
        "none": "", "garbage": "garbage", "three dots": "a.b.c",
        "another secret": tokens.make(b"x" * 64, tunnel), "another tunnel": tokens.make(secret, new_tunnel()),
        "no tunnel": tokens.make(secret, tunnel, sub=None), "expired": tokens.make(secret, tunnel, exp=now - 600),
        "not yet": tokens.make(secret, tunnel, nbf=now + 600), "no expiry": tokens.make(secret, tunnel, exp=None),
        "another issuer": tokens.make(secret, tunnel, iss="x"), "another audience": tokens.make(secret, tunnel, aud="x"),
        "alg none": tokens.make(secret, tunnel, header={"alg": "none"}).rpartition(".")[0] + ".",
        "alg none, signed": tokens.make(secret, tunnel, header={"alg": "none", "typ": "JWT"}),
        "HS512 claimed": tokens.make(secret, tunnel, header={"alg": "HS512", "typ": "JWT"}),
        "HS512": tokens.sign(secret, {"alg": "HS512", "typ": "JWT"}, tokens.decode(tokens.make(secret, tunnel))[1],
                             digest=hashlib.sha512),
        "cut": tokens.make(secret, tunnel)[:-3], "very long": "x" * 5000,
    }


@pytest.mark.parametrize("kind",
                         ["none", "garbage", "three dots", "another secret", "another tunnel", "no tunnel", "expired",
                          "not yet",
                                  "no expiry", "another issuer", "another audience", "alg none", "alg none, signed",
                          "HS512 claimed",
                                  "HS512", "cut", "very long"])
def test_refused_token(any_site, kind, tunnel):
    stack, front = any_site.stack, any_site.front
    token = bad_tokens(stack, tunnel)[kind]
    done = run("pg-client", "--port", "1", "--server-url", front.url(tunnel, "ws"), env={"PIPEGATE_TOKEN": token} if token
               else {})
    # What is far too long for a token need not even be tried.
    assert done.status == (2 if kind == "very long" else 3), done.last_words()
    assert "token" in done.err.text().lower()
    if len(token) > 10:
        assert token not in done.err.text() and token not in stack.broker.err.text(), "a refused token is never logged"


def test_refused_token_through_each_front(stack, front, tunnel):
    done = run("pg-client", "--port", "1", "--server-url", front.url(tunnel, "ws"),
               env={"PIPEGATE_TOKEN": stack.token(new_tunnel())})
    assert done.status == 3
    assert "the server refuses the token (HTTP 401): " in done.err.text() and "made up" not in done.err.text()
    assert f"; on the server, pg-broker token --tunnel {tunnel} makes one" in done.err.text(), "and what to do about it"


@pytest.mark.parametrize("status", [401, 403])
def test_refused_by_the_web_server(own_service, tunnel, status):
    """Another token is no cure where the site itself wants a login."""
    served = own_service()
    served.answer = lambda call: call.reply(status)
    done = run("pg-client", "--port", "1", "--server-url", f"ws://127.0.0.1:{served.port}/{tunnel}", "--token", "a.b.c")
    assert done.status == 3 and f"(HTTP {status})" in done.err.text(), done.last_words()
    assert "does the site ask for a login?" in done.err.text() and "pg-broker" not in done.err.text()


def test_token_and_no_uuid(any_site, tunnel):
    """The token is for another tunnel than the one that was made up, which is hard to see."""
    done = run("pg-client", "--port", "1", "--server-url", any_site.front.url("", "ws"), "--token", any_site.stack.token(tunnel))
    assert done.status == 3 and "--server-url ends in no UUID, so one was made up" in done.err.text(), done.last_words()


@pytest.mark.every_build
def test_tunnel_is_taken(stack, front, service, tunnel):
    stack.client(front, tunnel, service)
    done = run("pg-client", "--port", "1", "--server-url", front.url(tunnel, "ws"),
               env={"PIPEGATE_TOKEN": stack.token(tunnel)})
    assert done.status == 3 and re.search("taken|another", done.err.text().lower()), done.last_words()
    works(front, tunnel, service)


# --- when it goes on

@pytest.mark.every_build
def test_reconnects_when_the_broker_restarts(own_site):
    site = own_site(broker=["--drain-timeout", "200ms"])
    for stop in (site.stack.end, site.stack.kill):
        stop(site.stack.broker)
        site.stack.start_broker()
        until(site.works, "the tunnel to work with a new broker")
    assert site.client.alive()


def test_waits_for_a_server_that_is_not_there_yet(own_stack, own_service, front_name):
    stack = own_stack([front_name])
    front, served, tunnel = stack.fronts[front_name], own_service(), new_tunnel()
    stack.end(stack.broker)
    client = stack.client(front, tunnel, served, wait=False)
    client.await_line(".", stream="err")
    stack.start_broker()
    client.await_line(tunnel)
    until(lambda: front.works(tunnel), "the tunnel to work")


def test_takes_over_after_a_client_that_was_killed(own_site):
    site = own_site()
    site.stack.kill(site.client)
    site.stack.client(site.front, site.tunnel, site.service)
    until(site.works, "the tunnel to work with a new client")


def test_an_answer_to_the_handshake_that_is_too_long(tunnel):
    """A server cannot make the client read more than it has room for: the head is bounded, whether it has come to an end or not."""
    head = b"HTTP/1.1 400 Bad\r\nX-Pipegate-Error: x\r\nContent-Length: 100000\r\nX-Long: " + b"x" * 60_000
    for answer in (head, head + b"\r\n\r\n"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = Program("client", [path_of("pg-client"), "--port", "1", "--server-url",
                                        f"ws://127.0.0.1:{listener.getsockname()[1]}/{tunnel}"])
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(65536)
                connection.sendall(answer)
                client.await_line("no PipeGate broker: its answer's head is too long", stream="err")
            client.stop()


# --- TLS to the server

@pytest.fixture
def tls_front(stack, tmp_path):
    """A TLS terminator before one of the fronts."""
    context, ca = certificate(tmp_path)
    relay = Relay(next(iter(stack.fronts.values())).address, context)
    relay.ca = ca
    yield relay
    relay.close()


def test_tls_is_verified(tls_front, stack, tunnel):
    client = start(stack, "--port", "1", "--server-url", f"wss://127.0.0.1:{tls_front.port}/{tunnel}", tunnel=tunnel)
    client.await_line("(?i)certificate|verif|tls|ssl", stream="err")
    assert not client.out.find(tunnel)


@pytest.mark.parametrize("how", ["--ca", "--insecure"])
def test_tls(tls_front, stack, service, tunnel, how):
    trust = ["--ca", tls_front.ca] if how == "--ca" else ["--insecure"]
    client = start(stack, "--port", str(service.port), "--server-url", f"wss://127.0.0.1:{tls_front.port}/{tunnel}", *trust,
                   tunnel=tunnel)
    client.await_line(f"https://127.0.0.1:{tls_front.port}/{tunnel}")
    works(next(iter(stack.fronts.values())), tunnel, service)


@pytest.fixture
def tls_caddy(tmp_path):
    """The port of a Caddy that speaks TLS itself."""
    port = ports.take()
    (tmp_path / "Caddyfile").write_text(f"""{{
	admin off
	skip_install_trust
	auto_https disable_redirects
}}
https://localhost:{port} {{
	tls internal
	respond hello
}}
""")
    caddy = Program("caddy", [found("caddy"), "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"],
                    env={"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    caddy.await_line("serving initial configuration", stream="err")
    yield port
    caddy.kill()
    ports.give_back(port)


def test_tls_or_not_as_the_server_does(tls_front, tls_caddy, stack, tunnel):
    """Who says ws:// where it should be wss://, or the other way round, is told; by a server that hangs up, and by one that answers."""
    host, port = next(iter(stack.fronts.values())).address
    for url, advice in ((f"wss://{host}:{port}", "does the server speak ws://"),
                        (f"ws://127.0.0.1:{tls_front.port}", r"did not answer the handshake: .*does it want TLS, wss://\?"),
                        (f"ws://localhost:{tls_caddy}", r"HTTP 400.*does it want TLS, wss://\?")):
        client = start(stack, "--port", "1", "--server-url", f"{url}/{tunnel}", tunnel=tunnel)
        client.await_line(advice, stream="err")


def test_tls_to_another_name(stack, tunnel, tmp_path):
    """A certificate of a CA we trust, but for another host."""
    key, crt = tmp_path / "k.pem", tmp_path / "c.pem"
    subprocess.run([found("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=other.example",
                    "-addext", "subjectAltName=DNS:other.example", "-keyout", key, "-out", crt], check=True,
                   capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    relay = Relay(next(iter(stack.fronts.values())).address, context)
    try:
        client = start(stack, "--port", "1", "--server-url", f"wss://127.0.0.1:{relay.port}/{tunnel}", "--ca", str(crt),
                       tunnel=tunnel)
        client.await_line("(?i)certificate|verif|tls|ssl|name", stream="err")
        assert not client.out.find(tunnel)
    finally:
        relay.close()
