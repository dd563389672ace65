"""Scale every expert's statistic to its own series, and combine them so that 1.0 is the alarm level.

Pure. Each statistic is divided by its record: the second greatest of the maxima of the last blocks of windows. The
record follows slow changes, ignores one outlier, and makes all statistics of all series comparable: each exceeds its
record with about the same probability. The alarm level for a configured rate of false alarms follows from the tail of
the combined statistic (peaks over threshold with an exponential tail, Pickands 1975; for streams Siffer et al., KDD
2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column

BLOCKS = 16
GROWTH = 3.0
"""A window raises a record to at most this multiple, so that one alarm does not mask the next."""
POWER = 3.5
"""Exponent of the power mean that combines the statistics: between the mean (1) and the maximum (infinite)."""
ALARM = 0.8
"""Level that the combined statistic exceeds about once in ``NATURAL`` lengths of calibration."""
NATURAL = 6.0
OBSERVED, UNSET_OBSERVED = 0.2, 0.1
"""Relative increase of the alarm level if alarms are e times as frequent as configured, or as usual if no rate is
configured."""
LOWEST = 0.4
"""Lower bound of alarm levels."""
TAIL = 0.6
FARTHEST = 1.2
"""Excesses of the combined statistic over ``TAIL`` are counted up to this value."""
HIGHEST = 1.4
"""Excesses of a block's greatest value over ``ALARM`` are counted up to this value."""
PRIOR_WEIGHT = 5.0
"""Weight of the prior from many series, in excesses of the series' own."""
UNSET_RATE = 4.5
"""Lengths of calibration between alarms if no rate is configured."""


@dataclass(slots=True)
class Records(Columns):
    """The record of each series and statistic, and the tail of the combined statistic.

    ``maxima`` [series, statistics, BLOCKS], ``first``, ``second``, ``current`` and ``held`` [series, statistics]; by
    series: windows in the current block, blocks seen, windows learned, the number above ``TAIL`` and their summed
    excess, the greatest combined statistic of the current block, the number of blocks above ``ALARM`` and their summed
    excess, and alarms.
    """

    maxima: FloatArray = column("records.maxima", 0.0)
    first: FloatArray = column("records.first", 0.0)
    second: FloatArray = column("records.second", 0.0)
    current: FloatArray = column("records.current", 0.0)
    held: FloatArray = column("records.held", 0.0)
    in_block: IntArray = column("records.in_block", 0, np.int64)
    blocks: IntArray = column("records.blocks", 0, np.int64)
    windows: FloatArray = column("records.windows", 0.0)
    above: FloatArray = column("records.above", 0.0)
    excess: FloatArray = column("records.excess", 0.0)
    highest: FloatArray = column("records.highest", 0.0)
    passed: FloatArray = column("records.passed", 0.0)
    passed_excess: FloatArray = column("records.passed_excess", 0.0)
    alarms: FloatArray = column("records.alarms", 0.0)

    @classmethod
    def new(cls, n: int, statistics: int) -> Records:
        """Return the records of ``n`` new series with this number of statistics."""
        return cls.empty(n, {"maxima": (statistics, BLOCKS), **dict.fromkeys(BY_STATISTIC[1:], (statistics,))})


BY_STATISTIC = ("maxima", "first", "second", "current", "held")
"""Fields of records whose second axis is the statistic."""


def references(records: Records, floors: FloatArray, margin: float) -> FloatArray:
    """Return the divisors of statistics [n, statistics], not below ``floors``: the records with a ``margin`` over the
    root of the number of blocks seen."""
    second = np.where(records.current >= records.first, records.first, np.maximum(records.second, records.current))
    factor = 1.0 + margin / np.sqrt(np.maximum(records.blocks, 1))
    return np.maximum(second * factor[:, None], floors)


def combined(ratio: FloatArray) -> FloatArray:
    """Return the power mean [n] over the known ones of ``ratio`` [n, statistics]; NaN where none is known."""
    known = np.isfinite(ratio)
    count = known.sum(axis=1)
    total = np.where(known, np.minimum(ratio, 1e6), 0.0) ** POWER
    mean: FloatArray = (total.sum(axis=1) / np.maximum(count, 1)) ** (1.0 / POWER)
    return np.asarray(np.where(count > 0, mean, np.nan), np.float64)


