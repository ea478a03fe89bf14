"""Fixtures of the packages' tests: the packages, made and installed in clean Debian systems; the kit is that of the
end-to-end tests."""
import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

from kit import systems  # noqa: E402
from kit.programs import ROOT  # noqa: E402

SOURCES = ("CMakeLists.txt", "README.md", "LICENSE", "lib", "fcgi-handler", "tunnel-broker", "client", "deploy")
# What a machine is given before the packages come.
MACHINE_PACKAGES = ["systemd", "systemd-sysv", "libpam-systemd", "redis-server", "caddy", "curl", "procps"]


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="Debian 12 and Debian 13, not only what this machine has")


def suites(config):
    known = {"12": "bookworm", "13": "trixie"}
    release = platform.freedesktop_os_release()
    own = known.get(release.get("VERSION_ID")) if release.get("ID") == "debian" else None
    return list(known.values()) if config.getoption("--long") else [own or "bookworm"]


def pytest_collection_modifyitems(items):
    why = systems.missing()
    for item in items if why else []:
        item.add_marker(pytest.mark.skip(reason=f"the packages cannot be tested: {why}"))


def pytest_generate_tests(metafunc):
    if "suite" in metafunc.fixturenames:
        metafunc.parametrize("suite", suites(metafunc.config), scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """In the order in which they are written, a whole suite after the other: some go on from where others ended."""
    items.sort(key=lambda item: (item.callspec.params["suite"], item.path, item.function.__code__.co_firstlineno))


def build_packages():
    """As a list for apt, from the one list there is."""
    script = '. deploy/packages.sh; printf "%s\\n" "${PG_BUILD_PACKAGES[@]}"'
    listed = subprocess.run(["bash", "-c", script], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return [*(name.partition(":")[2] or name for name in listed), "help2man", "dpkg-dev", "file"]


def sources_digest():
    digest = hashlib.sha256()
    for name in SOURCES:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)} {path.stat().st_mode:o}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def packages(suite):
    """{name: path} of the packages, built on this suite; built anew when a source has changed."""
    systems.base(suite)  # makes the cache, too
    kept = systems.CACHE / f"packages-made-{suite}"
    with systems.locked(kept.name):
        digest = sources_digest() + hashlib.sha256(" ".join(build_packages()).encode()).hexdigest()[:8]
        if not (kept / digest).is_dir():
            shutil.rmtree(kept, ignore_errors=True)
            system = systems.System(suite, systems.prepared(suite, "build", build_packages()))
            try:
                system.shell("cmake -S /source -B /tmp/b -G Ninja -DCMAKE_BUILD_TYPE=Release -DPG_TESTS=OFF; ninja -C /tmp/b; "
                             "cd /tmp/b; cpack", source=ROOT)
                made = list(system.file("/tmp/b").glob("*.deb"))
                (kept / "new").mkdir(parents=True)
                for package in made:
                    shutil.copy(package, kept / "new")
                (kept / "new").rename(kept / digest)
            finally:
                system.remove()
        return {path.name.partition("_")[0]: path for path in (kept / digest).glob("*.deb")}


@pytest.fixture
def clean_system(suite):
    """Nothing but Debian's base system."""
    system = systems.System(suite, systems.prepared(suite, "clean", []))
    yield system
    system.remove()


@pytest.fixture(scope="module")
def machine(suite, packages):
    """Booted, with Redis and a web server; both packages are installed while it runs."""
    why = systems.cannot_boot()
    if why:
        pytest.skip(f"systemd cannot be started here: {why}")
    made = systems.Machine(suite, systems.prepared(suite, "machine", MACHINE_PACKAGES))
    try:
        for package in packages.values():
            shutil.copy(package, made.file("/root"))
        made.shell(" ".join([*systems.APT, "install --no-install-recommends --download-only /root/*.deb"]), network=True)
        made.shell("systemctl mask apt-daily.timer apt-daily-upgrade.timer")  # they would take apt's lock
        yield made
    finally:
        made.remove()
