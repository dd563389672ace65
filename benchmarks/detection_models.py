"""Auto-encoders for the detection benchmark, trained as by ``strandline train`` and scored as by ``detect --model``.

Two variants: one model a recording, fitted on the rows of its own calibration, which is the knowledge of the joint
statistics; and, for rigs, one model of the rows without a fault of other runs. A missing row repeats the one before,
for the models only: a gap would interrupt their input for eight rows. The alarm level is set for the rate that the
detector has in a recorded table, and an anomaly ends after five rows below the end level, as on a gateway.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from device_sim.simulation import rigs
from edge_components.anomaly_detector.univariate.calibration import UNSET_RATE
from strandline.recorded import model_detection
from strandline.recorded.episodes import above_level
from strandline.recorded.model_detection import RecordedModel
from strandline.recorded.offline import rested
from strandline.training.train import Request, train

if TYPE_CHECKING or __package__:
    from benchmarks.detection_baselines import known
    from benchmarks.detection_data import FloatArray, Group, IntArray, Recording
    from benchmarks.detection_measures import Scored
else:  # run as a file, beside which the others are
    from detection_baselines import known
    from detection_data import FloatArray, Group, IntArray, Recording
    from detection_measures import Scored

START_MS = 1_767_225_600_000
"""Time of the first row: numbers near zero are read as seconds."""
OTHER_RUNS = range(100, 102)
"""Seeds of the runs, of each kind of fault that is used in development, whose rows before the fault are fitted."""


def own_calibration(group: Group) -> list[Scored]:
    """Score recordings by models of their own calibrations."""
    return [_score(_fitted([_regular(one, one.calibrate)]), one) for one in group.recordings]


def other_runs(group: Group) -> list[Scored] | None:
    """Score rigs with faults under the usual conditions by one model of other runs; None for another group."""
    if not group.name.startswith("rigs,"):
        return None
    model = _fitted([_before_the_fault(rigs.run(kind, seed)) for kind in rigs.TUNING for seed in OTHER_RUNS])
    return [_score(model, one) for one in group.recordings]


def _before_the_fault(run: rigs.Run) -> tuple[IntArray, FloatArray]:
    rows = int(run.faulty.argmax())
    return _regular(Recording(run.kind, run.time_ms, run.values, rows, []), rows)


def _regular(recording: Recording, rows: int) -> tuple[IntArray, FloatArray]:
    """Return times and values of the first rows, a missing row being that before it."""
    time_ms, values = recording.time_ms[:rows], known(recording.values[:rows])
    step = int(np.median(np.diff(recording.time_ms)))
    regular = np.arange(time_ms[0], time_ms[-1] + 1, step)
    return START_MS + regular, values[np.searchsorted(time_ms, regular, side="right") - 1]


def _fitted(tables: Sequence[tuple[IntArray, FloatArray]]) -> RecordedModel:
    """Train an auto-encoder on tables; a channel that is constant in them is left out."""
    varies = np.any([np.ptp(values[: len(values) * 7 // 10], axis=0) > 0 for _, values in tables], axis=0)
    channels = tuple(_name(at) for at in np.flatnonzero(varies).tolist())
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        data.mkdir()
        for number, (time_ms, values) in enumerate(tables):
            with (data / f"{number:03}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("time", *map(_name, range(values.shape[1]))))
                writer.writerows((at, *row) for at, row in zip(time_ms.tolist(), values.tolist(), strict=True))
        trained = train(Request(data, "bench", Path(scratch) / "out", channels=channels, whole_names=True))
        return model_detection.load(trained.packed.artifact)


def _name(channel: int) -> str:
    return f"c{channel}"


def _score(model: RecordedModel, recording: Recording) -> Scored:
    time_ms, values = _regular(recording, len(recording.time_ms))
    columns = [int(name[1:]) for name in model.manifest.channels]
    calibrate = int(np.searchsorted(time_ms, START_MS + recording.time_ms[recording.calibrate - 1])) + 1
    rate = 1.0 / (UNSET_RATE * calibrate)
    found = model_detection.detect(
        model, time_ms, values[:, columns], calibrate, probability=rate, drift_windows=2 * calibrate
    )
    level = np.where(np.arange(len(found.level)) < calibrate, 0.0, found.level)
    rows = np.searchsorted(time_ms, START_MS + recording.time_ms)
    return Scored(rested(level[rows], recording.calibrate // 5), above_level(level)[rows])
