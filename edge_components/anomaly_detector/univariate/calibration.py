"""Puts every expert's statistic on the series' own scale and joins them, so that 1.0 is the alarm level.

Pure. Each statistic is divided by its record: the second greatest of the maxima of the last blocks of windows. That
follows slow change, is not set by one outlier, and makes all statistics of all series alike: each passes its record
about as rarely. The alarm level for a wanted rate of false alarms follows from how the joined statistic falls off
above (peaks over threshold with an exponential tail, Pickands 1975; for streams Siffer et al., KDD 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, Columns, FloatArray, IntArray, column

BLOCKS = 16
GROWTH = 3.0
"""An odd window raises a record by no more than this, so that one alarm does not hide the next."""
MARGIN = 0.3
"""Records stand so much higher, over the root of the blocks seen, while few have been."""
POWER = 3.5
"""The joined statistic is this power mean of the experts': between the mean (1) and the loudest (infinite)."""
ALARM = 0.8
"""The joined statistic's level that is passed about once in ``NATURAL`` lengths of calibration."""
NATURAL = 6.0
OBSERVED, OF_ITSELF_OBSERVED = 0.2, 0.1
"""How far the level rises, in parts of itself, when alarms come e times as often as they should, or, where no rate is
set, as they usually do."""
LOWEST = 0.4
"""No alarm level lies below it."""
TAIL = 0.6
FARTHEST = 1.2
"""Above ``TAIL`` the join counts up to here,"""
HIGHEST = 1.4
"""and a block's greatest above ``ALARM`` up to here."""
PRIOR_WEIGHT = 5.0
"""What is known of all series weighs as much as so many excesses of a series' own, or passes of ``ALARM``."""
OF_ITSELF = 4.5
"""Where no rate is set, one alarm in so many lengths of calibration."""
FLOORS = np.array([0.25, 0.25, 1.0, 0.25, 0.25, 1e-3, 1.0, 0.5, 0.5, 0.25, 2.0])
"""Records never lie below these, in scales of the series (of its forecast's errors for the last)."""


@dataclass(slots=True)
class Records(Columns):
    """The record of each series' and expert's statistic, and the tail of the joined one.

    ``maxima`` [series, MEASURED, BLOCKS], ``first``, ``second``, ``current`` and ``held`` [series, MEASURED]; by
    series: windows in the current block, blocks seen, windows learnt, how many of them above ``TAIL`` and how far, the
    current block's greatest join, how many blocks went above ``ALARM`` and how far, and alarms.
    """

    maxima: FloatArray = column(0.0)
    first: FloatArray = column(0.0)
    second: FloatArray = column(0.0)
    current: FloatArray = column(0.0)
    held: FloatArray = column(0.0)
    in_block: IntArray = column(0, np.int64)
    blocks: IntArray = column(0, np.int64)
    windows: FloatArray = column(0.0)
    above: FloatArray = column(0.0)
    excess: FloatArray = column(0.0)
    highest: FloatArray = column(0.0)
    passed: FloatArray = column(0.0)
    passed_excess: FloatArray = column(0.0)
    alarms: FloatArray = column(0.0)


def references(records: Records) -> FloatArray:
    """Return what statistics are divided by, [n, MEASURED]."""
    second = np.where(records.current >= records.first, records.first, np.maximum(records.second, records.current))
    margin = 1.0 + MARGIN / np.sqrt(np.maximum(records.blocks, 1))
    return np.maximum(second * margin[:, None], FLOORS)


def joined(ratio: FloatArray) -> FloatArray:
    """Return the power mean [n] over the experts that have a say of ``ratio`` [n, MEASURED]; NaN where none has."""
    known = np.isfinite(ratio)
    count = known.sum(axis=1)
    total = np.where(known, np.minimum(ratio, 1e6), 0.0) ** POWER
    mean: FloatArray = (total.sum(axis=1) / np.maximum(count, 1)) ** (1.0 / POWER)
    return np.asarray(np.where(count > 0, mean, np.nan), np.float64)


def levels(records: Records, calibration: int, windows_between_alarms: float, seen_counts: bool) -> FloatArray:
    """Return the joined statistic's alarm level [n] for one false alarm in so many windows.

    How often ``ALARM`` is passed, and how far, is known from many series; where ``seen_counts``, what the series itself
    does is weighed in, one peak a block, so that one that lasts counts once. From there on the tail is taken for an
    exponential one. A series that alarms more often than it should has its level raised besides. Where what is seen
    does not count, no rate is promised, and it is raised where a series alarms more often than series usually do.
    """
    # With n windows seen, an exponential tail has its record at ln n mean excesses, a normal one at twice as many.
    prior = 0.85 * ALARM / np.log(np.maximum(records.windows, 10.0))
    slope = (PRIOR_WEIGHT * prior + records.excess) / (PRIOR_WEIGHT + records.above)
    usual = NATURAL * calibration
    if not seen_counts:
        return _raised(records, ALARM + slope * np.log(windows_between_alarms / usual), usual, OF_ITSELF_OBSERVED)
    slope = (PRIOR_WEIGHT * slope + records.passed_excess) / (PRIOR_WEIGHT + records.passed)
    passes = (PRIOR_WEIGHT + records.passed) / (PRIOR_WEIGHT * usual + records.windows)
    rarer = np.log(np.maximum(windows_between_alarms * passes, 1e-3))
    return _raised(records, ALARM + slope * rarer, windows_between_alarms, OBSERVED)


def _raised(records: Records, level: FloatArray, windows_between_alarms: float, observed: float) -> FloatArray:
    """Return a level [n] raised for series that have alarmed more often; with a prior of one alarm in its time."""
    often = (1.0 + records.alarms) / (1.0 + records.windows / windows_between_alarms)
    raised = 1.0 + observed * np.log(np.maximum(often, 1.0))
    return np.asarray(np.maximum(level, LOWEST) * raised, np.float64)


def learn(
    records: Records, statistic: FloatArray, reference: FloatArray, mix: FloatArray, learning: BoolArray, block: int
) -> None:
    """Take a window's statistics [n, MEASURED] in, with their :func:`references` and their join [n], where ``learning``
    [n].

    Where not, in an anomaly, nothing adapts; its statistics are held and taken in once when it is over.
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
    close(records, full)
    passed = full[records.highest[full] > ALARM]
    records.passed[passed] += 1.0
    records.passed_excess[passed] += np.minimum(records.highest[passed], HIGHEST) - ALARM
    records.highest[full] = 0.0


def _count(records: Records, mix: FloatArray, known: BoolArray) -> None:
    """Take in how far the join [n] of a window goes above ``TAIL``, where it is ``known`` [n]."""
    over = known & (mix > TAIL)
    records.windows += known
    records.above += over
    records.excess += np.where(over, np.minimum(mix, FARTHEST) - TAIL, 0.0)


def close(records: Records, rows: IntArray) -> None:
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


def fit(statistics: FloatArray, block: int, shapes: dict[str, tuple[int, ...]]) -> Records:
    """Return the records of ``statistics`` [windows, n, MEASURED] (NaN where there is none yet)."""
    records = Records.empty(statistics.shape[1], shapes)
    everyone = np.arange(statistics.shape[1])
    for first in range(0, len(statistics), block):
        part = statistics[first : first + block]
        records.current = np.where(np.isfinite(part), part, 0.0).max(axis=0)
        records.in_block[:] = len(part)
        if len(part) == block:
            close(records, everyone)
    reference = references(records)
    for statistic in statistics:
        mix = joined(statistic / reference)
        _count(records, mix, np.isfinite(mix))
    return records
