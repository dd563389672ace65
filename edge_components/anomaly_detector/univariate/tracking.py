"""Derive anomalies from scores: onset, update and end, with hysteresis, and drift.

Pure and columnar; Python objects are made only for the few series with something to report.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column
from edge_components.anomaly_detector.univariate.settings import Settings
from wire.model import Phase

REST_ONSET = 2.0
"""Score at which an anomaly begins shortly after another one, while its windows are still in the experts' lookback."""


@dataclass(slots=True)
class Tracks(Columns):
    """The anomaly of each series: whether it is ``active``, its onset, the windows since (``lasted``), those below the
    end level (``quiet``) and since the last report (``reported``), the ``peak`` of the score, that of the last report,
    the ``cause``, and the windows for which the onset needs a higher score (``rest``). Not saved are the last windows
    in which an anomaly's level was ``steady``, and those in which the score of the last windows alone was ``usual``."""

    active: BoolArray = column("tracks.active", False, np.bool_)
    onset_ms: IntArray = column("tracks.onset_ms", 0, np.int64)
    lasted: IntArray = column("tracks.lasted", 0, np.int64)
    quiet: IntArray = column("tracks.quiet", 0, np.int64)
    reported: IntArray = column("tracks.reported", 0, np.int64)
    peak: FloatArray = column("tracks.peak", 0.0)
    peak_reported: FloatArray = column("tracks.peak_reported", 0.0)
    cause: IntArray = column("tracks.cause", 0, np.int64)
    rest: IntArray = column("tracks.rest", 0, np.int64)
    steady: IntArray = column("", 0, np.int64)
    usual: IntArray = column("", 0, np.int64)


@dataclass(frozen=True, slots=True)
class Change:
    """A report that is due: the row in this step, its phase, and whether the anomaly ended as drift."""

    row: int
    phase: Phase
    drifted: bool = False


def without_past(tracks: Tracks, score: FloatArray, recent: FloatArray, settings: Settings) -> FloatArray:
    """Return the scores [n] that count for onset and end; ``recent`` [n] are those of the last windows alone.

    Means over more windows contain an anomaly for a while after it. One that the last windows have shown, and have not
    shown for ``end_windows``, is over; and for some time after an anomaly, only the last windows can begin another. One
    that was seen in the means only, such as a slow drift, lasts as long as they show it.
    """
    tracks.usual = np.where(recent < 1.0, tracks.usual + 1, 0)
    over = tracks.active & (tracks.usual >= settings.end_windows) & (tracks.usual <= tracks.lasted)
    resting = ~tracks.active & (tracks.rest > 0)
    return np.asarray(np.where(over, 0.0, np.where(resting, np.minimum(score, recent), score)), np.float64)


def follow(
    tracks: Tracks,
    score: FloatArray,
    cause: IntArray,
    start_ms: int,
    settings: Settings,
    undisturbed: BoolArray,
    rest: int,
) -> list[Change]:
    """Process the scores and causes [n] of a window and return the reports that are due; NaN scores change nothing.

    For ``rest`` windows after an anomaly an onset needs a higher score; alarms that are ``undisturbed`` [n] by the
    windows of the anomaly do not.
    """
    known = np.isfinite(score)
    value = np.where(known, score, 0.0)
    onset = known & ~tracks.active & (value >= np.where((tracks.rest > 0) & ~undisturbed, REST_ONSET, 1.0))
    tracks.rest = np.where(known, np.maximum(tracks.rest - 1, 0), tracks.rest)
    going = known & tracks.active
    tracks.lasted = np.where(onset, 1, tracks.lasted + going)
    tracks.quiet = np.where(going & (value < settings.end_level), tracks.quiet + 1, np.where(known, 0, tracks.quiet))
    tracks.reported = np.where(onset, 0, tracks.reported + going)
    higher = onset | (going & (value > tracks.peak))
    tracks.cause = np.where(higher, cause, tracks.cause)
    tracks.peak = np.where(onset, value, np.where(going, np.maximum(tracks.peak, value), tracks.peak))
    tracks.onset_ms = np.where(onset, start_ms, tracks.onset_ms)
    tracks.peak_reported = np.where(onset, value, tracks.peak_reported)
    ended = going & (tracks.quiet >= settings.end_windows)
    drifted = going & ~ended & (tracks.lasted >= settings.drift_windows)
    due = (tracks.reported >= settings.update_windows) | (tracks.peak >= 2.0 * tracks.peak_reported)
    update = going & ~ended & ~drifted & due
    tracks.reported[update] = 0
    tracks.peak_reported[update] = tracks.peak[update]
    tracks.active = (tracks.active | onset) & ~ended & ~drifted
    tracks.rest = np.where(ended | drifted, rest, tracks.rest)
    changes = [Change(int(row), Phase.ONSET) for row in np.flatnonzero(onset)]
    changes += [Change(int(row), Phase.UPDATE) for row in np.flatnonzero(update)]
    changes += [Change(int(row), Phase.END, bool(drifted[row])) for row in np.flatnonzero(ended | drifted)]
    return changes
