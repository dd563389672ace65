"""The detector over a recorded table: the gateway's ensemble, row by row, so that a score uses no later row.

The written score is made for counting alarms: after an alarm, rows at the alarm level are set to 0.5 for a rest of a
fifth of the calibration. ``anomaly`` marks whole anomalies, from onset to end.

A single channel is scored by the experts. Several channels are scored as a group (:mod:`group_detector`); of the
experts only ``stuck`` and ``gap`` count then, since chance deviations of single channels would mask the group's score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, IntArray
from edge_components.anomaly_detector.multivariate import baseline
from edge_components.anomaly_detector.multivariate.group_detector import GroupDetector
from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.experts import EXPERTS
from edge_components.anomaly_detector.univariate.experts.base import AnyExpert
from edge_components.anomaly_detector.univariate.forecaster import Forecast, plain_forecast
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows
from strandline.errors import TableError, reason
from strandline.progress import Progress, no_progress
from strandline.recorded import table
from strandline.recorded.detection import Detection

DAY_MS = 86_400_000
SHORTEST = 12
QUIET_ROWS = 5
LOW = 0.7
"""An alarm after ``QUIET_ROWS`` rows below this level is a new one, not the previous one continuing."""
DRIFT_SHARE = 0.5
"""Share of the calibration's rows after which an anomaly of a series ends as drift: a new level is accepted, and the
next event is detected from there."""
QUIET = 0.99
"""Outside of its anomalies a group's score stays below the alarm level."""


def settings_for(time_ms: IntArray, channels: int, calibrate: int) -> Settings:
    """Return the detector's settings: all lengths from the calibration's, the season from the rows' interval."""
    interval = float(np.median(np.diff(time_ms[: calibrate + 1]))) if len(time_ms) > 1 else 0.0
    day = round(DAY_MS / interval) if interval > 0 else 0
    return Settings(
        calibration=calibrate,
        false_alarms_per_month=None,
        drift_windows=max(1, round(DRIFT_SHARE * calibrate)),
        update_windows=calibrate,
        season=day if 4 <= day <= calibrate - 24 else 0,
        together=channels,
    )


def score(
    time_ms: IntArray,
    values: FloatArray,
    channels: Sequence[str],
    calibrate: int,
    forecast: Forecast = plain_forecast,
    progress: Progress = no_progress,
) -> Detection:
    """Score a table [rows, channels] that is calibrated on its first ``calibrate`` rows; NaN is a missing value."""
    settings = settings_for(time_ms, len(channels), calibrate)
    slots = np.broadcast_to(_slots(time_ms, settings)[:, None], values.shape)
    rows, grouped = len(values), len(channels) > 1 and calibrate >= baseline.SHORTEST
    total = 2 * rows if grouped else rows
    apart = _apart(settings, slots, values, forecast, lambda done, _rows: progress(done, total))
    if grouped:
        return _together(apart, values, channels, calibrate, lambda done, _rows: progress(rows + done, total))
    return apart.detection(channels, calibrate)


def score_each(
    tables: Sequence[tuple[IntArray, FloatArray]],
    calibrate: int,
    forecast: Forecast = plain_forecast,
    experts: Sequence[type[AnyExpert]] = EXPERTS,
) -> list[Detection]:
    """Score tables of one channel each, given as times and values [rows], in one pass for equal settings.

    The results are those of :func:`score`; a pass over many series takes little longer than over one. ``experts``
    other than the detector's own are for comparisons.
    """
    found: dict[int, Detection] = {}
    passes: dict[Settings, list[int]] = {}
    for at, (time_ms, _) in enumerate(tables):
        passes.setdefault(settings_for(time_ms, 1, calibrate), []).append(at)
    for settings, chosen in passes.items():
        rows = max(len(tables[at][0]) for at in chosen)
        values, slots = np.full((rows, len(chosen)), np.nan), np.zeros((rows, len(chosen)))
        for column, at in enumerate(chosen):
            time_ms, known = tables[at]
            values[: len(known), column], slots[: len(known), column] = known, _slots(time_ms, settings)
        scored = _apart(settings, slots, values, forecast, experts=experts)
        for column, at in enumerate(chosen):
            found[at] = scored.one(column, len(tables[at][1])).detection(["value"], calibrate)
    return [found[at] for at in range(len(tables))]


