"""The pictures of docs/detection.md, drawn from simulations: ``python benchmarks/pictures.py docs/pictures``.

The tables that are scored are written beside the scores, into ``--work``, so that each can be repeated by itself with
``strandline detect``.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device_sim.simulation import rigs
from device_sim.simulation.faults import Fault, FaultKind, readings
from device_sim.simulation.signals import demo_plant
from strandline.recorded.offline import detect
from wire.model import FloatArray, IntArray

SEED = 7
STEP_MS = 10_000
ROWS, CALIBRATE = 2880, 720
"""Eight hours in windows of ten seconds, the first two of them to calibrate on."""
START_MS = 1_767_225_600_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """A simulated table: times [rows], values [rows, channels], and how many rows are the calibration."""

    channels: Sequence[str]
    time_ms: IntArray
    values: FloatArray
    calibrate: int


def plant(series: str, *faults: tuple[FaultKind, int, int, float]) -> Recorded:
    """Return one series of the demo's plant with faults: kind, rows from and to, how much in the series' unit."""
    simulated = demo_plant(SEED, rate_hz=1000.0 / STEP_MS, speed=1.0)
    wrong = [Fault(series, kind, a * STEP_MS, b * STEP_MS, size) for kind, a, b, size in faults]
    at, ticks = [one.name for one in simulated.series].index(series), np.arange(ROWS)
    values = readings(simulated, wrong, ticks)[[at]].T
    return Recorded((series,), START_MS + simulated.time_ms(ticks), values, CALIBRATE)


def rig(kind: str, seed: int) -> Recorded:
    """Return a run of the simulated rig: eight channels at 1 Hz and one fault."""
    run = rigs.run(kind, seed)
    return Recorded(rigs.CHANNELS, START_MS + run.time_ms, run.values, rigs.CALIBRATION)


PICTURES: dict[str, Callable[[], Recorded]] = {
    "spike-step-stuck": lambda: plant(
        "pump-1.temperature",
        (FaultKind.SPIKE, 1100, 1103, 12.0),
        (FaultKind.STEP, 1600, 1720, 9.0),
        (FaultKind.STUCK, 2300, 2400, 0.0),
    ),
    "rig-outlet-valve": lambda: rig("outlet valve", 3),
    "rig-wear": lambda: rig("wear", 3),
    "slow-drift": lambda: plant("meter-1.voltage", (FaultKind.DRIFT, 1200, 2600, 1.5)),
}


def write(path: Path, recorded: Recorded) -> None:
    """Write a table as CSV; a value that is missing is empty."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("time", *recorded.channels))
        for at, row in zip(recorded.time_ms.tolist(), recorded.values.tolist(), strict=True):
            writer.writerow((at, *("" if value != value else f"{value:.10g}" for value in row)))


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder for the PNGs")
    parser.add_argument("--work", type=Path, help="the folder for the tables and scores, kept")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        for name, make in PICTURES.items():
            recorded, table = make(), work / f"{name}.csv"
            write(table, recorded)
            (scored,) = detect([table], "time", recorded.channels, recorded.calibrate, work / "scores", png=True)
            drawn = options.out / f"{name}.png"
            drawn.write_bytes(scored.with_suffix(".png").read_bytes())
            print(f"{drawn}  {drawn.stat().st_size} bytes")


if __name__ == "__main__":
    main()
