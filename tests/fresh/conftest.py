"""README's commands, on machines that have nothing but the base system and git."""
import platform
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

from kit import systems  # noqa: E402

RELEASES = {"debian-12": "bookworm", "debian-13": "trixie", "ubuntu-24.04": "noble"}


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="all releases, and tests/run on each of them")


def pytest_collection_modifyitems(items):
    why = systems.missing()
    for item in items if why else []:
        item.add_marker(pytest.mark.skip(reason=f"no clean machine can be made: {why}"))


def pytest_generate_tests(metafunc):
    if "release" not in metafunc.fixturenames:
        return
    here = platform.freedesktop_os_release()
    own = f"{here.get('ID')}-{here.get('VERSION_ID')}"
    short = [own if own in RELEASES else "debian-12"]
    metafunc.parametrize("release", list(RELEASES) if metafunc.config.getoption("--long") else short, scope="module")


@pytest.fixture(scope="module")
def machine(release):
    """A clean one with a clone in /root/pipegate. It shares this machine's network: apt has to fetch."""
    suite = RELEASES[release]
    system = systems.System(suite, systems.prepared(suite, "git", ["git", "ca-certificates"]))
    system.archives = system.file("/var/cache/apt/archives")  # its own: nothing has been downloaded before
    try:
        system.shell("git -c safe.directory='*' clone -q file:///source /root/pipegate", source=systems.ROOT)
        yield system
    finally:
        system.remove()
