"""Recordings for the detection benchmark: public sets from a folder, simulated rigs, and generated series.

Every recording has its calibration at the beginning and its events as ranges of rows, both ends included. A public set
whose folder is absent is left out.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from device_sim.simulation import rigs

if TYPE_CHECKING or __package__:
    from benchmarks import detection_generated as generated
else:  # run as a file, beside which the others are
    import detection_generated as generated

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Events = list[tuple[int, int]]

NAB_FOLDERS = ("artificialNoAnomaly", "artificialWithAnomaly", "realAdExchange", "realTraffic", "realTweets")
UCR_FAMILIES = ("InternalBleeding", "insectEPG")
TEP_MS = 180_000
SHORT_ROWS, SHORT_CALIBRATION = 1_680, 420
SHORT_LEAD = 500
"""Rows between calibration and first event of a shortened recording."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One table: ``time_ms`` [rows], ``values`` [rows, channels], the rows of its calibration, its ``events``, and of
    each the row from which its delay is counted (``labels``; the first row of the event by default)."""

    name: str
    time_ms: IntArray
    values: FloatArray
    calibrate: int
    events: Events
    labels: list[int] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)

    @property
    def faulty(self) -> BoolArray:
        """Return the rows [rows] that belong to an event."""
        inside = np.zeros(len(self.time_ms), np.bool_)
        for first, last in self.events:
            inside[first : last + 1] = True
        return inside


@dataclass(frozen=True, slots=True)
class Group:
    """Recordings of one kind, and the ``measure`` that is usual for them: ``nab``, ``highest`` (the highest score is
    at the event), ``events`` (an alarm is inside of the event) or ``rows`` (each row is classified)."""

    name: str
    measure: str
    recordings: list[Recording]
    in_sample: bool = False
    """True if constants of this detector were chosen on these recordings."""


def load(data: Path, part: int = 1) -> list[Group]:
    """Return all groups; of each, one in ``part`` recordings."""
    seeds = range(max(1, 6 // part))
    groups = [
        *(Group(f"NAB {name}", "nab", _nab(data / "nab", name, part), True) for name in NAB_FOLDERS),
        *(Group(f"UCR {name}", "highest", _split(data / "ucr", f"*{name}*", part), True) for name in UCR_FAMILIES),
        Group("spacecraft", "events", _split(data / "smap_msl", "*", part), True),
        Group("Tennessee Eastman", "rows", _split(data / "tep", "*", 1), True),
        Group("rigs, tuning faults", "rows", _rigs(tuple(rigs.TUNING), seeds), True),
        Group("rigs, other faults", "rows", _rigs(tuple(rigs.HELD_OUT), seeds), True),
        Group("steady rigs, tuning faults", "rows", _rigs(tuple(rigs.TUNING), seeds, rigs.STEADY), True),
        Group("steady rigs, other faults", "rows", _rigs(tuple(rigs.HELD_OUT), seeds, rigs.STEADY), True),
        Group("uneven rigs, tuning faults", "rows", _rigs(tuple(rigs.TUNING), seeds, rigs.UNEVEN), True),
        Group("uneven rigs, other faults", "rows", _rigs(tuple(rigs.HELD_OUT), seeds, rigs.UNEVEN), True),
        Group("rigs without faults", "events", _rigs((rigs.NO_FAULT,), range(max(1, 12 // part)), rows=2_500), True),
        Group("seasonal, spikes", "events", _generated("spikes", 60 // part), True),
        Group("seasonal, changes", "events", _generated("changes", 60 // part), True),
        Group("servers", "events", _generated("server", 60 // part), True),
        Group("demand", "events", _generated("demand", 40 // part), True),
    ]
    return [group for group in groups if group.recordings]


def shortened(groups: Sequence[Group]) -> list[Group]:
    """Return the groups with recordings of one channel cut around their first event, to the length of a seasonal series
    and its calibration. NAB's score is not defined for them, so the events are counted."""
    found = []
    for group in groups:
        if group.recordings[0].values.shape[1] > 1:
            found.append(group)
            continue
        measure = "events" if group.measure == "nab" else group.measure
        recordings = [_short(recording) for recording in group.recordings]
        found.append(Group(group.name, measure, recordings, group.in_sample))
    return found


