"""The short schedule: real processes, more than forty faults by fixed seeds, on both nuclei."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from rich.console import Console

from device_sim.chaos.report import show
from device_sim.chaos.runner import Options, run
from device_sim.chaos.schedule import kinds_of
from device_sim.simulation.sensor_broker import find_mosquitto
from strandline.packaging.components import build_here

FAULTS, SECONDS = 42, 90.0
DRAIN_SECONDS = 180.0
"""Upper bound: the last windows close only after the aggregator's idle timeout."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_mosquitto() is None,
        reason="mosquitto is not installed (apt-get install mosquitto): the readings need a broker that keeps them",
    ),
]


@pytest.mark.parametrize(("profile", "seed"), [("java", 2), ("lite", 3)])
def test_nothing_is_lost_and_nothing_is_counted_twice(tmp_path: Path, profile: str, seed: int) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    console = Console(width=120)
    options = Options(SECONDS, seed, FAULTS, series=8, drain_s=DRAIN_SECONDS, profile=profile)
    report = run(options, tmp_path, console, build_here)
    show(report, console)
    assert report.faults >= 40
    assert {done.kind for done in report.done} == {kind.name for kind in kinds_of((), profile)}
    assert report.proof.readings_sent > 5_000
    assert (report.reconciliation.lost, report.proof.duplicated, report.proof.unexplained) == (0, 0, 0)
    assert report.cloud.dead_letters == 0
    assert report.orphans == 0
    assert report.spool_losses_reported, "the losses of the spool were not reported to the cloud"
    assert report.settings_not_applied == ()
    assert report.holds
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before and p.is_running()]
    assert left == []
