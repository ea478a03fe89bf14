"""--help, --version, and settings: where they may stand, and what is said of those that cannot work."""
import re
import socket

import pytest

from kit import fastcgi
from kit.programs import ROOT, Program, path_of, run
from kit.settings import needed, refuses
from kit.stack import is_listening, new_tunnel
from kit.wait import until

ALL = ["pg-handler", "pg-broker", "pg-client"]


@pytest.mark.parametrize("name", ALL)
def test_help(name):
    done = run(name, "--help")
    assert done.status == 0 and "--log-format" in done.out.text() and not done.err.lines
    assert max(len(line) for line in done.out.lines) <= 120


@pytest.mark.parametrize("name", ALL)
def test_readme_has_the_options(name):
    """In the words of --help, and no others."""
    common = ("--help", "--version", "--config", "--log-level", "--log-format")
    options = re.findall(r"^  (--\S+(?: \S+)?) +(.*)$", run(name, "--help").out.text(), re.M)
    section = (ROOT / "README.md").read_text().partition(f"### {name}\n")[2].partition("\n#")[0]
    assert re.findall(r"^\| `(--[^`]+)` \| (.*) \|$", section, re.M) == [each for each in options if not each[0].startswith(common)]


@pytest.mark.parametrize("name", ALL)
def test_version(name):
    done = run(name, "--version")
    assert done.status == 0 and re.fullmatch(rf"{name} \d+\.\d+\.\d+", done.out.text())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("arguments",
                         [["--nonsense"], ["--log-level", "loud"], ["--log-format", "xml"], ["--log-level"], ["stray"],
                          ["-x"]])
def test_bad_option(name, arguments):
    done = run(name, *arguments)
    assert done.status == 2 and len(done.err.lines) == 1 and not done.out.lines, done.last_words()


@pytest.mark.parametrize("name,arguments", [
    ("pg-handler", ["--wait-timeout", "30x"]), ("pg-handler", ["--max-header", "many"]),
    ("pg-handler", ["--redis", "http://a"]),
    ("pg-handler", ["--max-in-flight", "-1"]), ("pg-handler", ["--max-in-flight", "0"]), ("pg-broker", ["--redis", "x"]),
    ("pg-broker", ["--listen", "nowhere"]), ("pg-broker", ["--listen", "127.0.0.1:99999"]),
    ("pg-broker", ["--listen", "127.0.0.1:0x10"]),
    ("pg-broker", ["--admin", "nowhere"]), ("pg-broker", ["--public-url", "https://example.com/"]),
    ("pg-broker", ["--max-clients", "0"]),
    ("pg-broker", ["token", "--tunnel", "x"]), ("pg-broker", ["token"]), ("pg-broker", ["nonsense"])])
def test_bad_value(name, arguments, tmp_path):
    needed = {"pg-handler": ["--socket", str(tmp_path / "h")],
              "pg-broker": ["--open"]}[name] if arguments[0].startswith("--") else []
    if "--listen" not in arguments and name == "pg-broker" and needed:
        needed += ["--listen", f"unix:{tmp_path}/b"]
    done = run(name, *needed, *arguments)
    assert done.status == 2 and len(done.err.lines) == 1, done.last_words()


def test_bad_environment(tmp_path):
    done = run("pg-handler", "--socket", str(tmp_path / "h"), env={"PIPEGATE_WAIT_TIMEOUT": "soon"})
    assert done.status == 2 and "PIPEGATE_WAIT_TIMEOUT" in done.err.text()


def test_options_from_the_environment(own_stack, tmp_path):
    stack = own_stack([])
    program = Program("handler", [path_of("pg-handler")],
                      env={"PIPEGATE_SOCKET": str(tmp_path / "h"), "PIPEGATE_REDIS": stack.bus})
    program.await_line("the bus is up", stream="err")  # with the socket alone it has not begun: SIGTERM would be no end to expect 0 of
    assert is_listening(str(tmp_path / "h"))
    program.stop()


# --- settings that cannot work

