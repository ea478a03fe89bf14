"""deploy/prometheus and deploy/grafana: what they name exists, and they do what they say."""
import json
import re
import subprocess

import pytest

from kit.programs import ROOT, found
from kit.stack import admin

ALERTS = ROOT / "deploy/prometheus/pipegate-alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/pipegate.json"


def promtool(*arguments):
    done = subprocess.run([found("promtool"), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def exported(stack):
    """Names of all series that handlers and brokers export."""
    pages = b"".join(admin(stack, "/-/metrics", path=path)[1] for path in (None, stack.path("handler-admin.sock")))
    return set(re.findall(r"^([a-z]\w+)", pages.decode(), re.M))


def named(text):
    return set(re.findall(r"\b(?:pipegate|process)_\w+", text))


def expressions():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_alerts(exported):
    promtool("check", "rules", ALERTS)
    promtool("check", "config", ROOT / "deploy/prometheus/prometheus.yml")
    promtool("test", "rules", ROOT / "tests/alerts.yml")
    names = re.findall(r"alert: (\w+)", ALERTS.read_text())
    assert len(names) >= 10 and set(names) == set(re.findall(r"alertname: (\w+)", (ROOT / "tests/alerts.yml").read_text()))
    assert named(ALERTS.read_text()) <= exported


def test_dashboard_shows_what_there_is(exported):
    shown = set().union(*map(named, expressions()))
    assert shown <= exported, shown - exported


def test_every_metric_is_shown_or_known(exported):
    """A new metric belongs onto the dashboard, or into this list of those that do not."""
    known = {"pipegate_handler_build_info", "pipegate_broker_build_info", "process_max_fds", "process_start_time_seconds",
             "pipegate_handler_connections", "pipegate_broker_connections", "pipegate_broker_clients_limit",
             "pipegate_handler_response_seconds_sum", "pipegate_handler_response_seconds_count",
             "pipegate_handler_bus_undelivered_total", "pipegate_broker_bus_undelivered_total", "pipegate_broker_bus_bytes_total",
             "pipegate_broker_requests_total", "pipegate_broker_requests_not_taken_total", "pipegate_broker_frames_total", "pipegate_broker_bytes_total"}
    shown = set().union(*map(named, expressions()))
    assert exported - shown - known == set()


def test_dashboard_s_expressions_are_promql(tmp_path):
    """promtool parses expressions in rules."""
    rules = [{"record": f"r{i}", "expr": each.replace("$__rate_interval", "1m")} for i, each in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_dashboard_is_laid_out():
    """Panels have ids of their own, use the chosen data source, and none covers another."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