def levels(records: Records, calibration: int, windows_between_alarms: float, rate_is_set: bool) -> FloatArray:
    """Return the combined statistic's alarm level [n] for one false alarm in ``windows_between_alarms``.

    The usual frequency and excess of passes of ``ALARM`` are known from many series; if a rate is configured, they are
    weighted with the series' own, one peak a block. Beyond, the tail is assumed exponential. The level of a series that
    alarms more often than configured, or than usual if no rate is configured, is raised.
    """
    # With n windows seen, an exponential tail has its record at ln n mean excesses, a normal one at twice as many.
    prior = 0.85 * ALARM / np.log(np.maximum(records.windows, 10.0))
    slope = (PRIOR_WEIGHT * prior + records.excess) / (PRIOR_WEIGHT + records.above)
    usual = NATURAL * calibration
    if not rate_is_set:
        return _raised(records, ALARM + slope * np.log(windows_between_alarms / usual), usual, UNSET_OBSERVED)
    slope = (PRIOR_WEIGHT * slope + records.passed_excess) / (PRIOR_WEIGHT + records.passed)
    passes = (PRIOR_WEIGHT + records.passed) / (PRIOR_WEIGHT * usual + records.windows)
    rarer = np.log(np.maximum(windows_between_alarms * passes, 1e-3))
    return _raised(records, ALARM + slope * rarer, windows_between_alarms, OBSERVED)


def _raised(records: Records, level: FloatArray, windows_between_alarms: float, observed: float) -> FloatArray:
    """Return levels [n] raised for series that alarmed too often, with a prior of one alarm."""
    often = (1.0 + records.alarms) / (1.0 + records.windows / windows_between_alarms)
    raised = 1.0 + observed * np.log(np.maximum(often, 1.0))
    return np.asarray(np.maximum(level, LOWEST) * raised, np.float64)


def learn(
    records: Records, statistic: FloatArray, reference: FloatArray, mix: FloatArray, learning: BoolArray, block: int
) -> None:
    """Record a window's statistics [n, statistics], with their :func:`references` and their combination ``mix`` [n],
    where ``learning`` [n].

    During an anomaly nothing is learned; its statistics are held and recorded once after its end.
    """
    seen = np.maximum(np.where(np.isfinite(statistic), statistic, 0.0), records.held)
    records.held = np.where(learning[:, None], 0.0, seen)
    value = np.where(learning[:, None], np.minimum(seen, GROWTH * reference), 0.0)
    records.current = np.maximum(records.current, value)
    known = learning & np.isfinite(mix)
    _count(records, mix, known)
    records.highest = np.where(known, np.maximum(records.highest, mix), records.highest)
    records.in_block += learning
    full = np.flatnonzero(records.in_block >= block)
    close_block(records, full)
    passed = full[records.highest[full] > ALARM]
    records.passed[passed] += 1.0
    records.passed_excess[passed] += np.minimum(records.highest[passed], HIGHEST) - ALARM
    records.highest[full] = 0.0


def _count(records: Records, mix: FloatArray, known: BoolArray) -> None:
    """Count the excess of the combined statistic [n] over ``TAIL``, where it is ``known`` [n]."""
    over = known & (mix > TAIL)
    records.windows += known
    records.above += over
    records.excess += np.where(over, np.minimum(mix, FARTHEST) - TAIL, 0.0)


def close_block(records: Records, rows: IntArray) -> None:
    """End the current block of some series."""
    if not len(rows):
        return
    maxima = records.maxima[rows]
    maxima[:, :, :-1] = maxima[:, :, 1:].copy()
    maxima[:, :, -1] = records.current[rows]
    records.maxima[rows] = maxima
    ordered = np.sort(maxima, axis=2)
    records.first[rows], records.second[rows] = ordered[:, :, -1], ordered[:, :, -2]
    records.current[rows], records.in_block[rows] = 0.0, 0
    records.blocks[rows] = np.minimum(records.blocks[rows] + 1, BLOCKS)


def fit(statistics: FloatArray, block: int, floors: FloatArray, margin: float) -> Records:
    """Return the records of ``statistics`` [windows, n, statistics] (NaN where not known yet)."""
    _, n, columns = statistics.shape
    records = Records.new(n, columns)
    for first in range(0, len(statistics), block):
        part = statistics[first : first + block]
        records.current = np.where(np.isfinite(part), part, 0.0).max(axis=0)
        records.in_block[:] = len(part)
        if len(part) == block:
            close_block(records, np.arange(n))
    reference = references(records, floors, margin)
    for statistic in statistics:
        mix = combined(statistic / reference)
        _count(records, mix, np.isfinite(mix))
    return records
