"""Grafana dashboards of the examples: the general dashboard with one chart for each series, and lines at its limits."""

from __future__ import annotations

import copy
import fnmatch
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, COLUMNS = 12, 8, 2
VARIABLE = "${series}"


def dashboard(general: Mapping[str, Any], name: str, series: Sequence[str], limits: Mapping[str, float]) -> Any:
    """Return the general dashboard with a chart for each series, which has a line at its limit, if it has one."""
    made = copy.deepcopy(dict(general))
    made["title"], made["uid"] = f"Strandline: {name.replace('-', ' ')}", f"strandline-{name}"
    made["templating"]["list"] = [one for one in made["templating"]["list"] if one["name"] != "series"]
    chart, *others = made["panels"]
    top = HEIGHT * -(-len(series) // COLUMNS)
    panels = [_chart(chart, at, one, limits.get(one)) for at, one in enumerate(series)]
    for panel in others:
        panel["gridPos"]["y"] += top - chart["gridPos"]["h"]
    made["panels"] = [{**panel, "id": at} for at, panel in enumerate((*panels, *others), 1)]
    # Alerts of all series of the gateway are annotations; the general dashboard has those of the selected series.
    for annotation in made["annotations"]["list"]:
        parameters = annotation["target"]["url_options"]["params"]
        annotation["target"]["url_options"]["params"] = [one for one in parameters if one["value"] != VARIABLE]
    return made


def _chart(chart: Mapping[str, Any], at: int, series: str, limit: float | None) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(chart).replace(VARIABLE, series))
    made["gridPos"] = {"x": WIDTH * (at % COLUMNS), "y": HEIGHT * (at // COLUMNS), "w": WIDTH, "h": HEIGHT}
    if limit is not None:
        defaults = made["fieldConfig"]["defaults"]
        steps = [{"color": "transparent", "value": None}, {"color": "red", "value": limit}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["custom"]["thresholdsStyle"] = {"mode": "line"}
    return made


def of_example(folder: Path, general: Mapping[str, Any]) -> str:
    """Return the dashboard of a folder of docs/examples as text: the series that it states, and its rules' limits."""
    expected = json.loads((folder / "expected.json").read_text())
    limits: dict[str, float] = {}
    for rule in json.loads((folder / "rules.json").read_text()):
        condition = rule["condition"]
        limit = condition.get("above", condition.get("below"))
        if condition["type"] == "threshold" and limit is not None:
            limits |= {one: limit for one in expected["series"] if fnmatch.fnmatchcase(one, rule["series"])}
    return json.dumps(dashboard(general, folder.name, expected["series"], limits), indent=1) + "\n"
