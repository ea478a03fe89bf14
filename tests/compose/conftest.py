"""Fixtures of the tests of the docker-compose stack: real containers of the images that deploy/docker builds."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / where) for where in ("e2e", "fault", "compose")]
os.environ.setdefault("PG_BUILD", "build/release")

import project  # noqa: E402
from images import Images  # noqa: E402
from kit import programs  # noqa: E402

COMPOSES = {generation: project.find(generation) for generation in ("v1", "v2")}
TAG = f"test-{os.getpid()}"


def no_engine():
    """Why there is none; or None."""
    if not shutil.which("docker"):
        return "docker is not installed"
    try:
        result = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return "the Docker engine does not answer"
    if result.returncode != 0:
        return f"no Docker engine runs here: {(result.stderr.strip() or result.stdout.strip()).splitlines()[-1]}"
    return None


NO_ENGINE = no_engine()
MISSING = {"v1": "docker-compose 1.29 is not installed", "v2": "docker compose (v2) is not installed"}


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the images on Debian 13 too")


def pytest_configure(config):
    if not NO_ENGINE and not os.access(programs.path_of("pg-client"), os.X_OK):
        pytest.exit(f"{programs.path_of('pg-client')} is not there: build first (tests/run compose does)", returncode=2)


def pytest_collection_modifyitems(config, items):
    """Where there is no engine nothing can run. What has nothing to do with compose itself runs with one of them only."""
    first = next((generation for generation in COMPOSES if COMPOSES[generation]), "v1")
    again = [item for item in items if item.get_closest_marker("once") and item.callspec.params["compose"] != first]
    config.hook.pytest_deselected(items=again)
    items[:] = [item for item in items if item not in again]
    if NO_ENGINE:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=NO_ENGINE))


@pytest.fixture(scope="session")
def images():
    made = Images()
    try:
        made.base("bookworm")
        made.standins()
        made.programs(TAG)
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module", params=["v1", "v2"])
def compose(request):
    """The command of each compose there is."""
    if not COMPOSES[request.param]:
        pytest.skip(MISSING[request.param])
    return COMPOSES[request.param]


@pytest.fixture(scope="session")
def any_compose():
    for generation in ("v1", "v2"):
        if COMPOSES[generation]:
            return COMPOSES[generation]
    pytest.skip("neither docker compose nor docker-compose is installed")


@pytest.fixture
def made_project(images):
    """Makes projects: made_project(command, files=..., PIPEGATE_DOMAIN=...)."""
    made = []

    def make(command, **options):
        made.append(project.Project(command, TAG, **options))
        return made[-1]
    yield make
    for each in made:
        each.close()
