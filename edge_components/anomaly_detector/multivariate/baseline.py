"""What is usual of a group of series that are measured together: fitted on rows in which nothing is wrong.

Pure. Three things are looked at, each against the greatest that the calibration has seen of it: how far the rolling
means of the channels are from their slow levels, each by itself; how far they are together, in the metric of their
correlation (Hotelling's T squared of moving averages, Lowry et al. 1992; the part that principal components leave over,
Jackson and Mudholkar's Q, is in it, because all directions count); and how rough each channel is. What the
calibration has seen is told by parts that were left out of the fit, or the metric would know its own rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray

SPANS = (8, 20)
"""Rows over which means are taken."""
ROUGH_SPAN = 30
HISTORY = ROUGH_SPAN + 1
SHORTEST = 120
"""Rows at least to fit on."""
CLIP = 5.0
"""While fitting, values count as no farther from the centre than so many scales."""
SLEW = 1.5
LEAST_SLEW = 0.003
"""Levels follow so many times as fast as they did while calibrating; at least so many scales a row."""
SHRINK = 0.2
"""How far correlations are drawn to none: few rows tell few of them (Ledoit and Wolf 2004)."""
WILD = 7.0
"""A single value is wild when it is so many spreads from the mean of the last ones."""
PARTS = 4
TOGETHER = 1.3
ALONE = 1.5
ROUGHER = 2.0
ROUGHER_TOGETHER = 1.8
WANDER = 1.2
"""The alarm level of each look, as a multiple of the greatest of the calibration."""
LEAST_ALONE = 2.5
LEAST_ROUGH = 3.0
LEAST_ROUGH_TOGETHER = 1.5
"""Greatest values of the calibration are not taken for less than so many of their own deviations."""
_LEAST_SPREAD = 0.02
_LEAST_ROUGHNESS = 0.1


@dataclass(slots=True)
class Baseline:
    """By channel [c]: ``centre`` and ``scale`` in the channel's unit; all else in scales: ``slew`` (how fast the level
    moves a row), ``jump`` (how far a single value must be off to be wild), ``spread`` [spans, c] of the means about
    the level, ``alone`` [spans, c] and ``together`` [spans] the alarm levels, ``precision`` [c, c] the inverse
    correlation, ``roughness``, ``roughness_spread``, ``rougher`` and ``rougher_together`` [1], ``wander`` how much the
    channel wanders by itself, 0 to 1."""

    centre: FloatArray
    scale: FloatArray
    slew: FloatArray
    jump: FloatArray
    spread: FloatArray
    alone: FloatArray
    together: FloatArray
    precision: FloatArray
    roughness: FloatArray
    roughness_spread: FloatArray
    rougher: FloatArray
    rougher_together: FloatArray
    wander: FloatArray

    def standard(self, rows: FloatArray) -> FloatArray:
        """Return rows [..., c] in scales from the centre, within a bound."""
        return np.asarray(np.clip((rows - self.centre) / self.scale, -4 * CLIP, 4 * CLIP), np.float64)

    def likely(self, row: FloatArray, known: BoolArray, mean: FloatArray) -> FloatArray:
        """Return a standardised row [c] with what is not ``known`` put to what the other channels let expect, given
        where all were in the ``mean`` of the last rows."""
        if known.all():
            return row
        off = self._filled(np.where(known, (row - mean) / self.spread[0], 0.0)[None], known)[0]
        return np.asarray(mean + off * self.spread[0], np.float64)

    def departures(self, means: FloatArray, level: FloatArray, counted: BoolArray) -> tuple[FloatArray, float]:
        """Return how far ``means`` [spans, c] are from a level: each channel's by itself [c], and all together; 1.0
        is the alarm level of either. Channels that are not ``counted`` [c] are where the others let expect them."""
        away = (means - level) / self.spread
        if not counted.all():
            away = self._filled(away, counted)
        alone = np.abs(away) / self.alone
        squared = np.einsum("si,ij,sj->s", away, self.precision, away) / away.shape[1]
        together = np.sqrt(np.maximum(squared, 0.0)) / self.together
        return alone.max(axis=0), float(together.max())

    def _filled(self, away: FloatArray, known: BoolArray) -> FloatArray:
        """Return distances [n, c] in spreads with those of channels that are not ``known`` as the others let expect."""
        among, given = self.precision[np.ix_(~known, ~known)], self.precision[np.ix_(~known, known)]
        found = away.copy()
        found[:, ~known] = -np.linalg.solve(among, given @ away[:, known].T).T
        return found

    def shares(self, means: FloatArray, level: FloatArray) -> FloatArray:
        """Return what each channel [c] adds to the distance of all together (it sums to its square)."""
        away = (means[-1] - level) / self.spread[-1]
        return np.asarray(np.maximum(away * (self.precision @ away), 0.0), np.float64)

    def look(self, means: FloatArray, level: FloatArray, rough: FloatArray) -> FloatArray:
        """Return what the channels look like [2c], in spreads: how far the short means are from a level, and how much
        rougher than usual they are, given how ``rough`` each is by itself."""
        return np.concatenate(((means[0] - level) / self.spread[0], rough * self.rougher))

    def rough(self, roughness: FloatArray) -> tuple[FloatArray, float]:
        """Return how rough each channel [c] is by itself, and all together; 1.0 is the alarm level of either. Less
        rough than usual is nothing."""
        above = np.maximum((roughness - self.roughness) / self.roughness_spread, 0.0)
        return above / self.rougher, float(np.sqrt(np.square(above).mean()) / self.rougher_together[0])


def moving_level(level: FloatArray, mean: FloatArray, slew: FloatArray) -> FloatArray:
    """Return the level one row on: it nears the mean, no faster than ``slew``."""
    return np.asarray(level + np.clip(mean - level, -slew, slew), np.float64)


def roughness_of(recent: FloatArray) -> FloatArray:
    """Return how much values [rows, c] change from row to row: the logarithm of the root mean square, without the
    greatest change, since a step is not rough."""
    change = np.minimum(np.square(np.diff(recent, axis=0)), 16.0)
    mean = (change.sum(axis=0) - change.max(axis=0)) / (len(change) - 1)
    return np.asarray(np.log(np.sqrt(np.maximum(mean, 0.0)) + 0.1), np.float64)


def means_of(recent: FloatArray) -> FloatArray:
    """Return the means [spans, c] of the last rows."""
    return np.stack([recent[-span:].mean(axis=0) for span in SPANS])


def fit(rows: FloatArray) -> tuple[Baseline, FloatArray]:
    """Return the baseline of ``rows`` [n, c], in order, NaN where a value is missing, and the score of those that have
    ``HISTORY`` before them, as the parts that were left out are seen; raises ValueError below ``SHORTEST`` rows."""
    if len(rows) < SHORTEST:
        raise ValueError(f"{len(rows)} rows: at least {SHORTEST}")
    rows = filled(rows)
    centre = np.median(rows, axis=0)
    robust = 1.4826 * np.median(np.abs(rows - centre), axis=0)
    scale = np.maximum(np.maximum(robust, 0.5 * rows.std(axis=0)), 1e-3 * np.abs(centre) + 1e-9)
    values = np.clip((rows - centre) / scale, -CLIP, CLIP)
    values, jump = _without_wild(values)
    values = middle_of_three(values)
    quarters = np.stack([part.mean(axis=0) for part in np.array_split(values, 4)])
    slew = np.maximum(SLEW * np.abs(np.diff(quarters, axis=0)).mean(axis=0) / (len(values) / 4), LEAST_SLEW)
    away, rough = _looked_at(values, slew)
    margin = np.sqrt(max(1.0, 400.0 / len(rows)))  # the greatest of fewer rows says less
    spread, precision = _spread(away), _precision(away[0])
    alone, together = _left_out(away)
    wander = _wandering(values)
    greatest_alone, greatest_together = alone.max(axis=1), together.max(axis=1)
    deviation = np.maximum(rough.std(axis=0), _LEAST_ROUGHNESS)
    rougher = np.maximum((rough - rough.mean(axis=0)) / deviation, 0.0)
    roughest = float(np.sqrt(np.square(rougher).mean(axis=1)).max())
    baseline = Baseline(
        centre=centre,
        scale=scale,
        slew=slew,
        jump=jump,
        spread=spread,
        alone=(ALONE + WANDER * wander) * margin * np.maximum(greatest_alone, LEAST_ALONE),
        together=TOGETHER * margin * greatest_together,
        precision=precision,
        roughness=rough.mean(axis=0),
        roughness_spread=deviation,
        rougher=ROUGHER * margin * np.maximum(rougher.max(axis=0), LEAST_ROUGH),
        rougher_together=np.array([ROUGHER_TOGETHER * margin * max(roughest, LEAST_ROUGH_TOGETHER)]),
        wander=wander,
    )
    looks = (
        (alone / baseline.alone[:, None]).max(axis=(0, 2)),
        (together / baseline.together[:, None]).max(axis=0),
        (rougher / baseline.rougher).max(axis=1),
        np.sqrt(np.square(rougher).mean(axis=1)) / baseline.rougher_together,
    )
    return baseline, np.asarray(np.max(looks, axis=0), np.float64)


def filled(rows: FloatArray) -> FloatArray:
    """Return rows [n, c] with each missing value as the last one before it, and zeros where there never was any."""
    known = np.isfinite(rows)
    first = np.where(known.any(axis=0), known.argmax(axis=0), 0)
    last = np.maximum.accumulate(np.where(known, np.arange(len(rows))[:, None], first), axis=0)
    return np.asarray(np.nan_to_num(np.take_along_axis(rows, last, axis=0), posinf=0.0, neginf=0.0), np.float64)


def middle_of_three(values: FloatArray) -> FloatArray:
    """Return the median of each row [c] of ``values`` [n, c] and its two former ones."""
    before = np.concatenate((values[:1], values[:1], values))
    return np.asarray(np.median(np.stack((before[:-2], before[1:-1], before[2:])), axis=0), np.float64)


def _without_wild(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return values [n, c] with single wild ones put to where the channel was just before, and what is wild."""
    span = SPANS[0]
    sums = np.cumsum(np.concatenate((np.zeros_like(values[:1]), values)), axis=0)
    before = (sums[span:-1] - sums[: -span - 1]) / span
    off = values[span:] - before
    spread = np.maximum(1.4826 * np.median(np.abs(off), axis=0), 0.5 * off.std(axis=0))
    jump = WILD * np.maximum(spread, _LEAST_SPREAD)
    tame = values.copy()
    tame[span:] = np.where(np.abs(off) > jump, before, values[span:])
    return tame, jump


