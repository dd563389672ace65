"""Assign series to groups, and score each group's windows as they arrive. Pure.

Series of one device (the part before the last dot of the name) form a group, unless globs assign another. A window of
a group is scored when all its series have arrived, or when the next window begins. Its anomalies are reported under
the name ``<group>.joint``, with the channel that contributes most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray, IntArray
from edge_components.anomaly_detector.multivariate.group_detector import Finding, GroupDetector
from edge_components.anomaly_detector.physical_range import limited, physical_range
from edge_components.anomaly_detector.reports import DRIFT, HISTORY, compact, compact_history
from edge_components.common.patterns import longest_match
from wire.model import MAX_NAME, Anomaly, Phase, Series

Arrays = dict[str, npt.NDArray[Any]]
CAUSE = "joint"
MAX_CHANNELS = 64
MONTH_MS = 30 * 86_400_000.0


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """``windows`` of a group's calibration (0: no groups); ``names`` maps globs over series to the group's name, "" for
    no group; lengths in windows; ``false_alarms_per_month`` as for a series."""

    windows: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    drift_windows: int = 3600
    update_windows: int = 60
    false_alarms_per_month: float = 1.0

    def group_of(self, series: str) -> str:
        """Return the name of a series' group, "" if it has none; the longest matching glob applies."""
        glob = longest_match(series, self.names)
        return series.rpartition(".")[0] if glob is None else self.names[glob]

    def windows_between(self, width_ms: int) -> float:
        """Return the number of windows between a group's false alarms."""
        return MONTH_MS / max(width_ms, 1) / self.false_alarms_per_month


class Group:
    """One group: its series in the order in which they were added, and the window that is being filled."""

    def __init__(self, name: str, settings: GroupSettings) -> None:
        self.name, self._settings = name, settings
        self.series: list[Series] = []
        self.joint = self._new_joint()
        self._row = np.zeros(0)
        self._start_ms, self._width_ms, self._scored = -(2**63), 0, True
        self._onset_ms, self._peak = 0, 0.0

    def add(self, series: Series) -> int:
        """Return the slot of a new series, -1 if the group is calibrated or full."""
        if self.joint.baseline is not None or len(self.series) >= MAX_CHANNELS:
            return -1
        self.series.append(series)
        # Rows without the series are incomplete.
        self.joint = self._new_joint()
        self._row = np.full(len(self.series), np.nan)
        return len(self.series) - 1

    def remove(self, slots: IntArray) -> None:
        """Remove series; the remaining group is calibrated again."""
        self.series = [one for slot, one in enumerate(self.series) if slot not in slots]
        self.joint = self._new_joint()
        self._row = np.full(len(self.series), np.nan)
        self._scored = True

    def take(self, slots: IntArray, start_ms: int, width_ms: int, mean: FloatArray) -> list[Anomaly]:
        """Process values of a window and return the reports that are due; late values are ignored."""
        reports: list[Anomaly] = []
        if start_ms < self._start_ms or (start_ms == self._start_ms and self._scored):
            return reports
        if start_ms > self._start_ms:
            reports = self._score()
            self._start_ms, self._width_ms, self._scored = start_ms, width_ms, False
            self._row = np.full(len(self.series), np.nan)
        self._row[slots] = mean
        return reports + self._score() if np.isfinite(self._row).all() else reports

    def state(self) -> Arrays:
        """Return the state to save, by name."""
        marks = np.array([self._start_ms, self._width_ms, int(self._scored), self._onset_ms], np.int64)
        return self.joint.state() | {"row": self._row, "marks": marks, "peak": np.array([self._peak])}

    def restore(self, arrays: Arrays) -> None:
        """Restore a saved :meth:`state`; raises ValueError if its layout is another."""
        row, marks, peak = (arrays.get(name) for name in ("row", "marks", "peak"))
        if row is None or marks is None or peak is None or row.shape != self._row.shape or marks.shape != (4,):
            raise ValueError(f"group {self.name}: its saved state has another layout")
        self.joint.restore(arrays)
        self._row, self._peak = row.copy(), float(peak[0])
        self._start_ms, self._width_ms, scored, self._onset_ms = marks.tolist()
        self._scored = bool(scored)

    def _new_joint(self) -> GroupDetector:
        return GroupDetector(
            len(self.series), self._settings.windows, self._settings.drift_windows, self._settings.update_windows
        )

    def _score(self) -> list[Anomaly]:
        if self._scored or len(self.series) < 2:
            return []
        self._scored = True
        self.joint.rows_between = self._settings.windows_between(self._width_ms)
        found = self.joint.step(self._row)
        if found.phase is Phase.ONSET:
            self._onset_ms, self._peak = self._start_ms, 0.0
        self._peak = max(self._peak, found.score) if math.isfinite(found.score) else self._peak
        return [self._report(found, found.phase)] if found.phase is not None else []

    def _report(self, found: Finding, phase: Phase) -> Anomaly:
        at = found.channel
        observed, expected, reach = (float(column[at]) for column in (self._row, found.expected, found.reach))
        history = self.joint.history(at, HISTORY)
        limits = physical_range(self.series[at].unit, history)
        return Anomaly(
            series=f"{self.name}.{CAUSE}",
            phase=phase,
            onset_ms=self._onset_ms,
            time_ms=self._start_ms + self._width_ms,
            score=round(self._peak, 3),
            cause=DRIFT if found.drifted else CAUSE,
            channel=self.series[at].name,
            direction="up" if observed > expected else "down",
            observed=compact(observed),
            expected=compact(limited(expected, limits)),
            lower=compact(limited(expected - reach, limits)),
            upper=compact(limited(expected + reach, limits)),
            causes={CAUSE: round(found.score, 3)},
            unit=self.series[at].unit,
            history=compact_history(history),
        )


