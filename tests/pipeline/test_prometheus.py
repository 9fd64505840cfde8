"""The dashboard and the alerts in `deploy/prometheus/` use metrics that exist, and are documented."""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.events.listener import Scanned
from pipeline.events.metrics import Metrics
from tests.pipeline.events.samples import samples

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
OPERATIONS = ROOT / "docs" / "operations.md"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
JOBS = DASHBOARD["templating"]["list"][1]["definition"]


@pytest.fixture
def kept() -> dict[str, float]:
    """The samples of a runner that has scanned its inbox."""
    metrics = Metrics()
    metrics.hear(Scanned(1, 1))
    return samples(metrics.text())


def promtool(*arguments: str | Path) -> str:
    """Call promtool; its output. Skips the test where there is none."""
    if not (program := shutil.which("promtool")):
        pytest.skip("promtool is not installed; it comes with Prometheus")
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("query", [*(rule["expr"] for rule in RULES), *QUERIES, JOBS])
def test_a_query_uses_only_metrics_and_labels_that_exist(query: str, kept: dict[str, float]) -> None:
    names = set(re.findall(r"\bnst_\w+", query))
    assert names
    assert names <= {sample.partition("{")[0] for sample in kept}
    for name, label, value in re.findall(r'(nst_\w+){(?:job=~"\$job", )?(\w+)="(\w+)"}', query):
        assert f'{name}{{{label}="{value}"}}' in kept
    for label in re.findall(r"by \(([\w, ]+)\)", query):
        assert set(label.split(", ")) <= {"job", "instance", "le", "outcome", "state", "version"}


def test_the_dashboard_shows_every_metric() -> None:
    kept = re.findall(rb"^# TYPE (nst_\w+)", Metrics().text(), re.MULTILINE)
    missing = [name for name in kept if not any(name.decode() in query for query in QUERIES)]
    assert missing == []


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert all(panel["description"] for panel in panels)


def test_each_alert_has_a_section_that_says_what_to_do() -> None:
    headings = re.findall(r"^#+ (Nst\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]
    assert len(RULES) == 4
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_the_rules_are_valid() -> None:
    assert "4 rules found" in promtool("check", "rules", FOLDER / "alerts.yaml")


def test_each_alert_fires_when_it_should_and_not_otherwise() -> None:
    tested = set(re.findall(r"exp_labels.*\n.*\n.*\n.*\n.*#(\w+)", (FOLDER / "alerts.test.yaml").read_text()))
    assert tested == {rule["alert"].lower() for rule in RULES}
    promtool("test", "rules", FOLDER / "alerts.test.yaml")


def test_the_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    # Grafana replaces its variables before it sends a query.
    queries = [query.replace("$job", ".+").replace("$__rate_interval", "5m") for query in QUERIES]
    rules = [{"record": f"query{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    assert f"{len(QUERIES)} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")