def _looked_at(values: FloatArray, slew: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the means' distances from the slow level [spans, rows, c], and the roughness [rows, c]."""
    longest = max(SPANS)
    level = values[:longest].mean(axis=0)
    away, rough = [], []
    for row in range(HISTORY, len(values)):
        means = means_of(values[row - HISTORY : row])
        level = moving_level(level, means[-1], slew)
        away.append(means - level)
        rough.append(roughness_of(values[row - HISTORY : row]))
    return np.stack(away, axis=1), np.stack(rough)


def _wandering(values: FloatArray) -> FloatArray:
    """Return how much a channel [c] wanders over longer spans than the calibration's looks, 0 to 1.

    The deviation of means over four times as many rows is half as great where the rows forget quickly, and as great
    where they do not.
    """
    short, long = max(SPANS), 4 * max(SPANS)
    sums = np.cumsum(np.concatenate((np.zeros_like(values[:1]), values)), axis=0)
    deviations = [((sums[span:] - sums[:-span]) / span).std(axis=0) for span in (short, long)]
    return np.asarray(np.clip(2.0 * deviations[1] / np.maximum(deviations[0], 1e-6) - 1.0, 0.0, 1.0), np.float64)


def _spread(away: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(np.sqrt(np.square(away).mean(axis=-2)), _LEAST_SPREAD), np.float64)


def _precision(away: FloatArray) -> FloatArray:
    """Return the inverse of the correlation of ``away`` [rows, c], drawn to none."""
    scaled = away / _spread(away)
    size = np.maximum(np.sqrt(np.square(scaled).mean(axis=0)), 1e-3)
    correlation = scaled.T @ scaled / len(scaled) / np.outer(size, size)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(np.linalg.inv((1 - SHRINK) * correlation + SHRINK * np.eye(len(size))), np.float64)


def _left_out(away: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the distances alone [spans, rows, c] and together [spans, rows], of each part as the others see it."""
    alone, together = np.zeros(away.shape), np.zeros(away.shape[:2])
    for part in np.array_split(np.arange(away.shape[1]), PARTS):
        others = np.delete(away, part, axis=1)
        seen = away[:, part] / _spread(others)[:, None]
        squared = np.einsum("sni,ij,snj->sn", seen, _precision(others[0]), seen) / away.shape[2]
        alone[:, part] = np.abs(seen)
        together[:, part] = np.sqrt(np.maximum(squared, 0.0))
    return alone, together
