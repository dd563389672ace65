"""Says why: a report for the operator from what the experts found.

Pure. The report names the loudest expert, which way the series went, what was seen and what was expected between
which bounds, and every expert that spoke up.
"""

from __future__ import annotations

import math

from edge_components.anomaly_detector.columns import FloatArray
from edge_components.anomaly_detector.univariate.ensemble import Step
from edge_components.anomaly_detector.univariate.experts import CAUSES, GAP, NOISE, STUCK
from edge_components.anomaly_detector.univariate.tracking import Change, Tracks
from wire.model import Anomaly, Phase, Series

DRIFT = "drift"
"""The cause of an end that is none: the series stays at its new level and is calibrated anew."""

SPOKE_UP = 0.5
HISTORY = 16
"""So many windows before a report go with it."""


def report(step: Step, change: Change, tracks: Tracks, series: Series, width_ms: int, history: FloatArray) -> Anomaly:
    """Return the report of a change; ``tracks`` are those of all series, ``history`` has this one's last windows.

    Its score is the highest so far.
    """
    row, at = change.row, int(step.index[change.row])
    cause = int(tracks.cause[at] if change.phase is Phase.END else step.cause[row])
    spoke: dict[str, float] = {}
    for name, score in zip(CAUSES, step.causes[row].tolist(), strict=True):
        if score >= SPOKE_UP:
            spoke[name] = max(round(score, 3), spoke.get(name, 0.0))
    return Anomaly(
        series=series.name,
        phase=change.phase,
        onset_ms=int(tracks.onset_ms[at]),
        time_ms=step.start_ms + width_ms,
        score=round(float(tracks.peak[at]), 3),
        cause=DRIFT if change.drifted else CAUSES[cause],
        direction=_direction(cause, float(step.value[row]), float(step.expected[row])),
        observed=compact(step.value[row]),
        expected=compact(step.expected[row]),
        lower=compact(step.lower[row]),
        upper=compact(step.upper[row]),
        causes=spoke,
        unit=series.unit,
        history=brief(history),
    )


def end_of(series: Series, tracks: Tracks, at: int, time_ms: int) -> Anomaly:
    """Return the end of the anomaly of a series that is forgotten."""
    return Anomaly(
        series=series.name,
        phase=Phase.END,
        onset_ms=int(tracks.onset_ms[at]),
        time_ms=time_ms,
        score=round(float(tracks.peak[at]), 3),
        cause=CAUSES[int(tracks.cause[at])],
        unit=series.unit,
    )


def brief(history: FloatArray) -> tuple[float, ...]:
    """Return the values that are known, with few digits."""
    return tuple(float(f"{value:.4g}") for value in history.tolist() if math.isfinite(value))


def _direction(cause: int, value: float, expected: float) -> str:
    if cause in (STUCK, GAP):
        return "flat" if cause == STUCK else "silent"
    if cause == NOISE:
        return "noisier"
    if math.isfinite(value) and math.isfinite(expected):
        return "up" if value > expected else "down"
    return ""


def compact(value: float) -> float | None:
    """Return a number with as many digits as a reader can use, None where it is none."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
