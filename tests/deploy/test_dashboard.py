"""The Grafana dashboard shows the metrics that there are, of both runtimes, and shows all of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FLINK = "flink_taskmanager_job_task_operator_"
OWN = re.compile(r"(?:flink_taskmanager_job_task_operator_)?watchgate_(\w+)")


def documented() -> dict[str, set[str]]:
    """Labels of each metric by name, from the table in docs/metrics.md."""
    rows = re.findall(r"^\| `(\w+)` \| (?:counter|gauge) \| ([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "integration/deploy/dashboard.json").read_text())
    return found


def test_it_is_a_dashboard_that_grafana_imports(dashboard: dict[str, Any]) -> None:
    assert dashboard["title"] == dashboard["uid"].capitalize() == "Watchgate"
    assert dashboard["schemaVersion"] >= 36 and "id" not in dashboard
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == len({panel["title"] for panel in panels})
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    (variable,) = dashboard["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    for panel in panels:
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) >= 2
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_every_panel_is_of_both_runtimes(dashboard: dict[str, Any]) -> None:
    for panel in dashboard["panels"]:
        expressions = [target["expr"] for target in panel["targets"]]
        assert any("flink_" in expression for expression in expressions), panel["title"]
        assert any("flink_" not in expression for expression in expressions), panel["title"]


def test_every_name_is_in_the_table_and_every_name_of_the_table_is_shown(dashboard: dict[str, Any]) -> None:
    names, shown = documented(), set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            for found in OWN.finditer(target["expr"]):
                name = found[1]
                if found[0].startswith(FLINK):  # the keys of its labels stand before the name
                    name = next(n for n in sorted(names, key=len) if name == "_".join([*sorted_labels(n, names), n]))
                assert name in names, name
                shown.add(name)
                for labels in re.findall(r"by \(([^)]*)\)", target["expr"]):
                    assert set(labels.split(", ")) <= names[name], target["expr"]
    assert shown == set(names)


def sorted_labels(name: str, names: dict[str, set[str]]) -> list[str]:
    """`rule` before `mode`: the order in which the job makes the groups."""
    return sorted(names[name], key=lambda label: label != "rule")


def test_parentheses_are_closed(dashboard: dict[str, Any]) -> None:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            assert all(expression.count(a) == expression.count(b) for a, b in ("()", "[]", "{}")), expression
