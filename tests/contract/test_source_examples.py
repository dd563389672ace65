"""The examples in docs/sources.md are run: payloads of every format and preset, and the kinds that read local files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from edge_components.common.config import load
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.entries import Entry, kinds
from edge_components.sensor_reader.mapping.bindings import preset_names
from edge_components.sensor_reader.mapping.settings import format_names
from strandline.commands.source import _run
from strandline.sources.trial import TextReport, TrialSink, try_payload
from tests.unit.sensor_reader.test_sysfs_sources import thermometer, write

PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
NOW_MS = 1_700_000_000_000
ENTRIES = [
    entry
    for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    for entry in load(Config, json.loads(text)).entries().values()
]
ENDING = r" at \d{4}-\S+, (good|uncertain)$"


def rows(name: str) -> list[tuple[str, str, bytes, list[str]]]:
    """Return the cells of a table of examples: the first one, topic, payload, readings."""
    table = PAGE.partition(f"<!-- examples {name} -->\n")[2].partition("<!-- /examples -->")[0]
    found = []
    for line in table.splitlines()[2:]:
        first, topic, payload, readings = (cell.strip() for cell in line.strip("| ").split(" | "))
        text = payload.strip("`")
        content = bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
        found.append((first.strip("`"), topic.strip("`"), content, re.findall(r"`([^`]+)`", readings)))
    return found


def readings_of(entry: dict[str, Any], topic: str, payload: bytes) -> list[str]:
    shown: list[str] = []
    try_payload(entry, topic, payload, NOW_MS, TextReport(shown.append))
    return [re.sub(ENDING, "", line) for line in shown if re.search(ENDING, line)]


@pytest.mark.parametrize(("element", "topic", "payload", "expected"), rows("formats"))
def test_the_example_of_a_format_gives_its_readings(
    element: str, topic: str, payload: bytes, expected: list[str]
) -> None:
    assert readings_of({"topics": [json.loads(element)]}, topic, payload) == expected


@pytest.mark.parametrize(("preset", "topic", "payload", "expected"), rows("presets"))
def test_the_example_of_a_preset_gives_its_readings(
    preset: str, topic: str, payload: bytes, expected: list[str]
) -> None:
    assert readings_of({"preset": preset}, topic, payload) == expected


def test_every_format_preset_and_kind_has_an_example() -> None:
    assert sorted(json.loads(element)["format"] for element, *_ in rows("formats")) == sorted(format_names())
    assert [preset for preset, *_ in rows("presets")] == sorted(preset_names())
    assert {entry.kind for entry in ENTRIES} == set(kinds())


def onewire(folder: Path) -> dict[str, Any]:
    thermometer(folder / "w1", "28-0000001", 23_125)
    return {"path": str(folder / "w1")}


def iio(folder: Path) -> dict[str, Any]:
    write(folder / "iio" / "iio:device0", name="bme280\n", in_temp_input="21500\n")
    return {"path": str(folder / "iio")}


def replay(folder: Path) -> dict[str, Any]:
    """Write a file in the form of the Numenta Anomaly Benchmark: a time without an offset, and one value."""
    file = folder / "machine_temperature.csv"
    file.write_text("timestamp,value\n2014-04-01 00:00:00,73.97\n2014-04-01 00:05:00,74.94\n")
    return {"file": str(file)}


LOCAL: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "host": (lambda folder: {"disk": str(folder)}, "host.memory = "),
    "onewire": (onewire, "tank.28-0000001 = 23.125 Cel at "),
    "iio": (iio, "board.bme280.temp = 21.5 Cel at "),
    "replay": (replay, "nab.value = 73.97 at "),
}
"""Replacement of the paths of the example of a kind, and the beginning of a line that it prints."""


@pytest.mark.source_quality("example", "host", "onewire", "iio", "replay")
@pytest.mark.parametrize("kind", LOCAL)
def test_the_example_of_a_kind_that_reads_files_gives_readings(kind: str, tmp_path: Path) -> None:
    given = next(entry for entry in ENTRIES if entry.kind == kind)
    prepare, begin = LOCAL[kind]
    settings = given.settings
    keys = {one.name: getattr(settings, one.name) for one in fields(settings)} | prepare(tmp_path)
    shown: list[str] = []
    sink = TrialSink(TextReport(shown.append))
    _run(Entry(given.name, kind, replace(settings, **keys)), sink, once=True, seconds=20.0)
    assert any(line.startswith(begin) for line in shown), shown


def test_a_file_of_the_numenta_anomaly_benchmark_is_replayed_with_the_default_keys(tmp_path: Path) -> None:
    (entry,) = (
        load(Config, {"sources": [{"name": "nab", "kind": "replay", "speed": 0, **replay(tmp_path)}]})
        .entries()
        .values()
    )
    shown: list[str] = []
    _run(entry, TrialSink(TextReport(shown.append)), once=True, seconds=20.0)
    assert shown == [
        "nab.value = 73.97 at 2014-04-01T00:00:00.000Z, good",
        "nab.value = 74.94 at 2014-04-01T00:05:00.000Z, good",
    ]
