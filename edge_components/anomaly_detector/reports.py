"""Build the reports of anomalies, with their explanation. Pure.

A report names the cause with the highest score, the direction, the observed and the expected value with its bounds, and
each cause with a considerable score.
"""

from __future__ import annotations

import math

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.physical_range import limited, physical_range
from edge_components.anomaly_detector.univariate.ensemble import Step
from edge_components.anomaly_detector.univariate.expert_set import ExpertSet
from edge_components.anomaly_detector.univariate.tracking import Change, Tracks
from wire.model import Anomaly, Phase, Series

DRIFT = "drift"
"""Cause of an end after which the series is calibrated on its new level."""

REPORTED_SCORE = 0.5
"""Lowest score of a further cause in a report."""
HISTORY = 16
"""Number of windows before a report that are sent with it."""


def report(
    step: Step, change: Change, tracks: Tracks, experts: ExpertSet, series: Series, width_ms: int, history: FloatArray
) -> Anomaly:
    """Return the report of a change; ``tracks`` are those of all series, ``history`` has this one's last windows.

    Its score is the highest of the anomaly so far.
    """
    row, series_id = change.row, int(step.series_ids[change.row])
    cause = int(tracks.cause[series_id] if change.phase is Phase.END else step.cause[row])
    causes: dict[str, float] = {}
    for name, score in zip(experts.causes, step.causes[row].tolist(), strict=True):
        if score >= REPORTED_SCORE:
            causes[name] = max(round(score, 3), causes.get(name, 0.0))
    limits = physical_range(series.unit, history)
    return Anomaly(
        series=series.name,
        phase=change.phase,
        onset_ms=int(tracks.onset_ms[series_id]),
        time_ms=step.start_ms + width_ms,
        score=round(float(tracks.peak[series_id]), 3),
        cause=DRIFT if change.drifted else experts.causes[cause],
        direction=experts.directions[cause] or _direction(float(step.value[row]), float(step.expected[row])),
        observed=compact(step.value[row]),
        expected=compact(limited(step.expected[row], limits)),
        lower=compact(limited(step.lower[row], limits)),
        upper=compact(limited(step.upper[row], limits)),
        causes=causes,
        unit=series.unit,
        history=compact_history(history),
    )


def end_report(series: Series, tracks: Tracks, experts: ExpertSet, series_id: int, time_ms: int) -> Anomaly:
    """Return the report of the end of an anomaly of a series that is forgotten."""
    return Anomaly(
        series=series.name,
        phase=Phase.END,
        onset_ms=int(tracks.onset_ms[series_id]),
        time_ms=time_ms,
        score=round(float(tracks.peak[series_id]), 3),
        cause=experts.causes[int(tracks.cause[series_id])],
        unit=series.unit,
    )


def compact_history(history: FloatArray) -> tuple[float, ...]:
    """Return the known values with few digits."""
    return tuple(float(f"{value:.4g}") for value in history.tolist() if math.isfinite(value))


def compact(value: float) -> float | None:
    """Return a number rounded to its significant digits, None if it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _direction(value: float, expected: float) -> str:
    if math.isfinite(value) and math.isfinite(expected):
        return "up" if value > expected else "down"
    return ""
