"""Puts every expert's statistic on the series' own scale, where 1.0 is the rate of false alarms that is allowed.

Pure. Peaks over threshold (Pickands 1975; for streams Siffer et al., KDD 2017) with an exponential tail: what stands
above a high quantile ``u`` has a mean excess, and the level that is passed with probability ``q`` follows. Few windows
say little of a tail, so the level keeps a margin above the greatest statistic seen, which narrows as windows come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import Columns, FloatArray, column

QUANTILE = 0.8
MARGIN = 4.0
MEMORY = 2_000.0
"""Windows after which the greatest statistic has faded to 1/e of its stand above the quantile."""
FLOORS = np.array([1.0, 4.0, 1.0, 1e-3, 4.0])
"""Levels never lie below these, in scales of the series (level, spike, step, noise, forecast)."""


@dataclass(slots=True)
class Tails(Columns):
    """The tail of each series' and expert's statistic, all [series, MEASURED]: quantile, how many windows, how many
    and how far above the quantile, the greatest, and over how many windows one value of the statistic is spread."""

    quantile: FloatArray = column(0.0)
    windows: FloatArray = column(0.0)
    above: FloatArray = column(0.0)
    excess: FloatArray = column(0.0)
    greatest: FloatArray = column(0.0)


def fit(statistics: FloatArray) -> Tails:
    """Return the tails of ``statistics`` [windows, n, MEASURED] (NaN where there is none yet)."""
    known = np.isfinite(statistics)
    count = known.sum(axis=0).astype(np.float64)
    filled = np.where(known, statistics, 0.0)
    ordered = np.sort(np.where(known, statistics, np.inf), axis=0)
    at = np.minimum((QUANTILE * count).astype(np.intp), np.maximum(count.astype(np.intp) - 1, 0))
    quantile = np.take_along_axis(ordered, at[None], axis=0)[0]
    quantile = np.where(count > 0, quantile, 0.0)
    over = known & (statistics > quantile)
    return Tails(
        quantile=quantile,
        windows=count,
        above=over.sum(axis=0).astype(np.float64),
        excess=np.where(over, filled - quantile, 0.0).sum(axis=0),
        greatest=filled.max(axis=0),
    )


def levels(tails: Tails, probability: float, spread_over: FloatArray) -> FloatArray:
    """Return the alarm levels [n, MEASURED], in the statistics' units, that are passed with ``probability`` a window.

    ``spread_over`` [MEASURED]: over how many windows each expert looks, so how many of its values are one.
    """
    above = np.maximum(tails.above, 1.0)
    free = np.maximum(tails.windows / spread_over, 1.0)
    mean_excess = np.maximum(tails.excess / above, 0.1 * tails.quantile)
    share = np.maximum(tails.above, 1.0) / np.maximum(tails.windows, 1.0)
    tail = tails.quantile + mean_excess * np.log(np.maximum(share / probability, np.e))
    margin = tails.greatest * (1.0 + MARGIN / np.sqrt(free + 4.0))
    return np.maximum(np.maximum(tail, margin), FLOORS)


def learn(tails: Tails, statistic: FloatArray, quiet: FloatArray) -> None:
    """Take a window's statistics [n, MEASURED] into the tails where ``quiet`` [n] is 1 and not where it is 0."""
    weight = np.where(np.isfinite(statistic), quiet[:, None], 0.0)
    value = np.where(np.isfinite(statistic), statistic, 0.0)
    over = weight * (value > tails.quantile)
    tails.windows += weight
    tails.above += over
    tails.excess += over * (value - tails.quantile)
    faded = tails.greatest - weight * np.maximum(tails.greatest - tails.quantile, 0.0) / MEMORY
    tails.greatest = np.maximum(faded, weight * value)