def test_no_secret(stack, tmp_path):
    where = ["--listen", f"unix:{tmp_path}/b", "--redis", stack.bus]
    refuses("pg-broker", where, "--secret-file FILE or PIPEGATE_JWT_SECRET", "--open")
    refuses("pg-broker", [*where, "--secret-file", str(tmp_path / "none")], f"--secret-file {tmp_path}/none: No such file")
    refuses("pg-broker", [*where, "--secret-file", stack.secret_file, "--open"], "--open and --secret-file exclude each other")
    refuses("pg-broker", [*where, "--open"], "--open and PIPEGATE_JWT_SECRET exclude each other", env={"PIPEGATE_JWT_SECRET": "short"})
    (tmp_path / "conf").write_text("secret-file = /none\n")
    refuses("pg-broker", [*where, "--config", str(tmp_path / "conf")], f"{tmp_path}/conf line 1: secret-file exclude each other",
            env={"PIPEGATE_OPEN": "yes"})
    refuses("pg-broker", where, "PIPEGATE_JWT_SECRET", "at least 16 bytes", env={"PIPEGATE_JWT_SECRET": "short"})


def test_no_such_command():
    refuses("pg-broker", ["tokn", "--tunnel", "x"], 'there is no command "tokn"', "pg-broker token")


@pytest.mark.parametrize("name,line", [
    ("pg-handler", "admin = nowhere"), ("pg-handler", "redis = http://a"), ("pg-handler", "redis-password-file = /none"),
    ("pg-broker", "admin = nowhere"), ("pg-broker", "listen = nowhere"), ("pg-broker", "secret-file = /none"),
    ("pg-broker", "public-url = https://a/"), ("pg-broker", "redis = redis://user@a"), ("pg-broker", "share = yes"),
    ("pg-client", "target = ftp://a"), ("pg-client", "server-url = gopher://a"), ("pg-client", "token-file = /none"),
    ("pg-client", "ca = /none")])
def test_bad_value_in_the_file(name, line, tmp_path):
    """The line is named, not the flag that nobody gave."""
    settings = {"pg-handler": "socket = /nowhere/h\n", "pg-broker": "listen = 127.0.0.1:1\nopen = yes\n",
                "pg-client": "port = 1\nserver-url = ws://127.0.0.1:1/\n"}[name]
    option = line.partition(" ")[0]
    others = [each for each in settings.splitlines() if not each.startswith(option) and (option != "target" or "port" not in each)]
    (tmp_path / "conf").write_text("\n".join([*others, line]))
    refuses(name, ["--config", str(tmp_path / "conf")], f"{tmp_path}/conf line {len(others) + 1}: {option}")


def test_taken_port_or_socket(stack, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = "%s:%d" % taken.getsockname()
        redis = ["--redis", stack.bus, "--open"]
        refuses("pg-broker", ["--listen", where, *redis], "--listen", where, "choose another port")
        refuses("pg-broker", ["--listen", f"unix:{tmp_path}/b", "--admin", where, *redis], "--admin", where, "choose another port")
    for name, option in (("handler", "--socket"), ("broker", "--listen")):
        path = stack.path(f"{name}.sock")
        at = path if name == "handler" else f"unix:{path}"
        more = [] if name == "handler" else ["--open"]
        refuses(f"pg-{name}", [option, at, "--redis", stack.bus, *more], option, path, "name another path")


@pytest.mark.parametrize("name", ALL)
def test_config_file(stack, tmp_path, name):
    config = tmp_path / "it.conf"
    arguments = [*needed(name, stack, tmp_path), "--config", str(config)]
    for text, words in (("log-levle = debug\n", ["line 1", 'no setting "log-levle"']),
                        ("# all\n\nlog-level = loud\n", ["error, warn, info or debug"]),
                        ("log-level\n", ["line 1", "name = value"])):
        config.write_text(text)
        refuses(name, arguments, *words)
    config.unlink()
    refuses(name, arguments, str(config), "No such file")


def test_options_from_a_file(stack, tmp_path):
    config = tmp_path / "handler.conf"
    config.write_text(f"# where\nsocket = {tmp_path}/h\nredis = {stack.bus}\nlog-level = error\n")
    program = Program("handler", [path_of("pg-handler"), "--config", str(config)])
    until(lambda: is_listening(str(tmp_path / "h")), "the handler to listen")
    assert fastcgi.healthz(str(tmp_path / "h")) == 200  # and so has begun
    program.stop()
    assert not program.err.lines


def test_token_with_the_broker_s_file(stack, tmp_path):
    config = tmp_path / "broker.conf"
    config.write_text(f"listen = unix:/nowhere\nsecret-file = {stack.secret_file}\n")
    done = run("pg-broker", "token", "--tunnel", new_tunnel(), "--config", str(config))
    assert done.status == 0 and done.out.text().startswith("eyJ"), done.last_words()
