"""The sources of docs/examples are read from a broker, Modbus devices and 1-Wire files; the pump's model is trained."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from device_sim.paths import SOURCE_TREE
from strandline.cli import make_app
from tests.unit.strandline.test_worked_examples import EXAMPLES, read

pytest.importorskip("pymodbus")
pytest.importorskip("asyncua")  # for the module with the peers
from tests.integration.source_peers import Background, free_port, serving  # needs the packages
from tests.integration.test_mqtt_source import mosquitto
from tests.integration.test_mqtt_source import pytestmark as needs_mosquitto
from tests.integration.test_source_examples import device
from tests.integration.test_source_examples import read as read_broker
from tests.unit.sensor_reader.mqtt_site import Site
from tests.unit.sensor_reader.test_sysfs_sources import thermometer
from tests.unit.sensor_reader.thread_site import ThreadSite

HIGH, LOW = struct.unpack(">HH", struct.pack(">f", 21.5))
DEVICES: dict[str, tuple[list[int], dict[str, float]]] = {
    "pump-1": ([LOW, HIGH, 430], {"pump-1.flow": 21.5, "pump-1.pressure": 4.3, "pump-1.running": 1}),
    "inverter-1": ([0] * 30 + [1, 4464, 415], {"inverter-1.power": 70_000, "inverter-1.temperature": 41.5}),
}
"""Holding registers of the Modbus devices by entry, and the readings of the entry."""
ENTRIES = [(folder, entry) for folder in EXAMPLES for entry in read(folder, "sources.json")["sources"]]


def keys(entry: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the keys of an entry without name and kind."""
    return {key: value for key, value in entry.items() if key not in ("name", "kind")} | changes


def of_kind(kind: str) -> pytest.MarkDecorator:
    """Return the parameters of a test over the entries of a kind."""
    found = [(folder, entry) for folder, entry in ENTRIES if entry["kind"] == kind]
    return pytest.mark.parametrize(("folder", "entry"), found, ids=[entry["name"] for _folder, entry in found])


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    made = Background()
    yield made
    made.close()


def test_every_entry_is_of_a_kind_that_is_read_here() -> None:
    assert {entry["kind"] for _folder, entry in ENTRIES} == {"mqtt", "modbus", "onewire"}


@of_kind("modbus")
def test_registers_are_read_from_a_device(background: Background, folder: Path, entry: dict[str, Any]) -> None:
    from pymodbus import FramerType
    from pymodbus.server import ModbusTcpServer

    port, (words, expected) = free_port(), DEVICES[entry["name"]]
    made, address = device(1, words), ("127.0.0.1", port)
    with (
        serving(background, lambda: ModbusTcpServer(made, framer=FramerType.SOCKET, address=address)),
        ThreadSite("modbus", keys(entry, host="127.0.0.1", port=port, interval_ms=50), name=entry["name"]) as site,
    ):
        site.poll_until(lambda: len(site.values) == len(expected))
        assert site.values == pytest.approx(expected)
    assert set(expected) <= set(read(folder, "expected.json")["series"])


@needs_mosquitto
@of_kind("mqtt")
def test_payloads_are_read_from_a_broker(tmp_path: Path, folder: Path, entry: dict[str, Any]) -> None:
    samples = read(folder, "payloads.json")
    published = [
        (topic, one["text"] if "text" in one else bytes.fromhex(one["hex"]), one["series"])
        for topic, one in samples.items()
    ]
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port:
        read_broker(Site(**keys(entry, host="127.0.0.1", port=port, client_id=entry["name"])), published, port)
    series = {name for one in samples.values() for name in one["series"]}
    assert series <= set(read(folder, "expected.json")["series"])


@of_kind("onewire")
def test_thermometers_are_read_from_files(tmp_path: Path, folder: Path, entry: dict[str, Any]) -> None:
    names = read(folder, "expected.json")["series"]
    for at, name in enumerate(names):
        thermometer(tmp_path, name.partition(".")[2], 4_000 + 500 * at)
    with ThreadSite("onewire", keys(entry, path=str(tmp_path), interval_ms=1_000), name=entry["name"]) as site:
        site.poll_until(lambda: len(site.values) == len(names))
        assert site.values == {name: 4.0 + 0.5 * at for at, name in enumerate(names)}


def history() -> ModuleType:
    """Return the module that writes the recordings of the pump."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("history", SOURCE_TREE / "docs/examples/pump-station/history.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*words: object) -> Any:
    """Run a command with --json and return what it prints."""
    result = CliRunner().invoke(make_app(), [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.slow
def test_the_model_of_the_pump_detects_a_blocked_discharge_and_nothing_before(tmp_path: Path) -> None:
    pytest.importorskip("flatbuffers")
    history().main(tmp_path)
    repair = "2026-03-01T09:00..2026-03-01T10:00"
    run("train", "--data", tmp_path / "history.csv", "--group", "pump", "--exclude", repair, "--out", tmp_path / "out")
    model = tmp_path / "out/artifacts/io.strandline.model.Pump/0.1.0/model.zip"
    (found,) = run("detect", tmp_path / "blocked.csv", "--time", "timestamp", "--model", model)
    (one,) = found["anomalies"]
    hour = found["summary"]["from_ms"] + 3_600_000
    assert one["cause"] == "model pump"
    assert hour < one["start_ms"] < hour + 600_000
