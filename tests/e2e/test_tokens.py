"""pg-broker token, and the broker's refusal to start without a secret."""
import time

import pytest

from kit import tokens
from kit.programs import run
from kit.stack import new_tunnel


def test_token(stack):
    tunnel = new_tunnel()
    done = run("pg-broker", "token", "--tunnel", tunnel, "--secret-file", stack.secret_file)
    assert done.status == 0 and len(done.out.lines) == 1 and not done.err.lines
    header, claims = tokens.decode(done.out.lines[0])
    assert header["alg"] == "HS256"
    assert (claims["sub"], claims["iss"], claims["aud"]) == (tunnel, "pipegate", "pipegate")
    assert abs(claims["nbf"] - time.time()) < 60


@pytest.mark.parametrize("ttl,seconds", [("90s", 90), ("21d", 21 * 86400), ("5m", 300), ("2h", 7200)])
def test_token_lifetime(stack, ttl, seconds):
    done = run("pg-broker", "token", "--tunnel", new_tunnel(), "--ttl", ttl, "--secret-file", stack.secret_file)
    _, claims = tokens.decode(done.out.lines[0])
    assert abs(claims["exp"] - time.time() - seconds) < 30


def test_token_attaches(any_site):
    tunnel = new_tunnel()
    made = run("pg-broker", "token", "--tunnel", tunnel, "--secret-file", any_site.stack.secret_file).out.lines[0]
    client = any_site.stack.client(any_site.front, tunnel, any_site.service, token=made)
    assert any_site.front.request("GET", f"/{tunnel}/").status == 200
    any_site.stack.end(client)


def test_token_with_the_secret_in_the_environment(stack):
    secret = open(stack.secret_file).read()
    tunnel = new_tunnel()
    done = run("pg-broker", "token", "--tunnel", tunnel, env={"PIPEGATE_JWT_SECRET": secret})
    expected = tokens.sign(secret.encode(), *tokens.decode(done.out.lines[0]))
    assert done.status == 0 and expected.count(".") == 2
    assert run("pg-broker", "token", "--tunnel", tunnel).status == 2


def test_broker_needs_a_secret(own_stack):
    stack = own_stack([])
    done = run("pg-broker", "--listen", f"unix:{stack.path('x.sock')}", "--redis", stack.bus)
    assert done.status == 2 and "secret" in done.err.text() and len(done.err.lines) == 1


@pytest.mark.parametrize("content", ["", "short", "\n"])
def test_broker_refuses_a_poor_secret(own_stack, content):
    stack = own_stack([])
    done = run("pg-broker", "--listen", f"unix:{stack.path('x.sock')}", "--redis", stack.bus, "--secret-file",
               stack.file("poor", content))
    assert done.status == 2 and len(done.err.lines) == 1
