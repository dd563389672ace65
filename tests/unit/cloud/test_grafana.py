"""The queries of the Grafana dashboard against the API: each is answered and has the selected columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.unit.cloud.api_site import ApiSite, event
from tests.unit.cloud.fakes import NOW_MS, START_MS, report
from wire.model import Anomaly, Phase

DASHBOARD = json.loads((Path(__file__).resolve().parents[3] / "docs/grafana/strandline.json").read_text())
VALUES = {"gateway": "gw-1", "series": "pump/temp", "__from": str(START_MS), "__to": str(NOW_MS + 1)}
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "timestamp_epoch": (int,),
}
UNKNOWN = {"ended_ms", "health.spool_bytes"}
"""Selected keys that can be absent or null."""


def queries() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield from panel["targets"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["infinityQuery"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["target"]


def filled(text: str) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: VALUES[found[1]], text)


@pytest.fixture(scope="module")
def site() -> ApiSite:
    made = ApiSite()
    made.rows(n=30)
    made.services.book.report("gw-1", report())
    made.services.book.report("gw-1", Anomaly("pump/temp", Phase.ONSET, NOW_MS - 5_000, NOW_MS, 1.5, "spike"))
    return made


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query["url"])
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


def test_every_variable_that_a_query_names_exists() -> None:
    declared = {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {"__from", "__to"}
    assert set(re.findall(r"\$\{(\w+)\}", json.dumps(DASHBOARD))) <= declared
    assert len(list(queries())) == 7
