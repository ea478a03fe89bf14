"""Fixtures: one PipeGate behind all fronts that most tests share, and private ones for those that need their own."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from kit import fronts, programs  # noqa: E402
from kit.service import LocalService  # noqa: E402
from kit.stack import Site, Stack, new_tunnel  # noqa: E402



def pytest_configure(config):
    for name in ("pg-handler", "pg-broker", "pg-client"):
        if not os.access(programs.path_of(name), os.X_OK):
            pytest.exit(f"{programs.path_of(name)} is not there: build first (tests/run e2e does), or set PG_BUILD",
                        returncode=2)


# What runs behind every front: what visitors see, and that depends on the front. The rest is PipeGate's own business behind it,
# and runs behind the first two; so does all of it with the other builds, which change nothing in a front.
BEHIND_EVERY_FRONT = {"test_request_bodies", "test_request_fields", "test_targets", "test_responses", "test_streams",
                      "test_failures", "test_visitor_tricks", "test_others_clients", "test_limits", "test_resume", "test_sites"}


def pytest_generate_tests(metafunc):
    marks = metafunc.definition.iter_markers("parametrize")
    if "front_name" not in metafunc.fixturenames or any(mark.args[0] == "front_name" for mark in marks):
        return
    everywhere = metafunc.module.__name__ in BEHIND_EVERY_FRONT and programs.BUILD.name == "asan"
    metafunc.parametrize("front_name", fronts.NAMES if everywhere or "PG_FRONTS" in os.environ else fronts.NAMES[:2])


@pytest.fixture(scope="session")
def shared_service():
    service = LocalService()
    yield service
    service.close()


@pytest.fixture(scope="session")
def shared_stack(shared_service):
    stack = Stack(fronts.NAMES)
    stack.tunnel = new_tunnel()
    try:
        first = stack.fronts[fronts.NAMES[0]]
        stack.shared_client = stack.client(first, stack.tunnel, shared_service)
    except BaseException:
        stack.abandon()
        raise
    yield stack
    stack.stop()


@pytest.fixture
def service(shared_service):
    """The local service behind the shared tunnel, as new."""
    shared_service.reset()
    yield shared_service
    errors = list(shared_service.errors)
    shared_service.reset()
    assert not errors, f"in the local service: {errors}"


@pytest.fixture
def stack(shared_stack):
    """The shared PipeGate; a program of it that died or was reported by a sanitizer fails the test that did that."""
    yield shared_stack
    shared_stack.check()


@pytest.fixture
def site(stack, service, front_name):
    """The shared tunnel, seen through one front after the other."""
    return Site(stack, stack.fronts[front_name], stack.tunnel, service)


@pytest.fixture
def any_site(stack, service):
    """The shared tunnel through one front, for what is not the front's business."""
    return Site(stack, stack.fronts[fronts.NAMES[0]], stack.tunnel, service)


@pytest.fixture
def own_service():
    """Makes private local services."""
    made = []

    def make(**options):
        made.append(LocalService(**options))
        return made[-1]
    yield make
    for each in made:
        each.close()
    assert not any(each.errors for each in made), [each.errors for each in made]


@pytest.fixture
def own_stack():
    """Makes private PipeGates: own_stack(["caddy"], handler=["--max-body", "1m"])."""
    made = []

    def make(front_names, **options):
        made.append(Stack(front_names, **options))
        return made[-1]
    yield make
    problems = []
    for each in reversed(made):
        try:
            each.check()
            each.stop()
        except AssertionError as problem:
            each.abandon()
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture
def own_site(own_stack, own_service, front_name):
    """Makes a private PipeGate behind the test's front, with a client and a local service attached."""
    def make(client=(), attach=True, **options):
        mine = own_stack([front_name], **options)
        served, tunnel = own_service(), new_tunnel()
        made = Site(mine, mine.fronts[front_name], tunnel, served)
        if attach:
            made.client = mine.client(made.front, tunnel, served, *client)
        return made
    return make
