"""Fixtures of the fault tests; the kit is that of the end-to-end tests."""
import os
import sys
import time
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "e2e"), os.path.dirname(__file__)]
os.environ.setdefault("PG_BUILD", "build/release")

from kit import programs  # noqa: E402
from world import World  # noqa: E402

ROWS = []  # what the table at the end shows; the tests may run in other processes (pytest-xdist)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="more rounds, random timing")
    parser.addoption("--seed", type=int, default=None, help="of the random timing, as it was printed")


def pytest_configure(config):
    for name in ("pg-handler", "pg-broker", "pg-client"):
        if not os.access(programs.path_of(name), os.X_OK):
            pytest.exit(f"{programs.path_of(name)} is not there: build first (tests/run fault does)", returncode=2)
    config.seed = config.getoption("--seed") or (int(time.time()) if config.getoption("--long") else 20261125)


def pytest_generate_tests(metafunc):
    if "matrix_front" in metafunc.fixturenames:
        metafunc.parametrize("matrix_front", ["caddy", "apache"] if metafunc.config.getoption("--long") else ["caddy"])


def pytest_terminal_summary(terminalreporter, config):
    if not ROWS:
        return
    terminalreporter.write_line(f"\ntiming from --seed {config.seed}{' --long' if config.getoption('--long') else ''}")
    line = "{:<55} {:<9} {:>9} {:>9} {:>6} {:>10} {:>13}"
    terminalreporter.write_line("")
    terminalreporter.write_line(line.format("event", "load", "exchanges", "completed", "errors", "duplicates", "longest pause"))
    for row in ROWS:
        terminalreporter.write_line(line.format(*row))


def pytest_runtest_logreport(report):
    if report.when == "call":
        ROWS.extend(value for name, value in report.user_properties if name == "row")


@pytest.fixture
def world(request):
    made = []

    def make(front="caddy", brokers=1, with_link=False, **options):
        config = request.config
        made.append(World(front, brokers, config.seed, config.getoption("--long"), with_link, **options))
        return made[-1]
    yield make
    for each in made:
        if request.node.rep_failed:
            each.abandon()
        else:
            each.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.when == "call":
        item.rep_failed = report.failed
    elif call.when == "setup":
        item.rep_failed = True  # until the call says otherwise
