"""Tokens made independently of pg-broker: good ones, and every kind of bad one."""
import base64
import hashlib
import hmac
import json
import time


def _b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(token):
    """Header and claims, unchecked."""
    def part(text):
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    header, claims, _ = token.split(".")
    return part(header), part(claims)


def sign(secret, header, claims, digest=hashlib.sha256):
    text = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{_b64(hmac.new(secret, text.encode(), digest).digest())}"


def make(secret, tunnel, header=None, **changes):
    """A good token, but for `changes` of its claims (None removes one)."""
    now = int(time.time())
    claims = {"sub": tunnel, "iss": "pipegate", "aud": "pipegate", "nbf": now - 5, "iat": now, "exp": now + 3600}
    claims.update(changes)
    claims = {name: value for name, value in claims.items() if value is not None}
    return sign(secret, header or {"alg": "HS256", "typ": "JWT"}, claims)
