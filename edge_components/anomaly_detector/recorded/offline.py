"""The detector over a recorded table: the same ensemble, row by row, so that no score knows what comes after it.

The score that is written is made for counting alarms: a row that reaches the alarm level within a rest of a fifth of
the calibration after the last alarm is halved below it. ``anomaly`` marks whole stretches, from onset to end.

One channel is judged by the experts. Several are taken for the channels of one thing: they are judged together
(:mod:`joint`), and of the experts only those count that see a channel stand still or fall silent, since what single
channels do by chance would drown what all of them say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_components.anomaly_detector.errors import TableError
from edge_components.anomaly_detector.recorded import table
from edge_components.anomaly_detector.recorded.detection import Detection
from edge_components.anomaly_detector.statistics import joint_baseline
from edge_components.anomaly_detector.statistics.columns import BoolArray, FloatArray, IntArray
from edge_components.anomaly_detector.statistics.ensemble import Ensemble
from edge_components.anomaly_detector.statistics.experts import CAUSES, GAP, NOISE, STUCK, Windows
from edge_components.anomaly_detector.statistics.forecaster import Forecast, plain_forecast
from edge_components.anomaly_detector.statistics.joint import Joint
from edge_components.anomaly_detector.statistics.spans import Settings

DAY_MS = 86_400_000
SHORTEST = 12
QUIET_ROWS = 5
LOW = 0.7
"""An alarm after so many rows below this is a new one, not the last one still going on."""
QUIET = 0.99
"""Outside of its anomalies a group's score stays below the alarm level."""


def settings_for(time_ms: IntArray, channels: int, calibrate: int) -> Settings:
    """Return what a table is scored with: all lengths from the calibration's, the season from the rows' interval."""
    interval = float(np.median(np.diff(time_ms[: calibrate + 1]))) if len(time_ms) > 1 else 0.0
    day = round(DAY_MS / interval) if interval > 0 else 0
    return Settings(
        calibration=calibrate,
        false_alarms_per_month=None,
        end_windows=max(5, calibrate // 25),
        drift_windows=2 * calibrate,
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
) -> Detection:
    """Score a table [rows, channels] that is calibrated on its first ``calibrate`` rows; NaN is a missing value."""
    apart = _apart(time_ms, values, channels, calibrate, forecast)
    if len(channels) > 1 and calibrate >= joint_baseline.SHORTEST:
        return _together(apart, values, channels, calibrate)
    return apart.detection(channels, calibrate)


@dataclass(slots=True)
class _Apart:
    """What the experts say of each channel by itself: by row the loudest channel's score (``level``), its cause and
    number, and whether any is in an anomaly; ``counted`` [rows, channels, 2] is what those say that count, standing
    still and falling silent."""

    level: FloatArray
    cause: IntArray
    channel: IntArray
    anomaly: BoolArray
    counted: FloatArray
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray

    def detection(self, channels: Sequence[str], calibrate: int) -> Detection:
        """Return the loudest channel's say."""
        known = self.level > 0
        names = [CAUSES[at] if said else "" for at, said in zip(self.cause, known, strict=True)]
        where = [channels[at] if said else "" for at, said in zip(self.channel, known, strict=True)]
        score = rested(self.level, calibrate // 5)
        return Detection(score, self.level, self.anomaly, names, where, self.expected, self.lower, self.upper)


def _together(apart: _Apart, values: FloatArray, channels: Sequence[str], calibrate: int) -> Detection:
    """Return what the group of all channels is found to hold."""
    rows = len(values)
    group = Joint(len(channels), calibrate, drift_rows=2 * calibrate, update_rows=calibrate)
    level, expected, reach = np.zeros(rows), np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    anomaly, causes, where = np.zeros(rows, np.bool_), [""] * rows, [""] * rows
    for row in range(rows):
        found = group.step(values[row])
        if not np.isfinite(found.score):
            continue
        counted = apart.counted[row].max(axis=1)
        at = int(counted.argmax())
        expected[row], reach[row] = found.expected, found.reach
        anomaly[row] = found.anomaly or counted[at] >= 1.0
        causes[row], where[row], level[row] = "joint", channels[found.channel], found.score
        if counted[at] > found.score or (counted[at] >= 1.0 and not found.anomaly):
            loudest = STUCK if apart.counted[row, at, 0] >= apart.counted[row, at, 1] else GAP
            causes[row], where[row], level[row] = CAUSES[loudest], channels[at], counted[at]
        if not anomaly[row]:
            level[row] = min(level[row], QUIET)
    score = rested(level, calibrate // 5)
    return Detection(score, level, anomaly, causes, where, expected, expected - reach, expected + reach)


def _apart(
    time_ms: IntArray, values: FloatArray, channels: Sequence[str], calibrate: int, forecast: Forecast
) -> _Apart:
    rows, n = values.shape
    settings = settings_for(time_ms, n, calibrate)
    ensemble = Ensemble(settings, forecast)
    ensemble.add_series([None] * n)
    interval = max(1, round(DAY_MS / settings.season)) if settings.season else 1
    slots = (np.round(time_ms / interval) if settings.season else np.arange(rows)).astype(np.float64)
    level, anomaly = np.zeros(rows), np.zeros(rows, np.bool_)
    loudest, causes = np.zeros(rows, np.intp), np.zeros(rows, np.intp)
    expected, lower, upper = (np.full((rows, n), np.nan) for _ in range(3))
    counted = np.zeros((rows, n, 2))
    none, one = np.zeros(n), np.ones(n)
    for row in range(rows):
        value = values[row]
        step = ensemble.step(slice(None), row + 1, 1, Windows(value, value, value, none, one, one * slots[row]))
        silence = ensemble.silent(row + 1)
        scores = step.score
        if silence is not None:
            scores = scores.copy()
            scores[silence.index] = silence.score
            step.cause[silence.index] = silence.cause
            counted[row, silence.index, 1] = silence.score
        counted[row] = np.fmax(counted[row], step.causes[:, [STUCK, GAP]])
        if np.isfinite(scores).any():
            loudest[row] = np.nanargmax(scores)
            level[row], causes[row] = scores[loudest[row]], step.cause[loudest[row]]
        expected[row], bounded = step.expected, step.cause != NOISE
        lower[row], upper[row] = np.where(bounded, step.lower, np.nan), np.where(bounded, step.upper, np.nan)
        anomaly[row] = bool(ensemble.tracks.active.any())
    return _Apart(level, causes, loudest, anomaly, counted, expected, lower, upper)


def rested(level: FloatArray, rest: int) -> FloatArray:
    """Return scores in which each alarm (1.0 and more) is followed by ``rest`` rows without another.

    The rest is twice as long each time that the score has not been low for a while since the last alarm: what goes on
    is told again, but ever more rarely.
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

    Raises TableError for what cannot be read, scored or written; what was written before stays.
    """
    if calibrate < SHORTEST:
        raise TableError(f"calibrate {calibrate}: at least {SHORTEST} rows")
    if not values:
        raise TableError("values: at least one column")
    names = [path.stem for path in inputs]
    twice = {name for name in names if names.count(name) > 1}
    written = []
    for path in inputs:
        recorded = table.read(path, time, values)
        if len(recorded.stamps) <= calibrate:
            raise TableError(f"{path}: {len(recorded.stamps)} rows, more than the calibration's {calibrate} are needed")
        found = score(recorded.time_ms, recorded.values, recorded.channels, calibrate, forecast)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TableError(f"{out}: {error}") from error
        target = out / f"{path.parent.name + '_' if path.stem in twice else ''}{path.stem}.csv"
        table.write(target, recorded, found.score, found.anomaly, found.cause, found.channel)
        if png:
            from edge_components.anomaly_detector.recorded.drawing import draw  # matplotlib is an extra

            draw(target.with_suffix(".png"), recorded, found, calibrate)
        written.append(target)
    return written
