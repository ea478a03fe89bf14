"""What the stack is made of, and what it says of a bad setting: one line, and exit 2."""
import os
import re

import pytest

from images import PROGRAMS, docker
from project import one_line


def test_the_example_publishes_80_and_443_only(made_project, compose):
    project = made_project(compose)
    project.configure(PIPEGATE_HTTP=None, PIPEGATE_HTTPS=None)
    text = project("config")
    published = re.findall(r"published: \"?(\d+)", text) + re.findall(r"- (?:\S*:)?(\d+):\d+(?:/tcp)?$", text, re.M)
    assert sorted(published) == ["443", "80"], text


def test_builds(made_project, compose):
    """From the source, as `up` does where there are no images. (docker-compose 1.29 has the old builder, v2 BuildKit.)"""
    made_project(compose)("build", deadline=600)


BAD = {
    "no domain at all": ({"PIPEGATE_DOMAIN": None}, {}, "PIPEGATE_DOMAIN is missing: set it in .env"),
    "empty domain": ({"PIPEGATE_DOMAIN": ""}, {}, "PIPEGATE_DOMAIN is missing: set it in .env"),
    "domain with a scheme": ({"PIPEGATE_DOMAIN": "https://example.com"}, {}, "set it in .env to the name alone"),
    "prefix without a slash": ({"PIPEGATE_PREFIX": "tunnels"}, {}, "set it in .env to /tunnels"),
    "prefix with a slash at its end": ({"PIPEGATE_PREFIX": "/tunnels/"}, {}, "PIPEGATE_PREFIX .* is no path: set it in .env"),
    "no amount of memory": ({"PIPEGATE_REDIS_MEMORY": "lots"}, {}, "PIPEGATE_REDIS_MEMORY .*: set it in .env to one like 256mb"),
    "no secret in its file": ({}, {"token-secret": ""}, "token-secret in PIPEGATE_SECRETS has 0 bytes.*openssl rand -hex 32"),
    "short secret": ({}, {"token-secret": "short"}, "token-secret in PIPEGATE_SECRETS has 5 bytes.*openssl rand -hex 32"),
    "short Redis password": ({}, {"redis-password": "short"}, "redis-password in PIPEGATE_SECRETS has 5 bytes"),
    "Redis password with a space": ({}, {"redis-password": "sixteen bytes and more"}, "redis-password .* letters, digits"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_setting(made_project, any_compose, what):
    settings, secrets, says = BAD[what]
    project = made_project(any_compose, **settings)
    os.mkdir(project.secrets)
    for name, text in secrets.items():
        with open(os.path.join(project.secrets, name), "w") as file:
            file.write(text)
    result = project.run("run", "--rm", "-T", "settings")
    line = one_line((result.stdout + result.stderr).replace("pipegate: made token-secret\n", ""))
    assert result.returncode == 2, result
    assert re.search(says, line), line


def test_nothing_starts_with_a_bad_setting(made_project, compose):
    project = made_project(compose, PIPEGATE_DOMAIN="https://example.com")
    result = project.run("up", "-d")
    assert result.returncode != 0 and "settings" in result.stderr, result
    assert "set it in .env to the name alone" in project.logs("settings")
    assert project.ids() == []


def image(name):
    from conftest import TAG
    return f"pipegate/{name}:{TAG}"


PROGRAM = {
    "broker without a secret": (["pg-broker"], "secret.*(--secret-file|PIPEGATE_SECRET_FILE)"),
    "secret file that is not there": (["pg-broker", "--secret-file", "/run/none"], "--secret-file /run/none: No such file"),
    "password file that is not there": (["pg-handler", "--redis-password-file", "/run/none"], "--redis-password-file.*/run/none"),
    "client without a target": (["pg-client", "--server-url", "wss://localhost/"], "--port|--target"),
    "unknown option": (["pg-handler", "--frobnicate"], "--frobnicate"),
}


@pytest.mark.parametrize("what", PROGRAM)
def test_bad_option_of_an_image(images, what):
    (name, *options), says = PROGRAM[what]
    result = docker("run", "--rm", "--network", "none", image(name), *options, check=False)
    assert result.returncode == 2, result
    assert re.search(says, one_line(result.stderr)), result.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_image(images, name):
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image(name)))
    assert size < 120e6, f"{size / 1e6:.0f} MB"
    assert docker("image", "inspect", "--format", "{{.Config.User}}", image(name)) == "10001:10001"

    def run(script):
        return docker("run", "--rm", "--read-only", "--network", "none", "--entrypoint", "sh", image(name), "-c", script)
    assert run("id -u; command -v cc gcc clang tcc ld as make cmake ninja || :") == "10001"
    assert run(f"{name} --version").startswith(name)
    program = run(f"stat -c %s $(command -v {name})")
    assert int(program) < 300e3, program


def test_programs_are_stripped(images, tmp_path):
    for name in PROGRAMS:
        container = docker("create", image(name))
        try:
            docker("cp", f"{container}:/usr/local/bin/{name}", str(tmp_path / name))
        finally:
            docker("rm", container)
        assert b".symtab" not in (tmp_path / name).read_bytes(), name


def test_images_on_debian_13(images, request):
    if not request.config.getoption("--long"):
        pytest.skip("builds all of them once more, which takes minutes: only with --long")
    images.base("trixie")
    images.programs("unused", "trixie")
    for name in PROGRAMS:
        made = f"pipegate-test/{name}:trixie"
        assert docker("run", "--rm", "--read-only", made, "--version").startswith(name)
        assert docker("run", "--rm", "--entrypoint", "cat", made, "/etc/debian_version").startswith("13")
        assert int(docker("image", "inspect", "--format", "{{.Size}}", made)) < 120e6
