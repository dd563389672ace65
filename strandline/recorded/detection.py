"""Result of the detection over a recorded table, by row."""

from __future__ import annotations

from dataclasses import dataclass

from edge_components.anomaly_detector.columns import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Detection:
    """By row: ``score`` (0 while calibrating; at most one alarm a rest), ``level`` (the score without the rest),
    ``anomaly``, the loudest ``cause`` and its ``channel``; and by row and channel what was ``expected``, between
    ``lower`` and ``upper`` (NaN where the strongest cause has no bounds of the value)."""

    score: FloatArray
    level: FloatArray
    anomaly: BoolArray
    cause: list[str]
    channel: list[str]
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray
