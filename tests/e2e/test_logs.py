"""What the programs log, and what they must not."""
import json
import re

import pytest

from kit import fastcgi
from kit.stack import new_tunnel
from kit.wait import until


def lines_about(site, correlation):
    """What was logged about an exchange that failed; the handler at least says something."""
    site.stack.handler.await_line(correlation, stream="err")
    return [line for program in (site.stack.handler, site.client) for line in program.err.lines if correlation in line]


def test_json_logs(own_site):
    site = own_site(handler=["--log-format", "json", "--log-level", "debug"],
                    broker=["--log-format", "json", "--log-level", "debug"],
                    client=["--log-format", "json", "--log-level", "debug"])
    site.service.answer = lambda call: call.reset()
    assert site.get("/x").status == 502
    correlation = site.service.next().value("X-Pipegate-Correlation-Id")
    about = [json.loads(line) for line in lines_about(site, correlation)]
    assert all(line["exchange"] == correlation and line["tunnel"] == site.tunnel for line in about)
    for program in (site.stack.handler, site.stack.broker, site.client):
        assert all({"time", "level", "program", "message"} <= set(json.loads(line)) for line in program.err.lines)


def test_text_logs_name_exchange_and_tunnel(own_site):
    site = own_site(handler=["--log-level", "debug"], client=["--log-level", "debug"])
    site.service.answer = lambda call: call.reset()
    assert site.get("/x").status == 502
    correlation = site.service.next().value("X-Pipegate-Correlation-Id")
    assert all(site.tunnel in line for line in lines_about(site, correlation))


def test_log_level(own_site):
    site = own_site(handler=["--log-level", "error"], broker=["--log-level", "error"])
    assert site.get().status == 200
    assert not site.stack.handler.err.lines and not site.stack.broker.err.lines


def test_no_secret_in_any_log(own_site):
    site = own_site(handler=["--log-level", "debug"], broker=["--log-level", "debug"], client=["--log-level", "debug"])
    assert site.get("/", [("Authorization", "Basic c2VjcmV0"), ("Cookie", "session=c2VjcmV0")]).status == 200
    secret = open(site.stack.secret_file).read()
    for program in (site.stack.handler, site.stack.broker, site.client):
        text = program.err.text() + program.out.text()
        assert secret not in text and "c2VjcmV0" not in text and "eyJ" not in text, program.name


def test_request_log(own_site):
    site = own_site(handler=["--log-requests", "--log-format", "json"])

    def requests():
        return [line for line in map(json.loads, site.stack.handler.err.lines) if line["message"] == "request"]

    site.service.answer = lambda call: (call.read_body(), call.reply(201, body=b"12345"))
    assert site.request("POST", "/secret?token=not-for-logs", body=b"x" * 20_000).status == 201
    assert site.get("/", [(f"X-Large-{i}", "x" * 13_000) for i in range(4)]).status == 431
    site.service.answer = lambda call: call.reset()
    assert site.get("/").status == 502
    assert site.front.request("GET", "/nowhere").status == 404
    done, large, failed, nowhere = until(lambda: len(requests()) == 4 and requests(), "four lines")
    expected = {"method": "POST", "status": 201, "outcome": "relayed", "request_bytes": 20_000, "response_bytes": 5,
                "tunnel": site.tunnel, "peer": "127.0.0.1", "program": "pg-handler", "level": "info"}
    assert {key: done[key] for key in expected} == expected
    assert 0 < done["seconds"] < 20
    assert re.fullmatch(r"[0-9a-f-]{36}", done["exchange"])
    assert (large["status"], large["outcome"], failed["status"], failed["outcome"]) == (431, "header-too-large", 502, "local-service")
    assert (nowhere["status"], nowhere["outcome"]) == (404, "no-tunnel") and "tunnel" not in nowhere
    assert "not-for-logs" not in site.stack.handler.err.text(), "what stands in a target may be secret"


@pytest.mark.parametrize("format", ["text", "json"])
def test_request_log_cannot_be_forged(own_stack, format):
    """A method that is refused for what it is stands in the log as a harmless word."""
    stack = own_stack([], handler=["--log-requests", "--log-format", format])
    method = 'GET\nerror pg-handler: \x1b[2J all is lost status=200 "'
    assert fastcgi.request(stack.path("handler.sock"), fastcgi.params_of(method, f"/{new_tunnel()}/")).status == 400
    line = until(lambda: next((line for line in stack.handler.err.lines if "GET?" in line), None), "the line")
    assert "GET?error?pg-handler" in line and "\x1b" not in stack.handler.err.text()
    assert not any(line.startswith("error") for line in stack.handler.err.lines)
    assert format == "text" or json.loads(line)["status"] == 400


def test_no_request_log_unless_asked(any_site):
    assert any_site.get().status == 200
    assert "request" not in " ".join(line for line in any_site.stack.handler.err.lines if "info" in line and any_site.tunnel in line)
