"""Episodes of a detection: consecutive anomalous rows with channel, cause and peak. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, IntArray
from edge_components.anomaly_detector.config import Config

_DEFAULTS = Config()
END_LEVEL, END_ROWS = _DEFAULTS.end_level, _DEFAULTS.end_windows
"""An anomaly of scores alone ends after this number of rows below this level, as on the gateway."""
WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Episode:
    """A period of an anomaly; channel and cause are those of the row with the highest score, ``peak``."""

    start_ms: int
    end_ms: int
    channel: str
    cause: str
    peak: float
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """Return the episode as JSON values."""
        return asdict(self)


def episodes(
    time_ms: IntArray, anomaly: BoolArray, level: FloatArray, cause: Sequence[str], channel: Sequence[str]
) -> list[Episode]:
    """Return the runs of anomalous rows, in order; an episode ends with the time of its last row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], anomaly, [False])).astype(np.int8)))
    found = []
    for first, end in edges.reshape(-1, 2).tolist():
        at = first + int(np.asarray(level[first:end]).argmax())
        peak = round(float(level[at]), 3)
        found.append(Episode(int(time_ms[first]), int(time_ms[end - 1]), channel[at], cause[at], peak, end - first))
    return found


def above_level(level: FloatArray) -> BoolArray:
    """Return the rows in an anomaly: from a score of 1.0 until END_ROWS rows are below END_LEVEL."""
    inside, below = False, 0
    found = np.zeros(len(level), np.bool_)
    for row, value in enumerate(level.tolist()):
        if value >= 1.0:
            inside, below = True, 0
        elif inside:
            below = below + 1 if value < END_LEVEL else 0
            inside = below < END_ROWS
        found[row] = inside
    return found


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a scored table."""

    rows: int
    scored: int
    from_ms: int
    to_ms: int
    episodes: int
    per_week: float
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


def summarize(time_ms: IntArray, calibrate: int, found: Sequence[Episode]) -> Summary:
    """Return the figures of a table whose first ``calibrate`` rows were not scored."""
    scored = len(time_ms) - calibrate
    span_ms = int(time_ms[-1] - time_ms[calibrate]) if scored > 1 else 0
    return Summary(
        rows=len(time_ms),
        scored=scored,
        from_ms=int(time_ms[0]),
        to_ms=int(time_ms[-1]),
        episodes=len(found),
        per_week=round(len(found) * WEEK_MS / span_ms, 2) if span_ms > 0 else 0.0,
        share=round(sum(one.rows for one in found) / scored, 5) if scored else 0.0,
    )
