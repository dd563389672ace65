"""The queries of the Grafana dashboards against the API: each is answered and has the selected columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from strandline.documentation.dashboards import of_example
from tests.unit.cloud.api_site import ApiSite, event
from tests.unit.cloud.fakes import NOW_MS, START_MS, report
from wire.model import Anomaly, Phase

DOCS = Path(__file__).resolve().parents[3] / "docs"
GENERAL = DOCS / "grafana/strandline.json"
EXAMPLES = sorted((DOCS / "examples").glob("*/dashboard.json"))
DASHBOARDS = {path: json.loads(path.read_text()) for path in (GENERAL, *EXAMPLES)}
VALUES = {"gateway": "gw-1", "series": "pump/temp", "__from": str(START_MS), "__to": str(NOW_MS + 1)}
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "timestamp_epoch": (int,),
}
UNKNOWN = {"ended_ms", "health.spool_bytes"}
"""Selected keys that can be absent or null."""


def queries(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield from panel["targets"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["infinityQuery"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["target"]


def series_of(path: Path) -> list[str]:
    """Return the series that an example states."""
    return [str(name) for name in json.loads(path.with_name("expected.json").read_text())["series"]]


def filled(text: str) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: VALUES[found[1]], text)


@pytest.fixture(scope="module")
def site() -> ApiSite:
    made = ApiSite()
    made.rows(n=30)
    for path in EXAMPLES:
        for name in series_of(path):
            made.rows(series=name, n=30)
    made.services.book.report("gw-1", report())
    made.services.book.report("gw-1", Anomaly("pump/temp", Phase.ONSET, NOW_MS - 5_000, NOW_MS, 1.5, "spike"))
    return made


ALL = [query for dashboard in DASHBOARDS.values() for query in queries(dashboard)]


@pytest.mark.parametrize("query", ALL, ids=lambda query: query["url"])
def test_a_query_is_answered_with_the_selected_columns(site: ApiSite, query: dict[str, Any]) -> None:
    assert (query["type"], query["source"], query["parser"]) == ("json", "url", "backend")
    assert query["url_options"]["method"] == "GET"
    parameters = {one["key"]: filled(one["value"]) for one in query["url_options"]["params"]}
    answer = site.raw(event("GET", filled(query["url"]), urlencode(parameters), b"", {}, "viewer"))
    assert answer.status == 200, answer.content
    items = answer.json[query["root_selector"]]
    assert items
    for column in query["columns"]:
        found = [_selected(item, column["selector"]) for item in items]
        if column["selector"] not in UNKNOWN:
            assert all(isinstance(value, TYPES[column["type"]]) for value in found), (column, found[:3])


def _selected(item: Any, selector: str) -> Any:
    for part in selector.split("."):
        item = item.get(part) if isinstance(item, dict) else None
    return item


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.parent.name)
def test_every_variable_that_a_query_names_exists(path: Path) -> None:
    declared = {variable["name"] for variable in DASHBOARDS[path]["templating"]["list"]} | {"__from", "__to"}
    assert set(re.findall(r"\$\{(\w+)\}", json.dumps(DASHBOARDS[path]))) <= declared


def test_the_general_dashboard_has_its_queries() -> None:
    assert len(list(queries(DASHBOARDS[GENERAL]))) == 7


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_dashboard_of_an_example_has_a_chart_for_each_of_its_series_and_the_limits_of_its_rules(path: Path) -> None:
    assert path.read_text() == of_example(path.parent, DASHBOARDS[GENERAL])
    charts = {panel["title"]: panel for panel in DASHBOARDS[path]["panels"] if panel["type"] == "timeseries"}
    assert list(charts) == series_of(path)
    steps = {name: panel["fieldConfig"]["defaults"].get("thresholds") for name, panel in charts.items()}
    assert any(found and found["steps"][1]["value"] > 0 for found in steps.values())