def _short(recording: Recording) -> Recording:
    rows = len(recording.time_ms)
    first = recording.events[0][0] if recording.events else 0
    start = max(0, min(first - SHORT_LEAD - SHORT_CALIBRATION, rows - SHORT_ROWS))
    end = min(rows, start + SHORT_ROWS)
    labels = recording.labels or [event[0] for event in recording.events]
    kept = [
        (event, label)
        for event, label in zip(recording.events, labels, strict=True)
        if start + SHORT_CALIBRATION <= event[0] < end
    ]
    events = [(event[0] - start, min(event[1], end - 1) - start) for event, _ in kept]
    time_ms, values = recording.time_ms[start:end], recording.values[start:end]
    return Recording(recording.name, time_ms, values, SHORT_CALIBRATION, events, [label - start for _, label in kept])


def _nab(data: Path, folder: str, part: int) -> list[Recording]:
    if not data.is_dir():
        return []
    windows = json.loads((data / "combined_windows.json").read_text())
    labels = json.loads((data / "combined_labels.json").read_text())
    found = []
    for name in sorted(windows):
        if not name.startswith(f"{folder}/"):
            continue
        rows = _rows(data / name)
        stamps = [row["timestamp"] for row in rows]
        time_ms = np.array([_milliseconds(stamp) for stamp in stamps], np.int64)
        spans, marks = [], []
        for first, last in windows[name]:
            start, end = (int(np.searchsorted(time_ms, _milliseconds(stamp))) for stamp in (first, last))
            inside = [int(np.searchsorted(time_ms, _milliseconds(label))) for label in labels[name]]
            spans.append((start, end))
            marks.append(min((row for row in inside if start <= row <= end), default=start))
        values = np.array([[float(row["value"])] for row in rows])
        found.append(Recording(name, time_ms, values, int(min(0.15 * len(rows), 750)), spans, marks, stamps))
    return found[::part]


def _split(folder: Path, pattern: str, part: int) -> list[Recording]:
    """Read files whose first rows have the split ``train``; without a time, rows are a second apart."""
    found = []
    for path in sorted(folder.glob(f"{pattern}.csv"))[::part]:
        rows = _rows(path)
        labels = {"split", "anomaly", "fault", "minute"}
        channels = [name for name in rows[0] if name not in labels]
        values = np.array([[float(row[name]) for name in channels] for row in rows])
        step = TEP_MS if "minute" in rows[0] else 1_000
        label = "anomaly" if "anomaly" in rows[0] else "fault"
        faulty = np.array([float(row[label]) > 0 for row in rows])
        calibrate = sum(row["split"] == "train" for row in rows)
        time_ms = np.arange(len(rows), dtype=np.int64) * step
        found.append(Recording(path.stem, time_ms, values, calibrate, ranges(faulty)))
    return found


def _rigs(
    kinds: Sequence[str], seeds: range, conditions: rigs.Conditions = rigs.USUAL, rows: int = rigs.ROWS
) -> list[Recording]:
    runs = [rigs.run(kind, seed, rows, conditions) for kind in kinds for seed in seeds]
    return [
        Recording(f"{run.kind} {run.seed}", run.time_ms, run.values, rigs.CALIBRATION, ranges(run.faulty))
        for run in runs
    ]


def _generated(kind: str, count: int) -> list[Recording]:
    found = []
    for seed in range(count):
        one = generated.KINDS[kind](np.random.default_rng([seed, *kind.encode()]))
        time_ms = np.arange(len(one.values), dtype=np.int64) * one.step_ms
        found.append(Recording(f"{kind} {seed}", time_ms, one.values[:, None], one.calibrate, one.events))
    return found


def ranges(marked: BoolArray) -> Events:
    """Return the ranges of marked rows, both ends included."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marked.astype(np.int8), [0]))))
    return [(first, end - 1) for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _milliseconds(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC).timestamp() * 1000)
