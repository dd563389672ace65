"""The examples of docs/examples are valid, and give the readings and alerts that they state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_functions.core import channels, routes, rules
from cloud_functions.core.dry_run import SeriesName, dry_run
from cloud_functions.core.globs import matches
from cloud_functions.core.rules import Rule, SetSilence
from device_sim.paths import SOURCE_TREE
from edge_components.sensor_reader.entries import read_entries
from strandline.sources.trial import TextReport, line, try_payload
from wire.model import Aggregates, Quality, Series

FOLDER = SOURCE_TREE / "docs/examples"
EXAMPLES = sorted(path.parent for path in FOLDER.glob("*/sources.json"))
GATEWAY = "gw-1"
NOW_MS = 1_800_000_000_000


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


class Rows:
    """Stored rows of the example's series, all of equal width from time 0 on."""

    def __init__(self, expected: Mapping[str, Any]) -> None:
        self._width_ms = int(expected["window_s"] * 1000)
        self._means = {
            name: [mean for mean, count in runs for _ in range(count)] for name, runs in expected["rows"].items()
        }
        self.end_ms = self._width_ms * max(len(means) for means in self._means.values())

    def series(self, rule: Rule) -> Iterator[SeriesName]:
        return (SeriesName(GATEWAY, name) for name in self._means if rule.applies_to(GATEWAY, name))

    def rows(self, name: SeriesName, from_ms: int, to_ms: int) -> Aggregates:
        known = [(at, mean) for at, mean in enumerate(self._means[name.series]) if mean is not None]
        mean = np.array([value for _at, value in known], np.float64)
        ones, spread = np.ones(len(known), np.int64), np.zeros(len(known))
        starts = np.array([at * self._width_ms for at, _value in known], np.int64)
        index, width = np.zeros(len(known), np.int64), ones * self._width_ms
        return Aggregates((Series(name.series),), index, starts, width, ones, mean, mean, mean, spread, spread)


def test_there_are_the_three_examples() -> None:
    assert [folder.name for folder in EXAMPLES] == ["cold-chain", "pump-station", "solar-park"]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_the_documents_are_valid_and_the_routes_name_existing_channels(folder: Path) -> None:
    assert read_entries(read(folder, "sources.json")["sources"])
    known = {channels.parse(one).name for one in read(folder, "channels.json")}
    for route in map(routes.parse, read(folder, "routes.json")):
        assert set(route.channels) <= known
    assert [rules.parse(one).name for one in read(folder, "rules.json")]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_sample_payloads_give_the_stated_readings(folder: Path) -> None:
    entries = [entry for entry in read(folder, "sources.json")["sources"] if entry["kind"] == "mqtt"]
    for topic, sample in read(folder, "payloads.json").items():
        payload = sample["text"].encode() if "text" in sample else bytes.fromhex(sample["hex"])
        shown: list[str] = []
        assert try_payload(entries[0], topic, payload, NOW_MS, TextReport(shown.append)) == len(sample["series"])
        for name, value in sample["series"].items():
            begin = line(name, value, "", NOW_MS, Quality.GOOD).split(" at ")[0]
            assert any(one.startswith(begin) for one in shown), shown


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_the_rules_raise_exactly_the_stated_alerts(folder: Path) -> None:
    expected, found = read(folder, "expected.json"), []
    rows = Rows(expected)
    for rule in map(rules.parse, read(folder, "rules.json")):
        if isinstance(rule.condition, SetSilence):
            continue
        assert any(matches(rule.series, name) for name in expected["rows"]), rule.name
        for one in dry_run(rule, rows, 0, rows.end_ms)["firings"]:
            times = {"from_s": one["from_ms"] / 1000, "to_s": one["to_ms"] / 1000}
            found.append({"rule": rule.name, "series": one["series"], **times})
    assert found == expected["alerts"]
