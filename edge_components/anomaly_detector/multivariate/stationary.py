"""Score of a stationary group: the distance of the last rows from fixed levels, in the metric of the calibration.

Pure. A group is stationary if no channel wanders in the calibration. Its levels do not follow the channels, so a fault
that lasts, or that a controller compensates for in part, stays an anomaly; a fault that begins during another one, or
directly after it, is detected; and a recovery is not an anomaly. The squared distance of a row is the sum of
Hotelling's T squared and Q of principal components, since all directions count. Its mean over the last rows is the sum
of two parts: the distance of the mean, which a shift increases, and the scatter about it, which noise and oscillations
increase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Arrays, FloatArray, read_array, saved_fields, stored
from edge_components.anomaly_detector.multivariate import baseline as base

ROWS = base.ROUGH_SPAN
"""Rows of which the mean is taken."""
STATIONARY = 0.35
"""Degree of wandering (0 to 1) of every channel below which a group is stationary. In calibrations of 400
independent rows it is less than 0.15 in nine channels of ten."""
LIMIT = 1.15
"""The alarm level, as a multiple of the greatest left-out distance of the calibration."""
END_LEVEL = 0.8
"""An anomaly ends below this multiple of the alarm level."""


@dataclass(slots=True)
class StationaryModel:
    """In scales: the ``centre`` [c] of the calibration's rows, their ``precision`` [c, c] (the inverse covariance
    divided by the number of channels), and the distance at the alarm level (``limit`` [1])."""

    centre: FloatArray = stored("stationary.centre")
    precision: FloatArray = stored("stationary.precision")
    limit: FloatArray = stored("stationary.limit")

    @classmethod
    def read(cls, arrays: Arrays, channels: int) -> StationaryModel | None:
        """Return the saved model; None for a group that is not stationary, or the state of an earlier version.

        Raises ValueError if its layout is another."""
        names, shapes = saved_fields(cls), {"centre": (channels,), "precision": (channels, channels), "limit": (1,)}
        if not any(name in arrays for name in names.values()):
            return None
        return cls(**{field: read_array(arrays, names[field], shapes[field], np.float64) for field in names})

    def contributions(self, recent: FloatArray, levels: Sequence[FloatArray]) -> FloatArray:
        """Return each channel's contribution [rows, c] to the squared distance of the last rows, each from the nearest
        of ``levels``."""
        away = recent[-ROWS:] - np.stack(levels)[:, None]
        parts = (away @ self.precision) * away
        nearest = parts.sum(axis=2).argmin(axis=0)
        return np.asarray(parts[nearest, np.arange(parts.shape[1])], np.float64)

    def distance(self, contributions: FloatArray) -> float:
        """Return the distance of rows; 1.0 is the alarm level."""
        mean = float(contributions.sum()) / len(contributions)
        return float(np.sqrt(max(mean, 0.0)) / self.limit[0])

    def is_usual(self, contributions: FloatArray) -> bool:
        """Return whether the mean squared distance of the last rows, as many as the short means have, is at most that
        of the calibration."""
        return float(contributions[-base.SPANS[0] :].sum()) <= base.SPANS[0]

    def reach(self) -> FloatArray:
        """Return the distance [c] at which a channel alone is at the alarm level."""
        return np.asarray(self.limit[0] / np.sqrt(np.diag(self.precision)), np.float64)


def fit(rows: FloatArray, baseline: base.Baseline) -> tuple[StationaryModel, FloatArray] | None:
    """Return the model of the calibration ``rows`` [n, c] and their distances by left-out parts; None if a channel
    wanders."""
    if baseline.wander.max() >= STATIONARY:
        return None
    values, _ = base.cleaned(base.filled(rows), baseline.centre, baseline.scale)
    squared = np.zeros(len(values))
    for part in np.array_split(np.arange(len(values)), base.PARTS):
        others = np.delete(values, part, axis=0)
        away = values[part] - others.mean(axis=0)
        squared[part] = ((away @ _precision(others)) * away).sum(axis=1)
    sums = np.cumsum(np.concatenate(([0.0], squared)))
    distances = np.sqrt(np.maximum(sums[ROWS:] - sums[:-ROWS], 0.0) / ROWS)
    limit = LIMIT * base.margin(len(values)) * max(float(distances.max()), 1.0)
    return StationaryModel(values.mean(axis=0), _precision(values), np.array([limit])), distances / limit


def _precision(rows: FloatArray) -> FloatArray:
    """Return the inverse covariance of rows [n, c] divided by c, with correlations shrunk towards zero."""
    away = rows - rows.mean(axis=0)
    spread = base.spread_of(away)
    return np.asarray(base.precision_of(away) / np.outer(spread, spread) / len(spread), np.float64)
