"""Measures of the detection benchmark: the usual one of each group of recordings, and those that all groups share."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING or __package__:
    from benchmarks.detection_data import BoolArray, FloatArray, Group, Recording
else:  # run as a file, beside which the other is
    from detection_data import BoolArray, FloatArray, Group, Recording

NEAR = 100
"""Rows from an event within which the highest score counts, as the UCR archive defines it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A detector's result for a recording, by row: ``score`` for counting alarms, 1.0 and more being one, and the rows
    that are marked as an ``anomaly``."""

    score: FloatArray
    anomaly: BoolArray

    @property
    def begins(self) -> BoolArray:
        """Return the rows [rows] at which an anomaly begins."""
        return self.anomaly & ~np.concatenate(([False], self.anomaly[:-1]))

    def alarms(self, recording: Recording) -> npt.NDArray[np.intp]:
        """Return the rows after the calibration at which an alarm is raised or an anomaly begins."""
        raised = (self.score >= 1.0) | self.begins
        raised[: recording.calibrate] = False
        return np.flatnonzero(raised)


def measure(group: Group, results: Sequence[Scored], nab: Path | None = None) -> dict[str, float]:
    """Return the measures of a group by name; ``nab`` is the program that computes NAB's score."""
    found = shared(group, results)
    if group.measure == "nab" and nab is not None and any(one.events for one in group.recordings):
        found |= nab_scores(group, results, nab)
    elif group.measure == "highest":
        found["highest_at_event"] = sum(map(_is_highest_at_event, group.recordings, results))
    elif group.measure == "rows":
        found |= rows(group, results)
    return found


def shared(group: Group, results: Sequence[Scored]) -> dict[str, float]:
    """Return the measures of all groups: events found, false alarms, fault-free time marked, and the median delay.

    A lasting anomaly repeats its alarm, which counts; its onset counts once, as an ``onset`` within an event or as a
    false one.
    """
    events = found = onsets = false = false_onsets = normal = marked = 0
    delays: list[int] = []
    for recording, result in zip(group.recordings, results, strict=True):
        faulty, alarms = recording.faulty, result.alarms(recording)
        begins = alarms[result.begins[alarms]]
        for at, (first, last) in enumerate(recording.events):
            if last < recording.calibrate:
                continue
            events += 1
            inside = alarms[(alarms >= first) & (alarms <= last)]
            found += bool(len(inside))
            onsets += bool(((begins >= first) & (begins <= last)).any())
            label = recording.labels[at] if recording.labels else first
            delays += [max(0, int(inside[0]) - label)] if len(inside) else []
        false += int((~faulty[alarms]).sum())
        false_onsets += int((~faulty[begins]).sum())
        free = ~faulty
        free[: recording.calibrate] = False
        normal += int(free.sum())
        marked += int((free & result.anomaly).sum())
    return {
        "found": found,
        "events": events,
        "onsets": onsets,
        "false_alarms": false,
        "false_onsets": false_onsets,
        "false_alarms_per_1000_rows": round(1000 * false / max(1, normal), 3),
        "fault_free_marked": round(marked / max(1, normal), 4),
        "median_delay_rows": float(np.median(delays)) if delays else float("nan"),
    }


def rows(group: Group, results: Sequence[Scored]) -> dict[str, float]:
    """Return the measures of classified rows, over all recordings together."""
    hits = missed = false = normal = 0
    for recording, result in zip(group.recordings, results, strict=True):
        marked, faulty = result.anomaly[recording.calibrate :], recording.faulty[recording.calibrate :]
        hits += int((marked & faulty).sum())
        missed += int((~marked & faulty).sum())
        false += int((marked & ~faulty).sum())
        normal += int((~faulty).sum())
    return {
        "f1": round(2 * hits / max(1, 2 * hits + missed + false), 3),
        "false_rows": round(false / max(1, normal), 4),
        "missed_rows": round(missed / max(1, hits + missed), 4),
    }


def nab_scores(group: Group, results: Sequence[Scored], scorer: Path) -> dict[str, float]:
    """Return NAB's score (standard profile): with the best threshold, and with the level fixed at 1.0."""
    names = [recording.name for recording in group.recordings]
    with tempfile.TemporaryDirectory() as folder:
        for recording, result in zip(group.recordings, results, strict=True):
            path = Path(folder) / recording.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("timestamp", "anomaly_score"))
                scores = (result.score / (1.0 + result.score)).tolist()
                writer.writerows(zip(recording.stamps, scores, strict=True))
        data = scorer.parent.parent / "data" / "nab"
        command = [sys.executable, str(scorer), str(data), folder, "--only", *names]
        found = {}
        thresholds: dict[str, list[str]] = {"nab_best": [], "nab_fixed": ["--threshold", "0.5"]}
        for name, more in thresholds.items():
            done = subprocess.run([*command, *more], check=True, capture_output=True, text=True)  # noqa: S603 # given
            found[name] = float(json.loads(done.stdout)["standard"]["score"])
    return found


def _is_highest_at_event(recording: Recording, result: Scored) -> bool:
    scores = result.score.copy()
    scores[: recording.calibrate] = -1.0
    at = int(scores.argmax())
    return any(first - NEAR <= at <= last + NEAR for first, last in recording.events)
