"""The packages, installed in a clean Debian without systemd, upgraded, removed, and purged to the last file."""
import re
import shutil
import stat
import subprocess

import pytest

from kit import systems
from kit.wait import until

SERVER, CLIENT = "pipegate-server", "pipegate-client"
# What dpkg, apt and ldconfig write about any package at all.
NOISE = re.compile(r"/(var/lib/(dpkg|apt)/|var/log/|var/cache/(apt|ldconfig|debconf)/|root/|tmp/|proc/|sys/|dev/|"
                   r"run/(lock|adduser)|"
                   r"etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/\.pwd\.lock$)")


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def files(system):
    found = set()
    for path in system.path.rglob("*"):
        name = "/" + str(path.relative_to(system.path))
        if not NOISE.match(name):
            found.add(name)
    return found


def accounts(system):
    return [sorted(system.file(f"/etc/{name}").read_text().splitlines()) for name in ("passwd", "group", "shadow", "gshadow")]


def prepared_for(suite, package):
    """Debian's base system, what the package says it depends on, and nothing else; the package lies in /root."""
    names = [re.sub(r" .*", "", name) for name in field(package, "Depends").split(", ")]
    system = systems.System(suite, systems.prepared(suite, package.name.partition("_")[0], names))
    shutil.copy(package, system.file("/root"))
    system.deb = f"/root/{package.name}"
    system.before = files(system), accounts(system)
    return system


def install(system, deb):
    return system.run("dpkg", "-i", deb)


def mode(system, path):
    status = system.file(path).stat()
    return stat.S_IMODE(status.st_mode), status.st_uid, system.run("stat", "-c", "%U:%G", path).strip()


def as_before(system):
    assert files(system) == system.before[0]
    assert accounts(system) == system.before[1]


@pytest.fixture(scope="module")
def server_system(suite, packages):
    system = prepared_for(suite, packages[SERVER])
    yield system
    system.remove()


@pytest.fixture(scope="module")
def client_system(suite, packages):
    system = prepared_for(suite, packages[CLIENT])
    yield system
    system.remove()


def installed(system, name):
    """For one test; then it is purged, and nothing may be left of it."""
    install(system, system.deb)
    yield system
    system.run("dpkg", "--purge", name)
    as_before(system)


@pytest.fixture
def server(server_system):
    yield from installed(server_system, SERVER)


@pytest.fixture
def client(client_system):
    yield from installed(client_system, CLIENT)


def test_what_they_say(packages):
    assert sorted(packages) == [CLIENT, SERVER]
    depends = field(packages[SERVER], "Depends")
    for name in ("libc6", "libfcgi", "libhiredis", "libwebsockets1", "libwebsockets-evlib-uv", "libuv1", "libjwt", "adduser"):
        assert name in depends, depends
    depends = field(packages[CLIENT], "Depends")
    assert "libcurl4" in depends and "hiredis" not in depends and "websockets" not in depends, depends
    for package in packages.values():
        assert len(field(package, "Description").splitlines()) > 2


def test_server_is_there(server):
    for name in ("pg-handler", "pg-broker"):
        assert server.run(name, "--version").startswith(name + " ")
        assert "not found" not in server.run("ldd", f"/usr/bin/{name}")
        assert b".TH" in subprocess.run(["zcat", server.file(f"/usr/share/man/man1/{name}.1.gz")], stdout=subprocess.PIPE).stdout
    assert "pipegate" in server.run("id", "pipegate")
    shell = server.run("getent", "passwd", "pipegate").strip().split(":")
    assert shell[5:] == ["/nonexistent", "/usr/sbin/nologin"]
    assert mode(server, "/etc/pipegate/secret")[::2] == (0o640, "root:pipegate")
    assert re.fullmatch("[0-9a-f]{64}", server.file("/etc/pipegate/secret").read_text())
    for name in ("handler.conf", "broker.conf"):
        assert mode(server, f"/etc/pipegate/{name}")[::2] == (0o640, "root:pipegate")
    for name in ("Caddyfile", "apache/pipegate.conf"):
        assert mode(server, f"/etc/pipegate/{name}")[::2] == (0o644, "root:root")
    assert server.run("dpkg", "--verify", SERVER) == ""


def settings(text):
    """The file with every setting in it, those that are commented out too: {name: value}."""
    return dict(re.findall(r"^#?([a-z-]+) = (.+)$", text, re.M))


@pytest.mark.parametrize("name,ready", [("handler", "serving FastCGI"), ("broker", "clients attach|listening|serving")])
def test_settings_are_accepted(server, name, ready):
    """By the program, as the system's user; all that they name, whether commented out or not."""
    listen = ["--socket", "/tmp/s"] if name == "handler" else ["--listen", "unix:/tmp/s"]
    path = server.file(f"/etc/pipegate/{name}.conf")
    every = settings(path.read_text())
    assert len(every) > 5
    server.file("/tmp/every.conf").write_text("".join(f"{key} = {value}\n" for key, value in every.items()))
    for file in (f"/etc/pipegate/{name}.conf", "/tmp/every.conf"):
        program = server.start(f"pg-{name}", "setpriv", "--reuid", "pipegate", "--regid", "pipegate", "--clear-groups",
                               f"/usr/bin/pg-{name}", "--config", file, *listen)
        try:
            until(lambda: server.file("/tmp/s").is_socket() or not program.alive(), f"pg-{name} to listen")
            program.await_line(ready, "err")
        finally:
            program.kill()
            server.file("/tmp/s").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["handler", "broker"])
def test_unknown_setting(server, name):
    path = server.file(f"/etc/pipegate/{name}.conf")
    lines = path.read_text().count("\n")
    with path.open("a") as file:
        file.write("colour = green\n")
    output = server.run(f"pg-{name}", "--config", f"/etc/pipegate/{name}.conf", status=2)
    assert len(output.splitlines()) == 1, output
    assert f"/etc/pipegate/{name}.conf line {lines + 1}" in output and "colour" in output


def test_token(server):
    tunnel = "0c7a2dd0-74b0-4a3b-8a6f-1f2e0c2a9d11"
    assert server.run("pg-broker", "token", "--tunnel", tunnel, "--secret-file", "/etc/pipegate/secret").count(".") == 2


def test_upgrade_keeps_what_is_the_administrators(server):
    secret = server.file("/etc/pipegate/secret").read_text()
    changed = server.file("/etc/pipegate/broker.conf")
    changed.write_text(changed.read_text() + "max-clients = 7\n")
    server.run("chown", "root:root", "/etc/pipegate/secret")
    server.run("chmod", "0600", "/etc/pipegate/secret")
    install(server, server.deb)
    assert changed.read_text().endswith("max-clients = 7\n")
    assert mode(server, "/etc/pipegate/broker.conf")[::2] == (0o640, "root:pipegate")
    assert server.file("/etc/pipegate/secret").read_text() == secret
    assert mode(server, "/etc/pipegate/secret")[::2] == (0o600, "root:root")


def test_removed_and_installed_again(server):
    secret = server.file("/etc/pipegate/secret").read_text()
    server.run("dpkg", "--remove", SERVER)
    assert not server.file("/usr/bin/pg-broker").exists()
    assert server.file("/etc/pipegate/secret").read_text() == secret and server.file("/etc/pipegate/broker.conf").exists()
    install(server, server.deb)
    assert server.file("/etc/pipegate/secret").read_text() == secret


@pytest.mark.parametrize("first", ["remove", "purge"])
def test_purge_leaves_nothing(server, first):
    assert "/etc/pipegate/secret" in files(server) - server.before[0]
    server.run("usermod", "-a", "-G", "pipegate", "www-data")
    server.run("dpkg", f"--{first}", SERVER)
    server.run("dpkg", "--purge", SERVER)
    as_before(server)
    install(server, server.deb)  # and is purged once more


def test_purge_leaves_what_is_the_administrators(server):
    server.file("/etc/pipegate/mine").write_text("precious")
    server.run("dpkg", "--purge", SERVER)
    assert [path.name for path in server.file("/etc/pipegate").iterdir()] == ["mine"]
    shutil.rmtree(server.file("/etc/pipegate"))


def test_client_is_there(client):
    assert client.run("pg-client", "--version").startswith("pg-client ")
    assert "not found" not in client.run("ldd", "/usr/bin/pg-client")
    for path in ("share/man/man1/pg-client.1.gz", "share/bash-completion/completions/pg-client",
                 "share/zsh/vendor-completions/_pg-client", "share/fish/vendor_completions.d/pg-client.fish",
                 "lib/systemd/user/pipegate-client@.service"):
        assert client.file(f"/usr/{path}").stat().st_size > 100


def test_client_is_small(client):
    program = client.file("/usr/bin/pg-client")
    assert b".symtab" not in program.read_bytes(), "it is not stripped"
    assert program.stat().st_size < 300 * 1024


def test_client_settings(client):
    """The example is accepted but for what is to be put into it."""
    example = client.file("/usr/share/doc/pipegate-client/examples/tunnel.conf").read_text()
    filled = re.sub(r"^token = .*", "token = a.b.c", example, flags=re.M).replace("wss://example.com", "ws://127.0.0.1:9")
    client.file("/root/tunnel.conf").write_text(filled)
    program = client.start("pg-client", "pg-client", "--config", "/root/tunnel.conf")
    try:
        program.await_line("127.0.0.1", "err")  # nobody is there: it says so, and tries again
        assert program.alive()
    finally:
        program.kill()
    client.file("/root/tunnel.conf").write_text(filled + "colour = green\n")
    output = client.run("pg-client", "--config", "/root/tunnel.conf", status=2)
    assert len(output.splitlines()) == 1 and "colour" in output, output