class Groups:
    """All groups of a gateway; series have ids in the order in which they were added."""

    def __init__(self, settings: GroupSettings) -> None:
        self._settings = settings
        self._groups: dict[str, Group] = {}
        self._order: list[Group] = []
        self._series: list[Series] = []
        self._group_of, self._slot_of = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add(self, series: Sequence[Series]) -> None:
        """Assign new series to their groups."""
        assigned = [self._assign(one) for one in series]
        self._series += series
        self._group_of = np.append(self._group_of, [group for group, _ in assigned]).astype(np.int64)
        self._slot_of = np.append(self._slot_of, [slot for _, slot in assigned]).astype(np.int64)

    def replace(self, rows: IntArray, series: Sequence[Series]) -> None:
        """Give the ids of forgotten series to new ones; groups that lost a series calibrate again."""
        for number in sorted(set(self._group_of[rows].tolist()) - {-1}, reverse=True):
            self._remove(number, self._slot_of[rows[self._group_of[rows] == number]])
        self._group_of[rows] = self._slot_of[rows] = -1
        for row, one in zip(rows.tolist(), series, strict=True):
            self._series[row] = one
            self._group_of[row], self._slot_of[row] = self._assign(one)

    def window(self, series_ids: IntArray, start_ms: int, width_ms: int, mean: FloatArray) -> list[Anomaly]:
        """Process the means of one window of some series and return the reports that are due."""
        groups, slots = self._group_of[series_ids], self._slot_of[series_ids]
        reports: list[Anomaly] = []
        for number in np.unique(groups[groups >= 0]).tolist():
            at = groups == number
            reports += self._order[number].take(slots[at], start_ms, width_ms, mean[at])
        return reports

    def watched(self, name: str) -> int | None:
        """Return the number of windows of a group, by the name in its reports; None for another name."""
        group = self._groups.get(name.removesuffix(f".{CAUSE}")) if name.endswith(f".{CAUSE}") else None
        return group.joint.seen if group is not None else None

    def state(self) -> Arrays:
        """Return the state to save, by name."""
        members = {group.name: [one.name for one in group.series] for group in self._order}
        kept: Arrays = {"groups": np.frombuffer(json.dumps(members).encode(), np.uint8)}
        for number, group in enumerate(self._order):
            kept |= {f"group.{number}.{name}": array for name, array in group.state().items()}
        return kept

    def restore(self, arrays: Arrays) -> None:
        """Restore a saved :meth:`state` after the same series were added; raises ValueError for other groups."""
        members = json.loads(arrays.get("groups", np.zeros(0, np.uint8)).tobytes() or b"{}")
        rows = {one.name: row for row, one in enumerate(self._series)}
        self._groups, self._order = {}, []
        self._group_of, self._slot_of = np.full(len(rows), -1, np.int64), np.full(len(rows), -1, np.int64)
        for number, (name, names) in enumerate(members.items()):
            if not self._settings.windows or any(
                one not in rows or self._settings.group_of(one) != name for one in names
            ):
                raise ValueError("the saved groups differ from the configured ones")
            group = self._groups[name] = Group(name, self._settings)
            self._order.append(group)
            for one in names:
                self._group_of[rows[one]], self._slot_of[rows[one]] = number, group.add(self._series[rows[one]])
            prefix = f"group.{number}."
            group.restore({key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)})
        for row in np.flatnonzero(self._group_of < 0).tolist():
            if self._assign(self._series[row]) != (-1, -1):
                raise ValueError("the saved groups differ from the configured ones")

    def _remove(self, number: int, slots: IntArray) -> None:
        """Remove series from a group, and the group if it is empty then."""
        group = self._order[number]
        if len(slots) < len(group.series):
            group.remove(slots)
            members = np.flatnonzero(self._group_of == number)
            self._slot_of[members] -= np.searchsorted(np.sort(slots), self._slot_of[members])
            return
        del self._order[number], self._groups[group.name]
        self._group_of[self._group_of > number] -= 1

    def _assign(self, series: Series) -> tuple[int, int]:
        name = self._settings.group_of(series.name) if self._settings.windows else ""
        if not name or len(name) + len(CAUSE) >= MAX_NAME:
            return -1, -1
        if name not in self._groups:
            self._groups[name] = Group(name, self._settings)
            self._order.append(self._groups[name])
        slot = self._groups[name].add(series)
        return (self._order.index(self._groups[name]), slot) if slot >= 0 else (-1, -1)
