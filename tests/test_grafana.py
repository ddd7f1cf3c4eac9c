"""deploy/grafana.json draws metrics that there are, by labels that they have."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests import promql
from tests.conftest import ROOT, require
from tests.test_alerts import PAGE, Watched, call, watched
from web import metrics

__all__ = ["watched"]
BOARD: Final[dict[str, Any]] = json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))
PANELS: Final = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS: Final = [target["expr"] for panel in PANELS for target in panel["targets"]]
OF_PROMETHEUS: Final = {"job", "instance", "le"}


def test_panels_lie_side_by_side() -> None:
    """Each has an id and a place of its own, within 24 columns, and says where its numbers come from."""
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["expr"] for target in panel["targets"])


def test_metrics_and_labels_are_there(watched: Watched) -> None:
    """In one real scrape of an app that has done a little of everything."""
    metrics.PAGE_RUNS.labels("providers").observe(0.1)
    metrics.PAGE_ERRORS.labels("providers")
    call(watched, "error", 1)
    watched.execute(
        "INSERT INTO org_llm_budgets (name, amount, period, mode, unpriced, when_away)"
        " VALUES ('b', 1, 'day', 'hard', 'refuse', 'closed')"
    )
    watched.client.get("/api/llm/providers")
    answer = watched.client.get(PAGE)
    assert answer.status_code == 200
    scrape = promql.scraped(watched.client.get(PAGE).text, 0)
    there: dict[str, set[str]] = {}
    for labels in scrape.samples:
        there.setdefault(dict(labels)["__name__"], set()).update(name for name, _ in labels)

    for expression in EXPRESSIONS:
        names = promql.metrics_in(expression)
        assert names, expression
        for name in names:
            assert name in there, expression
        known = set.union(*(there[name] for name in names)) | OF_PROMETHEUS
        grouped = re.findall(r"by \(([\w, ]+)\)", expression)
        matched = re.findall(r"[{,]\s*(\w+)=", expression)
        assert {label.strip() for group in grouped for label in group.split(",")} | set(matched) <= known, expression


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_legend_names_labels_that_are_left(panel: dict[str, Any]) -> None:
    """After `sum by (status)` there is no other label to name."""
    for target in panel["targets"]:
        grouped = re.search(r"by \(([\w, ]+)\)", target["expr"])
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        if grouped:
            assert named <= {label.strip() for label in grouped[1].split(",")} - {"le"}
        else:
            assert named <= {"instance"}


def test_expressions_are_promql(tmp_path: Path) -> None:
    """Prometheus' own parser reads each."""
    require("prometheus", shutil.which("promtool"))
    rules = [
        {"record": f"r{number}", "expr": expression.replace("$job", "x")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
