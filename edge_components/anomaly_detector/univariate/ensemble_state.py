"""The saved state of an ensemble: storage names, versions of experts, and how the state of other experts is read. Pure.

Columns are saved under their storage names. ``experts.list`` is JSON: the names of the statistics in the order of their
columns, and the version of each expert's state. State without it is of the first version. An expert without saved state
of its version, such as a new one, is fitted on the calibration windows; the others are restored.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import (
    Arrays,
    Columns,
    FloatArray,
    IntArray,
    read_array,
    saved_fields,
    to_arrays,
)
from edge_components.anomaly_detector.univariate import fitting
from edge_components.anomaly_detector.univariate.calibration import BY_STATISTIC, Records
from edge_components.anomaly_detector.univariate.expert_set import MODEL, ExpertSet, standardized
from edge_components.anomaly_detector.univariate.experts.base import SeriesState
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.tracking import Tracks
from edge_components.anomaly_detector.univariate.windows import STORED_WIDTH, CalibrationWindows

LIST = "experts.list"
FIRST_NAMES = [
    *("level", "shift", "spike", "step", "short_step", "noise", "forecast", "forecasts", "season", "seasons", "trend"),
    *("stuck", "gap", MODEL),
]
FITTED_AT_ONCE = 64


class SavedEnsemble(Protocol):
    """The parts of an ensemble that are saved and restored, and the configuration that restoring needs."""

    settings: Settings
    experts: ExpertSet
    series: SeriesState
    states: list[Columns]
    records: Records
    tracks: Tracks
    windows: CalibrationWindows
    floor: FloatArray
    width_ms: int

    def __len__(self) -> int:
        """Return the number of series."""

    def clear(self, n: int) -> None:
        """Replace all state by that of ``n`` new series."""

    def windows_between_alarms(self) -> float:
        """Return the number of windows between false alarms."""


def save(ensemble: SavedEnsemble) -> dict[str, npt.NDArray[Any]]:
    """Return the state to save, by storage name."""
    kept: dict[str, npt.NDArray[Any]] = {"floor": ensemble.floor, "width_ms": np.array([ensemble.width_ms])}
    for part in (ensemble.series, *ensemble.states, ensemble.records, ensemble.tracks, ensemble.windows):
        kept |= to_arrays(part)
    experts = ensemble.experts
    listed = {"names": experts.names, "versions": {one.name: one.version for one in experts.experts}}
    return kept | {LIST: np.frombuffer(json.dumps(listed).encode(), np.uint8)}


def restore(ensemble: SavedEnsemble, arrays: Arrays) -> None:
    """Restore a state from :func:`save`; raises ValueError, and leaves new series, if the layout differs."""
    names, versions = _listed(arrays)
    width_ms = int(read_array(arrays, "width_ms", (1,), np.int64)[0])
    floor = arrays.get("floor", np.zeros(0))
    n = len(floor)
    ensemble.clear(n)
    ensemble.floor, ensemble.width_ms = floor.copy(), width_ms
    ensemble.windows = ensemble.windows.load({STORED_WIDTH: np.full(n, width_ms, np.int64), **arrays}, n)
    ensemble.tracks = ensemble.tracks.load(arrays, n)
    # Unknown, so an anomaly that lasts since before the restart ends with the means, unless the windows show it again.
    ensemble.tracks.usual = ensemble.tracks.lasted + 1
    ensemble.series = ensemble.series.load(arrays, n)
    calibrated = np.flatnonzero(ensemble.windows.calibrated)
    _replay_history(ensemble, calibrated)
    columns = [names.index(name) if name in names else -1 for name in ensemble.experts.names]
    causes = np.array([ensemble.experts.names.index(name) if name in ensemble.experts.names else 0 for name in names])
    ensemble.tracks.cause = causes[np.clip(ensemble.tracks.cause, 0, len(causes) - 1)]
    _restore_records(ensemble, arrays, columns[: ensemble.experts.scaled])
    missing = _restore_states(ensemble, arrays, columns, versions)
    _correct_history(ensemble, calibrated, missing)
    if missing:
        _fit(ensemble, calibrated, missing)


def _listed(arrays: Arrays) -> tuple[list[str], dict[str, int]]:
    if LIST not in arrays:
        return FIRST_NAMES, {}
    try:
        listed = json.loads(arrays[LIST].tobytes())
        return [str(name) for name in listed["names"]], {str(k): int(v) for k, v in listed["versions"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{LIST}: {type(error).__name__}: {error}") from error


def _replay_history(ensemble: SavedEnsemble, series_ids: IntArray) -> None:
    """Compute the experts' shared history again from the calibration windows."""
    series = ensemble.series.take(series_ids)
    means = ensemble.windows.in_order(series_ids)[:, -ensemble.experts.lookback :, 0]
    for at, mean in enumerate(means.T):
        series.history[:, at] = standardized(mean, series)
    ensemble.series.put(series_ids, series)


