"""The pictures of docs/detection.md, drawn anew from simulated plants: ``python benchmarks/pictures.py docs/pictures``.

The tables that are scored are written beside the scores, into ``--work``, so that each can be repeated by itself with
``strandline detect``.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device_sim.faults import Fault, FaultKind, readings
from device_sim.signals import demo_plant
from edge_components.anomaly_detector.offline import detect

SEED = 7
STEP_MS = 10_000
ROWS, CALIBRATE = 2880, 720
"""Eight hours in windows of ten seconds, the first two of them to calibrate on."""
START_MS = 1_767_225_600_000


@dataclass(frozen=True, slots=True)
class Picture:
    """Series of one plant, and what goes wrong with them: rows from and to, and how much of the unit."""

    name: str
    series: tuple[str, ...]
    faults: tuple[tuple[str, FaultKind, int, int, float], ...]


PUMP = ("pump-1.temperature", "pump-1.pressure", "pump-1.vibration", "pump-1.current")
PICTURES = (
    Picture(
        "spike-step-stuck",
        ("pump-1.temperature",),
        (
            ("pump-1.temperature", FaultKind.SPIKE, 1100, 1103, 12.0),
            ("pump-1.temperature", FaultKind.STEP, 1600, 1720, 9.0),
            ("pump-1.temperature", FaultKind.STUCK, 2300, 2400, 0.0),
        ),
    ),
    Picture(
        "pump-four-channels",
        PUMP,
        (
            ("pump-1.vibration", FaultKind.NOISE, 1200, 1400, 0.5),
            ("pump-1.pressure", FaultKind.STEP, 1900, 2000, -500.0),
            ("pump-1.current", FaultKind.DROPOUT, 2450, 2550, 0.0),
        ),
    ),
    Picture(
        "slow-drift",
        ("tank-1.level", "meter-1.voltage"),
        (
            ("tank-1.level", FaultKind.DRIFT, 1200, 2600, 0.5),
            ("meter-1.voltage", FaultKind.DRIFT, 1200, 2600, 1.5),
        ),
    ),
)


def write(path: Path, picture: Picture) -> None:
    """Write the table of a picture as CSV."""
    plant = demo_plant(SEED, rate_hz=1000.0 / STEP_MS, speed=1.0)
    names = [series.name for series in plant.series]
    faults = [Fault(s, kind, a * STEP_MS, b * STEP_MS, size) for s, kind, a, b, size in picture.faults]
    ticks = np.arange(ROWS)
    values = readings(plant, faults, ticks)[[names.index(series) for series in picture.series]]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("time", *picture.series))
        for at, row in zip((START_MS + plant.time_ms(ticks)).tolist(), values.T.tolist(), strict=True):
            writer.writerow((at, *("" if value != value else f"{value:.10g}" for value in row)))


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder for the PNGs")
    parser.add_argument("--work", type=Path, help="the folder for the tables and scores, kept")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        for picture in PICTURES:
            recorded = work / f"{picture.name}.csv"
            write(recorded, picture)
            (scored,) = detect([recorded], "time", picture.series, CALIBRATE, work / "scores", png=True)
            drawn = options.out / f"{picture.name}.png"
            drawn.write_bytes(scored.with_suffix(".png").read_bytes())
            print(f"{drawn}  {drawn.stat().st_size} bytes")


if __name__ == "__main__":
    main()
