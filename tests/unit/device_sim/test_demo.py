"""Tests of the parts of the demo that do not need a running process."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from rich.console import Console

from device_sim.demo.configuration import (
    AGGREGATOR,
    DETECTOR,
    FORWARDER,
    PROBE,
    SENSOR_READER,
    DemoOptions,
    calibration_windows,
    merged_configuration,
)
from device_sim.demo.judge import drops_of
from device_sim.demo.matching import Alarm, match
from device_sim.demo.progress import Progress, Snapshot
from device_sim.demo.proof import CountProof, RowProof
from device_sim.demo.run import run
from device_sim.demo.summary import Summary, show
from device_sim.demo.tap import Restarted
from device_sim.simulation.faults import Fault, FaultKind, schedule
from device_sim.simulation.signals import demo_plant
from edge_components.common.config import load
from strandline.packaging.components import build_here

FOLDERS = {
    SENSOR_READER: "sensor_reader",
    AGGREGATOR: "aggregator",
    DETECTOR: "anomaly_detector",
    FORWARDER: "forwarder",
}


def _summary(lost: int = 0, duplicated: int = 0, missing: int = 0, aggregates: int = 100) -> Summary:
    fault = Fault("pump-1.current", FaultKind.STEP, 50_000, 60_000, 3.0)
    alarms = [
        Alarm("pump-1.current", 51_000, None, 52_500, "level", 2.0),
        Alarm("host.cpu", 51_000, 53_000, 52_500, "spike", 1.1),
    ]
    return Summary(
        seed=1,
        duration_s=90.0,
        readings=500,
        aggregates=aggregates,
        batches=4,
        size=1000,
        wire_batches=6,
        wire_size=1500,
        rows=RowProof(100, 100 - lost, lost, duplicated, 0, 0, ("lost: x",) if lost else ()),
        counts=CountProof(480, 480 - missing, 0, 0, 1 if missing else 0),
        matching=match([fault], alarms, 90_000, 1000),
        usd_per_million_readings=0.05,
    )


def test_the_json_object_begins_with_the_keys_of_the_contract() -> None:
    body = _summary().to_dict()
    assert list(body)[:10] == [
        "readings",
        "aggregates",
        "batches",
        "bytes",
        "lost",
        "duplicated",
        "faults",
        "detected",
        "false_alerts",
        "detection_delay_s",
    ]
    assert [body[key] for key in list(body)[:10]] == [500, 100, 4, 1000, 0, 0, 1, 1, 1, 2.5]
    assert body["bytes_per_aggregate"] == 10.0
    assert body["holds"]


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"lost": 2}, "lost"),
        ({"missing": 2}, "lost"),
        ({"duplicated": 2}, "duplicated"),
        ({"missing": -2}, "duplicated"),
    ],
)
def test_losses_and_duplicates_are_shown_and_the_proof_does_not_hold(wrong: dict[str, int], key: str) -> None:
    summary = _summary(**wrong)
    assert not summary.holds
    assert summary.to_dict()[key] == 2


def test_run_without_stored_rows_is_not_a_proof() -> None:
    assert not _summary(aggregates=0).holds


def test_the_summary_shows_detected_faults_and_false_alerts(capsys: pytest.CaptureFixture[str]) -> None:
    show(_summary(lost=1), Console(width=120))
    shown = capsys.readouterr().out
    for text in (
        "pump-1.current",
        "2.5 s",
        "host.cpu",
        "false",
        "10.00 per aggregate",
        "lost: x",
        "NOT PROVEN",
        "$0.0500",
    ):
        assert text in shown


@pytest.mark.parametrize("duration", [20.0, 40.0, 90.0, 3600.0])
@pytest.mark.parametrize("component", sorted(FOLDERS))
def test_each_component_accepts_the_demos_configuration(component: str, duration: float) -> None:
    kind = importlib.import_module(f"edge_components.{FOLDERS[component]}.config").Config
    merged = merged_configuration(demo_plant(1), duration, 1883)
    assert sorted(merged) == sorted(FOLDERS)
    load(kind, merged[component])


def test_the_end_of_the_first_readings_raises_no_alert() -> None:
    merged = merged_configuration(demo_plant(1), 90.0, 1883)
    assert merged[DETECTOR]["reported"] == {"host.*": False, PROBE: False}


@pytest.mark.parametrize("duration", [40.0, 90.0, 3600.0])
@pytest.mark.parametrize("seed", [1, 7, 23])
def test_detectors_have_calibrated_before_the_first_fault(duration: float, seed: int) -> None:
    first = min(fault.start_ms for fault in schedule(demo_plant(seed), duration, seed))
    assert calibration_windows(duration) * 1000 < first


def test_a_decreasing_counter_is_detected_as_a_restart() -> None:
    counts = Restarted()
    counts.update({"rejected_late": 3, "windows": 10})
    counts.update({"rejected_late": 4, "windows": 12})
    counts.update({"windows": 2})
    counts.update({"windows": 5, "rejected_late": 1})
    assert counts.total() == {"rejected_late": 5, "windows": 17}


def test_only_counters_of_dropped_readings_account_for_readings() -> None:
    counters = {
        "SensorReader": {"readings": 9, "rejected_json": 2, "mqtt_connected": 1, "dropped_readings": 0},
        "Aggregator": {"rejected_late": 3, "rejected_not_finite": 4, "windows": 7},
        "Forwarder": {"rejected_late": 5},
    }
    assert drops_of(counters) == {
        "SensorReader.rejected_json": 2,
        "Aggregator.rejected_late": 3,
        "Aggregator.rejected_not_finite": 4,
    }


def test_each_alert_is_shown_once_when_it_opens_and_once_when_it_resolves(capsys: pytest.CaptureFixture[str]) -> None:
    opened = Alarm("pump-1.current", 1000, None, 2000, "level", 1.5)
    resolved = Alarm("pump-1.current", 1000, 9000, 2000, "level", 1.5)
    with Progress(Console(width=150)) as progress:
        for alarms in ([opened], [opened], [resolved], [resolved]):
            progress.show(Snapshot(5.0, 90.0, 100, 20, stored=10, batches=1, size=300, alarms=alarms))
    shown = capsys.readouterr().out
    assert shown.count("alert opened") == shown.count("alert resolved") == 1
    assert shown.count("30.00 B per aggregate") == 1


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".strandline").write_text("in the way")
    assert run(DemoOptions(), Console(width=300), build_here) == 1
    assert ".strandline: File exists" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 1
