"""Score batches: assign ids to series, and run one step of the ensemble, the groups and the models for each window.

Pure. The series are registered here; the ensemble knows only their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import FloatArray, IntArray
from edge_components.anomaly_detector.multivariate.groups import Groups, GroupSettings
from edge_components.anomaly_detector.reports import HISTORY, end_report, report
from edge_components.anomaly_detector.univariate.ensemble import Ensemble, Step
from edge_components.anomaly_detector.univariate.model_scores import ModelScorer
from edge_components.anomaly_detector.univariate.windows import Windows
from edge_components.common.series_registry import Assignment, SeriesRegistry
from wire.model import Aggregates, Anomaly, Series

FORGET_WINDOWS = 10
"""Windows without a value after which a series can be replaced by a new one."""


class Scoring:
    """All series of a gateway by name, with their ensemble, groups and models."""

    def __init__(
        self,
        ensemble: Ensemble,
        max_series: int,
        names: Sequence[str] = (),
        models: ModelScorer | None = None,
        groups: GroupSettings | None = None,
    ) -> None:
        self.ensemble, self.registry, self._models = ensemble, SeriesRegistry(max_series), models
        self.names = list(names)
        for series_id, name in enumerate(self.names):
            self.registry.assign(series_id, Series(name))
        self.registry.touch(np.arange(len(self.names)), ensemble.windows.last_ms)
        self._newest, self._width_ms = -1, 0
        self.forgotten: dict[str, int] = {}
        """Series that the last call of :meth:`score` replaced, with the number of their windows."""
        self.regroup(groups or GroupSettings())

    def regroup(self, settings: GroupSettings) -> None:
        """Form the groups again; they are calibrated again."""
        self.groups = Groups(settings)
        self.groups.add(self.registry.all())

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state to save, by storage name, without the names of the series."""
        return self.ensemble.state() | self.groups.state()

    def score(self, rows: Aggregates) -> tuple[Aggregates, list[Anomaly]]:
        """Return the same rows with their scores (NaN without a score), and the reports that are due."""
        score = np.full(len(rows), np.nan)
        reports: list[Anomaly] = []
        series_ids = self._series_ids(rows.series, reports)[rows.series_index]
        known = series_ids >= 0
        for start, width in np.unique(np.stack((rows.start_ms, rows.width_ms)), axis=1).T.tolist():
            at = np.flatnonzero((rows.start_ms == start) & (rows.width_ms == width) & known)
            _, first = np.unique(series_ids[at], return_index=True)  # a repeated window in a batch is scored once
            at = at[first]
            if len(at):
                score[at] = self._window(rows, at, series_ids[at], int(start), reports)
        # Three significant digits are sufficient for a score, and compress well.
        return replace(rows, score=np.round(score, 3)), reports

    def watched(self, name: str) -> int:
        """Return the number of windows of a series or group, including those of its calibration."""
        if name in self.forgotten:
            return self.forgotten[name]
        group = self.groups.watched(name)
        return group if group is not None else int(self.ensemble.windows.count[self.registry.find(name)])

    def _window(
        self, rows: Aggregates, at: IntArray, series_ids: IntArray, start_ms: int, reports: list[Anomaly]
    ) -> FloatArray:
        width_ms = int(rows.width_ms[at[0]])
        count, slot = rows.count[at].astype(np.float64), np.full(len(at), float(start_ms // max(width_ms, 1)))
        windows = Windows(rows.mean[at], rows.min[at], rows.max[at], rows.std[at], count, slot)
        model_scores = None
        if self._models is not None:
            model_scores = self._models(self.names, series_ids, start_ms, width_ms, windows.mean)
        step = self.ensemble.step(series_ids, start_ms, width_ms, windows, model_scores)
        self.registry.touch(series_ids, self.ensemble.windows.last_ms[series_ids])
        self._report(step, width_ms, reports)
        if start_ms > self._newest:
            self._newest, self._width_ms = start_ms, width_ms
            silence = self.ensemble.silent(start_ms)
            if silence is not None:
                self._report(silence, width_ms, reports)
        reports += self.groups.window(series_ids, start_ms, width_ms, windows.mean)
        return step.score

    def _report(self, step: Step, width_ms: int, reports: list[Anomaly]) -> None:
        ensemble = self.ensemble
        for change in step.changes:
            series_id = int(step.series_ids[change.row])
            series, history = self.registry[series_id], ensemble.last_means(series_id, HISTORY)
            reports.append(report(step, change, ensemble.tracks, ensemble.experts, series, width_ms, history))

    def _series_ids(self, directory: Sequence[Series], reports: list[Anomaly]) -> IntArray:
        """Return each series' id, -1 above the limit; a new series gets an id, if necessary that of a silent one."""
        series_ids, assigned = self.registry.resolve(directory, self._not_silent)
        new = [each.series for each in assigned if each.series_id >= len(self.names)]
        if new:
            self.ensemble.add_series([series.resolution for series in new])
            self.names += [series.name for series in new]
            self.groups.add(new)
        self._replace([each for each in assigned if each.replaced is not None], reports)
        return series_ids

    def _not_silent(self) -> IntArray:
        """Return the ids of the series with a recent window, which are not replaced."""
        return np.flatnonzero(self.ensemble.windows.last_ms >= self._newest - FORGET_WINDOWS * self._width_ms)

    def _replace(self, assigned: Sequence[Assignment], reports: list[Anomaly]) -> None:
        """Clear the state of silent series whose ids new series have; their active anomalies end."""
        self.forgotten = {}
        if not assigned:
            return
        ids, new = np.array([each.series_id for each in assigned], np.int64), [each.series for each in assigned]
        ensemble, end_ms = self.ensemble, self._newest + self._width_ms
        for series_id, former in ((each.series_id, each.replaced) for each in assigned if each.replaced is not None):
            self.forgotten[former.name] = int(ensemble.windows.count[series_id])
            if ensemble.tracks.active[series_id]:
                reports.append(end_report(former, ensemble.tracks, ensemble.experts, series_id, end_ms))
        ensemble.replace_series(ids, [series.resolution for series in new])
        self.groups.replace(ids, new)
        self.names = [series.name for series in self.registry.all()]  # another object: ids belong to other series
