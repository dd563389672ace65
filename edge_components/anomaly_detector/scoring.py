"""From batches to scores: which series stand in which row, and one step of the ensemble a window.

Pure. Keeps the directory of series that the ensemble itself knows only by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray, IntArray
from edge_components.anomaly_detector.multivariate.groups import Groups, GroupSettings
from edge_components.anomaly_detector.reports import HISTORY, end_of, report
from edge_components.anomaly_detector.univariate.ensemble import Ensemble, Step
from edge_components.anomaly_detector.univariate.experts import Windows
from edge_components.anomaly_detector.univariate.model_scores import Opinions
from wire.model import Aggregates, Anomaly, Series

FORGET_WINDOWS = 10
"""A series makes room for a new one after so many windows without a value."""


class Scoring:
    """All series of a gateway by name, their ensemble, and what models from outside say besides."""

    def __init__(
        self,
        ensemble: Ensemble,
        max_series: int,
        names: Sequence[str] = (),
        opinions: Opinions | None = None,
        groups: GroupSettings | None = None,
    ) -> None:
        self.ensemble, self.max_series, self._opinions = ensemble, max_series, opinions
        self.names = list(names)
        self._rows = {name: row for row, name in enumerate(self.names)}
        self._series = {name: Series(name) for name in self.names}
        self._newest, self._width_ms = -1, 0
        self.forgotten: dict[str, int] = {}
        """The series that the last call of :meth:`score` forgot, with the windows for which each was watched."""
        self.regroup(groups or GroupSettings())

    def regroup(self, settings: GroupSettings) -> None:
        """Make the groups anew; they calibrate anew."""
        self.groups = Groups(settings)
        self.groups.add([self._series[name] for name in self.names])

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that must survive a restart, by name, but for the names of the series."""
        return self.ensemble.state() | self.groups.state()

    def score(self, rows: Aggregates) -> tuple[Aggregates, list[Anomaly]]:
        """Return the same rows with their scores (NaN where there is none), and what is to be reported."""
        score = np.full(len(rows), np.nan)
        reports: list[Anomaly] = []
        places = self._places(rows.series, reports)[rows.series_index]
        for start in np.unique(rows.start_ms).tolist():
            at = np.flatnonzero((rows.start_ms == start) & (places >= 0))
            # One window a series: what comes twice in a batch is scored once.
            _, first = np.unique(places[at], return_index=True)
            at = at[first]
            if len(at):
                score[at] = self._window(rows, at, places[at], int(start), reports)
        # Three digits tell all that a score can, and compress well.
        scored = replace(rows, score=np.round(score, 3))
        return scored, reports

    def watched(self, name: str) -> int:
        """Return for how many windows a series or group was watched, those of its calibration included."""
        if name in self.forgotten:
            return self.forgotten[name]
        group = self.groups.watched(name)
        return group if group is not None else int(self.ensemble.collected.kept[self._rows[name]])

    def _window(
        self, rows: Aggregates, at: IntArray, places: IntArray, start_ms: int, reports: list[Anomaly]
    ) -> FloatArray:
        width_ms = int(rows.width_ms[at[0]])
        count, slot = rows.count[at].astype(np.float64), np.full(len(at), float(start_ms // max(width_ms, 1)))
        windows = Windows(rows.mean[at], rows.min[at], rows.max[at], rows.std[at], count, slot)
        opinion = None
        if self._opinions is not None:
            opinion = self._opinions(self.names, places, start_ms, width_ms, windows.mean)
        step = self.ensemble.step(places, start_ms, width_ms, windows, opinion)
        self._report(step, width_ms, reports)
        if start_ms > self._newest:
            self._newest, self._width_ms = start_ms, width_ms
            silence = self.ensemble.silent(start_ms)
            if silence is not None:
                self._report(silence, width_ms, reports)
        reports += self.groups.window(places, start_ms, width_ms, windows.mean)
        return step.score

    def _report(self, step: Step, width_ms: int, reports: list[Anomaly]) -> None:
        for change in step.changes:
            at = int(step.index[change.row])
            history = self.ensemble.last_means(at, HISTORY)
            reports.append(report(step, change, self.ensemble.tracks, self._series[self.names[at]], width_ms, history))

    def _places(self, directory: Sequence[Series], reports: list[Anomaly]) -> IntArray:
        """Return each series' row, -1 for those above the limit; new ones get a row, if need be of a silent series."""
        unknown = [series for series in directory if series.name not in self._rows]
        room = max(0, self.max_series - len(self.names))
        self._add(unknown[:room])
        present = np.array([self._rows[series.name] for series in directory if series.name in self._rows], np.int64)
        self._make_room(unknown[room:], present, reports)
        self._series.update({series.name: series for series in directory if series.name in self._rows})
        return np.array([self._rows.get(series.name, -1) for series in directory], np.int64)

    def _add(self, fresh: Sequence[Series]) -> None:
        if fresh:
            self.ensemble.add_series([series.resolution for series in fresh])
        for series in fresh:
            self._rows[series.name] = len(self.names)
            self.names.append(series.name)
        self.groups.add(fresh)

    def _make_room(self, fresh: Sequence[Series], present: IntArray, reports: list[Anomaly]) -> None:
        """Give new series the rows of those least recently heard; one that is not silent keeps its row."""
        self.forgotten = {}
        if not fresh:
            return
        last_ms = self.ensemble.collected.last_ms
        silent = np.flatnonzero(last_ms < self._newest - FORGET_WINDOWS * self._width_ms)
        silent = np.setdiff1d(silent, present)
        rows = silent[np.argsort(last_ms[silent], kind="stable")][: len(fresh)]
        fresh = fresh[: len(rows)]
        self.forgotten = {self.names[row]: int(self.ensemble.collected.kept[row]) for row in rows.tolist()}
        tracks, end_ms = self.ensemble.tracks, self._newest + self._width_ms
        reports += [
            end_of(self._series[self.names[row]], tracks, row, end_ms) for row in rows[tracks.active[rows]].tolist()
        ]
        self.ensemble.replace_series(rows, [series.resolution for series in fresh])
        self.groups.replace(rows, fresh)
        self.names = list(self.names)  # another list: models know series by their row in it
        for row, series in zip(rows.tolist(), fresh, strict=True):
            del self._rows[self.names[row]], self._series[self.names[row]]
            self.names[row], self._rows[series.name] = series.name, row