def _slots(time_ms: IntArray, settings: Settings) -> FloatArray:
    """Return the time slot of each row: the rows' number since the epoch if the series has a season."""
    if not settings.season:
        return np.arange(len(time_ms), dtype=np.float64)
    return np.asarray(np.round(time_ms / max(1, round(DAY_MS / settings.season))), np.float64)


@dataclass(slots=True)
class _Apart:
    """Scores of the channels one by one, [rows, channels]: the score (``level``, 0 where unknown), the index of its
    cause in ``causes``, whether the channel is in an anomaly (``active``), the scores of ``stuck`` and ``gap``
    (``counted``, with these two as last axis), and the expected value with its bounds."""

    causes: Sequence[str]
    level: FloatArray
    cause: IntArray
    active: BoolArray
    counted: FloatArray
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray

    def one(self, column: int, rows: int) -> _Apart:
        """Return the first rows of one channel."""
        at = (slice(rows), slice(column, column + 1))
        return _Apart(
            self.causes,
            self.level[at],
            self.cause[at],
            self.active[at],
            self.counted[at],
            self.expected[at],
            self.lower[at],
            self.upper[at],
        )

    def detection(self, channels: Sequence[str], calibrate: int) -> Detection:
        """Return the highest score of the channels."""
        each, highest = np.arange(len(self.level)), self.level.argmax(axis=1)
        level, cause = self.level[each, highest], self.cause[each, highest]
        known = level > 0
        names = [self.causes[one] if scored else "" for one, scored in zip(cause, known, strict=True)]
        where = [channels[at] if scored else "" for at, scored in zip(highest, known, strict=True)]
        score, anomaly = rested(level, calibrate // 5), self.active.any(axis=1)
        return Detection(score, level, anomaly, names, where, self.expected, self.lower, self.upper)


def _together(
    apart: _Apart, values: FloatArray, channels: Sequence[str], calibrate: int, progress: Progress
) -> Detection:
    """Score all channels as one group."""
    rows = len(values)
    group = GroupDetector(len(channels), calibrate, drift_rows=2 * calibrate, update_rows=calibrate)
    level, expected, reach = np.zeros(rows), np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    anomaly, causes, where = np.zeros(rows, np.bool_), [""] * rows, [""] * rows
    for row in range(rows):
        progress(row, rows)
        found = group.step(values[row])
        if not np.isfinite(found.score):
            continue
        counted = apart.counted[row].max(axis=1)
        at = int(counted.argmax())
        expected[row], reach[row] = found.expected, found.reach
        anomaly[row] = found.anomaly or counted[at] >= 1.0
        causes[row], where[row], level[row] = "joint", channels[found.channel], found.score
        if counted[at] > found.score or (counted[at] >= 1.0 and not found.anomaly):
            cause = "stuck" if apart.counted[row, at, 0] >= apart.counted[row, at, 1] else "gap"
            causes[row], where[row], level[row] = cause, channels[at], counted[at]
        if not anomaly[row]:
            level[row] = min(level[row], QUIET)
    score = rested(level, calibrate // 5)
    return Detection(score, level, anomaly, causes, where, expected, expected - reach, expected + reach)


def _apart(
    settings: Settings,
    slots: FloatArray,
    values: FloatArray,
    forecast: Forecast,
    progress: Progress = no_progress,
    experts: Sequence[type[AnyExpert]] = EXPERTS,
) -> _Apart:
    """Score the columns of ``values`` [rows, channels] as single series; ``slots`` [rows, channels]."""
    rows, n = values.shape
    ensemble = Ensemble(settings, forecast, experts)
    ensemble.add_series([None] * n)
    used = ensemble.experts
    own_limits = [used.index("stuck"), used.index("gap")]
    level, cause, active = np.zeros((rows, n)), np.zeros((rows, n), np.int64), np.zeros((rows, n), np.bool_)
    expected, lower, upper = (np.full((rows, n), np.nan) for _ in range(3))
    counted = np.zeros((rows, n, 2))
    none, one = np.zeros(n), np.ones(n)
    for row in range(rows):
        progress(row, rows)
        value = values[row]
        step = ensemble.step(slice(None), row + 1, 1, Windows(value, value, value, none, one, slots[row]))
        silence = ensemble.silent(row + 1)
        scores = step.score
        if silence is not None:
            scores = scores.copy()
            scores[silence.series_ids] = silence.score
            step.cause[silence.series_ids] = silence.cause
            counted[row, silence.series_ids, 1] = silence.score
        counted[row] = np.fmax(counted[row], step.causes[:, own_limits])
        level[row], cause[row] = np.where(np.isfinite(scores), scores, 0.0), step.cause
        expected[row], bounded = step.expected, ~used.observes_spread[step.cause]
        lower[row], upper[row] = np.where(bounded, step.lower, np.nan), np.where(bounded, step.upper, np.nan)
        active[row] = ensemble.tracks.active
    return _Apart(used.causes, level, cause, active, counted, expected, lower, upper)


def rested(level: FloatArray, rest: int) -> FloatArray:
    """Return scores in which each alarm (1.0 and more) is followed by ``rest`` rows without another.

    The rest doubles each time the score has not been low since the last alarm, so that a lasting anomaly alarms again
    at growing intervals.
    """
    scores = level.copy()
    last, waiting, low = -rest, rest, QUIET_ROWS
    for row, value in enumerate(level.tolist()):
        if value >= 1.0:
            if row - last < waiting:
                scores[row] = 0.5
            else:
                waiting = rest if low >= QUIET_ROWS else 2 * waiting
                last, low = row, 0
        low += value < LOW
    return scores


@dataclass(frozen=True, slots=True)
class Scored:
    """A scored file; ``target`` is the written CSV file, None if none was requested."""

    path: Path
    table: table.Table
    calibrate: int
    detection: Detection
    target: Path | None


def detect(
    inputs: Sequence[Path],
    time: str,
    values: Sequence[str],
    calibrate: int,
    out: Path,
    png: bool = False,
    forecast: Forecast = plain_forecast,
) -> list[Path]:
    """Score CSV files and write one CSV (and one PNG) for each into ``out``; returns the CSV files written.

    Raises TableError for a file that cannot be read, scored or written; files written before stay.
    """
    found = score_files(inputs, time, values, lambda rows: calibrate, out, png, forecast)
    return [one.target for one in found if one.target is not None]


def score_files(
    inputs: Sequence[Path],
    time: str,
    values: Sequence[str],
    calibration: Callable[[int], int],
    out: Path | None,
    png: bool = False,
    forecast: Forecast = plain_forecast,
    progress: Progress = no_progress,
) -> Iterator[Scored]:
    """Score CSV files one after the other; ``calibration`` returns the rows of the calibration of a number of rows.

    With ``out``, a CSV (and a PNG) file for each is written into this folder. Raises as :func:`detect`.
    """
    if not values:
        raise TableError("values: at least one column")
    names = [path.stem for path in inputs]
    twice = {name for name in names if names.count(name) > 1}
    for path in inputs:
        recorded = table.read(path, time, values)
        calibrate = calibration(len(recorded.stamps))
        if calibrate < SHORTEST:
            raise TableError(f"calibrate {calibrate}: at least {SHORTEST} rows")
        if len(recorded.stamps) <= calibrate:
            raise TableError(f"{path}: {len(recorded.stamps)} rows, more than the calibration's {calibrate} are needed")
        found = score(recorded.time_ms, recorded.values, recorded.channels, calibrate, forecast, progress)
        target = None
        if out is not None:
            target = out / f"{path.parent.name + '_' if path.stem in twice else ''}{path.stem}.csv"
            _write(target, recorded, found, calibrate, png)
        yield Scored(path, recorded, calibrate, found, target)


def _write(target: Path, recorded: table.Table, found: Detection, calibrate: int, png: bool) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TableError(f"{target.parent}: {reason(error)}") from error
    table.write(target, recorded, found.score, found.anomaly, found.cause, found.channel)
    if png:
        from strandline.recorded.drawing import draw  # matplotlib is an extra

        draw(target.with_suffix(".png"), recorded, found, calibrate)