def _correct_history(ensemble: SavedEnsemble, series_ids: IntArray, missing: list[int]) -> None:
    """Replace outliers in the history by the experts' restored states."""
    history = ensemble.series.history[series_ids]
    for at, (expert, state) in enumerate(zip(ensemble.experts.experts, ensemble.states, strict=True)):
        if at not in missing:
            expert.correct_history(state, series_ids, history)
    ensemble.series.history[series_ids] = history


def _restore_records(ensemble: SavedEnsemble, arrays: Arrays, columns: list[int]) -> None:
    """Restore records; the columns of statistics that were not saved (-1) stay empty."""
    records, known = ensemble.records, [at for at, column in enumerate(columns) if column >= 0]
    for field, name in saved_fields(records).items():
        like = getattr(records, field)
        saved = arrays.get(name, np.zeros(0))
        if field in BY_STATISTIC:
            width = saved.shape[1] if saved.ndim > 1 else 0
            saved = read_array(arrays, name, (len(like), width, *like.shape[2:]), like.dtype)
            if any(columns[at] >= width for at in known):
                raise ValueError(f"{name} has {width} statistics")
            like[:, known] = saved[:, [columns[at] for at in known]]
        else:
            setattr(records, field, read_array(arrays, name, like.shape, like.dtype))


def _restore_states(ensemble: SavedEnsemble, arrays: Arrays, columns: list[int], versions: dict[str, int]) -> list[int]:
    """Restore the experts' states; return the positions of the experts whose state was not saved in this version."""
    missing, first = [], 0
    for at, (expert, state) in enumerate(zip(ensemble.experts.experts, ensemble.states, strict=True)):
        own = columns[first : first + len(expert.statistics)]
        first += len(expert.statistics)
        try:
            if -1 in own or versions.get(expert.name, 1) != expert.version:
                raise ValueError(f"expert {expert.name} has no state of version {expert.version}")
            ensemble.states[at] = state.load(arrays, len(ensemble))
        except ValueError:
            missing.append(at)
    return missing


def _fit(ensemble: SavedEnsemble, series_ids: IntArray, missing: list[int]) -> None:
    """Fit the state and the records of some experts on the calibration windows, in the scales of the others."""
    experts = ensemble.experts
    scaled = [column for at in missing for column in range(experts.scaled)[experts.columns[at]]]
    for first in range(0, len(series_ids), FITTED_AT_ONCE):
        part = series_ids[first : first + FITTED_AT_ONCE]
        ring, series = ensemble.windows.in_order(part), ensemble.series.take(part)
        _, states, records = fitting.fit(
            ring, ensemble.floor[part], ensemble.settings, experts, ensemble.windows_between_alarms(), series
        )
        for at in missing:
            ensemble.states[at].put(part, states[at])
        for field in BY_STATISTIC:
            getattr(ensemble.records, field)[part[:, None], scaled] = getattr(records, field)[:, scaled]
