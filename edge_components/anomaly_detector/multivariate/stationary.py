"""Distance of a stationary group from its levels: no channel wanders in the calibration, so that all levels are fixed.

Pure. An anomaly of a stationary group lasts while the distance of the last rows is near its alarm level. So a fault
that a controller compensates for in part, or that begins during another one, stays an anomaly. The squared distance of
a row is the sum of Hotelling's T squared and Q of principal components, since all directions count. Its mean over the
last rows is the sum of two parts: the distance of the mean, which a shift increases, and the scatter about it, which
noise and oscillations increase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Arrays, FloatArray, read_array, saved_fields, stored
from edge_components.anomaly_detector.multivariate import baseline as base

ROWS = base.ROUGH_SPAN
"""Rows of which the mean is taken."""
LIMIT = 1.15
"""The alarm level, as a multiple of the greatest left-out distance of the calibration."""
END_LEVEL = 0.8
"""An anomaly may end below this multiple of the alarm level."""


@dataclass(slots=True)
class StationaryModel:
    """In scales: the ``precision`` [c, c] of the calibration's rows (the inverse covariance divided by the number of
    channels), and the distance at the alarm level (``limit`` [1])."""

    precision: FloatArray = stored("stationary.precision")
    limit: FloatArray = stored("stationary.limit")

    @classmethod
    def read(cls, arrays: Arrays, channels: int) -> StationaryModel | None:
        """Return the saved model; None for a group that is not stationary, or the state of an earlier version.

        Raises ValueError if its layout is another."""
        names, shapes = saved_fields(cls), {"precision": (channels, channels), "limit": (1,)}
        if not any(name in arrays for name in names.values()):
            return None
        return cls(**{field: read_array(arrays, names[field], shapes[field], np.float64) for field in names})

    def distance(self, recent: FloatArray, levels: Sequence[FloatArray]) -> float:
        """Return the distance of the last rows [rows, c], each from the nearest of ``levels``; 1.0 is the alarm
        level."""
        away = recent[-ROWS:] - np.stack(levels)[:, None]
        squared = ((away @ self.precision) * away).sum(axis=2).min(axis=0)
        return float(np.sqrt(max(float(squared.mean()), 0.0)) / self.limit[0])


def fit(rows: FloatArray, baseline: base.Baseline) -> StationaryModel | None:
    """Return the model of the calibration ``rows`` [n, c]; None if a channel wanders."""
    if not baseline.stationary:
        return None
    values, _ = base.cleaned(base.filled(rows), baseline.centre, baseline.scale)
    squared = np.zeros(len(values))
    for part in np.array_split(np.arange(len(values)), base.PARTS):
        others = np.delete(values, part, axis=0)
        away = values[part] - others.mean(axis=0)
        squared[part] = ((away @ _precision(others)) * away).sum(axis=1)
    means = np.lib.stride_tricks.sliding_window_view(squared, ROWS).mean(axis=1)
    limit = LIMIT * base.margin(len(values)) * max(float(np.sqrt(max(means.max(), 0.0))), 1.0)
    return StationaryModel(_precision(values), np.array([limit]))


def _precision(rows: FloatArray) -> FloatArray:
    """Return the inverse covariance of rows [n, c] divided by c, with correlations shrunk towards zero."""
    away = rows - rows.mean(axis=0)
    spread = base.spread_of(away)
    return np.asarray(base.precision_of(away) / np.outer(spread, spread) / len(spread), np.float64)
