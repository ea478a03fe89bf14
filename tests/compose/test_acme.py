"""A public name: both web servers get a certificate by themselves. The authority is a real one (Caddy's acme_server), which asks
for the answer to its challenge at port 80 of that name, as any does."""
import os
import ssl
import tempfile

import pytest

from images import docker
from kit.visitor import BrokenOff, Visitor
from kit.wait import until
from project import Project, TlsVisitor

NAME = "tunnels.test"
DIRECTORY = "https://ca.test/acme/local/directory"
AUTHORITY = "{\n\tskip_install_trust\n\tadmin off\n}\nca.test {\n\ttls internal\n\tacme_server\n}\n"
OVERRIDE = """services:
  front:
    networks:
      front: {{aliases: [{name}]}}
    volumes: ["{directory}/root.crt:/acme/root.crt:ro", "{directory}/more:/etc/pipegate/more:ro"]
networks:
  front: {{external: true, name: {network}}}
"""
WAYS = {
    "caddy": (("docker-compose.yml",), {"PIPEGATE_CADDY_OPTIONS": f"acme_ca {DIRECTORY}\n\tacme_ca_root /acme/root.crt"}),
    "apache": (("docker-compose.yml", "docker-compose.apache.yml"), {}),
}


@pytest.fixture
def authority(images):
    """A network with a certificate authority in it, and a directory with its root certificate."""
    name = f"pgtest{os.getpid()}-acme"
    with tempfile.TemporaryDirectory(prefix="pg-acme-", dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        os.mkdir(f"{directory}/more")
        with open(f"{directory}/Caddyfile", "w") as file:
            file.write(AUTHORITY)
        with open(f"{directory}/more/authority.conf", "w") as file:
            file.write(f"MDCertificateAuthority {DIRECTORY}\nMDCACertificateFile /acme/root.crt\n")
        docker("network", "create", name)
        try:
            docker("run", "-d", "--name", name, "--network", name, "--network-alias", "ca.test",
                   "-v", f"{directory}/Caddyfile:/etc/caddy/Caddyfile:ro", "caddy:2")
            until(lambda: docker("exec", name, "cat", "/data/caddy/certificates/local/ca.test/ca.test.crt", check=False).stdout,
                  "the authority to have a certificate of its own")
            with open(f"{directory}/root.crt", "w") as file:
                file.write(docker("exec", name, "cat", "/data/caddy/pki/authorities/local/root.crt") + "\n")
            with open(f"{directory}/override.yml", "w") as file:
                file.write(OVERRIDE.format(name=NAME, directory=directory, network=name))
            yield directory
        finally:
            docker("rm", "-f", "-v", name, check=False)
            docker("network", "rm", name)


@pytest.mark.parametrize("front", WAYS)
def test_certificate_by_acme(authority, any_compose, front):
    from conftest import TAG
    files, environment = WAYS[front]
    project = Project(any_compose, TAG, files=(*files, f"{authority}/override.yml"), environment=environment,
                      PIPEGATE_DOMAIN=NAME, PIPEGATE_ACME_EMAIL=f"someone@{NAME}")
    try:
        project.up()
        context = ssl.create_default_context(cafile=f"{authority}/root.crt")

        def answer():
            try:
                with TlsVisitor(("127.0.0.1", project.https), context, NAME) as visitor:
                    visitor.send(f"GET /tunnels/x HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
                    return visitor.response()
            except (OSError, BrokenOff):
                return None  # no certificate yet
        response = until(lambda: (lambda found: found if found and found.status == 404 else None)(answer()), "a certificate", 60)
        assert response.error == "no-tunnel", response
        with Visitor(("127.0.0.1", project.http)) as visitor:
            visitor.send(f"GET /tunnels/x HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            assert visitor.response().value("Location") == f"https://{NAME}/tunnels/x"
    finally:
        project.close()


def test_apache_without_an_address_for_the_authority(made_project, any_compose):
    project = made_project(any_compose, files=WAYS["apache"][0], PIPEGATE_DOMAIN=NAME)
    result = project.run("run", "--rm", "-T", "front")
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("pipegate: PIPEGATE_ACME_EMAIL")]
    assert result.returncode == 2 and len(lines) == 1 and "set it in .env" in lines[0], result
