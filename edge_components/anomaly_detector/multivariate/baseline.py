"""Baseline of a group of series that are measured together: fitted on rows without faults.

Pure. Three distances are computed, each divided by its greatest value in the calibration: of the rolling means of the
channels from their levels, each alone; of all together, in the metric of their correlation (Hotelling's T squared
of moving averages, Lowry et al. 1992; it includes the residual of principal components, Jackson and Mudholkar's Q,
because all directions count); and the roughness of each channel. Levels follow the channels slowly; they are fixed in a
stationary group, in which no channel wanders. The greatest values come from parts that are left out of the fit, since
the metric is too favourable to its own rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, stored

SPANS = (8, 20)
"""Rows over which means are taken."""
ROUGH_SPAN = 30
HISTORY = ROUGH_SPAN + 1
SHORTEST = 120
"""Fewest rows of a fit."""
CLIP = 5.0
"""While fitting, values are clipped at this distance from the centre, in scales."""
SLEW = 1.5
MIN_SLEW = 0.003
"""Maximum speed of levels, as a multiple of that during calibration, and its minimum in scales a row."""
STEADY = 0.1
"""Degree of wandering (0 to 1) below which a channel is steady; independent rows have 0."""
STATIONARY = 0.35
"""Degree of wandering of every channel below which a group is stationary. In calibrations of 400 independent rows it is
less than 0.15 in nine channels of ten."""
SHRINK = 0.2
"""Shrinkage of correlations towards zero (Ledoit and Wolf 2004)."""
OUTLIER = 7.0
"""Distance of an outlier from the mean of the last rows, in spreads."""
PARTS = 4
TOGETHER = 1.3
ALONE = 1.5
ROUGHER = 2.0
ROUGHER_TOGETHER = 1.8
WANDER = 1.2
"""The alarm level of each distance, as a multiple of the greatest of the calibration."""
FEW_CHANNELS = 8
"""Number of channels above which ``ALONE`` increases, as the greatest distance of several channels does."""
MIN_ALONE = 2.5
MIN_ROUGH = 3.0
MIN_ROUGH_TOGETHER = 1.5
"""Lower bounds of greatest values of the calibration, in their own deviations."""
_MIN_SPREAD = 0.02
_MIN_ROUGHNESS = 0.1


@dataclass(slots=True)
class Baseline:
    """By channel [c]: ``centre`` and ``scale`` in the channel's unit; all else in scales: ``slew`` (speed of the level
    a row, 0 in a stationary group), ``jump`` (the distance of an outlier), ``spread`` [spans, c] of the means about
    the level, ``alone`` [spans, c] and ``together`` [spans] the alarm levels, ``precision`` [c, c] the inverse
    correlation, ``roughness``, ``roughness_spread``, ``rougher`` and ``rougher_together`` [1], ``wander`` the degree to
    which the channel wanders by itself, 0 to 1."""

    centre: FloatArray = stored("baseline.centre")
    scale: FloatArray = stored("baseline.scale")
    slew: FloatArray = stored("baseline.slew")
    jump: FloatArray = stored("baseline.jump")
    spread: FloatArray = stored("baseline.spread")
    alone: FloatArray = stored("baseline.alone")
    together: FloatArray = stored("baseline.together")
    precision: FloatArray = stored("baseline.precision")
    roughness: FloatArray = stored("baseline.roughness")
    roughness_spread: FloatArray = stored("baseline.roughness_spread")
    rougher: FloatArray = stored("baseline.rougher")
    rougher_together: FloatArray = stored("baseline.rougher_together")
    wander: FloatArray = stored("baseline.wander")

    @property
    def stationary(self) -> bool:
        """True if no channel of the group wanders."""
        return bool(self.wander.max() < STATIONARY)

    @property
    def steady(self) -> BoolArray:
        """The channels [c] that do not wander."""
        return np.asarray(self.wander < STEADY, np.bool_)

    def standard(self, rows: FloatArray) -> FloatArray:
        """Return rows [..., c] in scales from the centre, within a bound."""
        return np.asarray(np.clip((rows - self.centre) / self.scale, -4 * CLIP, 4 * CLIP), np.float64)

    def impute(self, row: FloatArray, known: BoolArray, mean: FloatArray) -> FloatArray:
        """Return a standardised row [c] with values that are not ``known`` replaced by their expectation given the
        other channels and the ``mean`` of the last rows."""
        if known.all():
            return row
        off = self._filled(np.where(known, (row - mean) / self.spread[0], 0.0)[None], known)[0]
        return np.asarray(mean + off * self.spread[0], np.float64)

    def level_distances(self, means: FloatArray, level: FloatArray, counted: BoolArray) -> tuple[FloatArray, float]:
        """Return the distances of ``means`` [spans, c] from a level: each channel's alone [c], and of all together; 1.0
        is the alarm level of either. Channels that are not ``counted`` [c] are replaced by their expectation."""
        away = (means - level) / self.spread
        if not counted.all():
            away = self._filled(away, counted)
        alone = np.abs(away) / self.alone
        squared = np.einsum("si,ij,sj->s", away, self.precision, away) / away.shape[1]
        together = np.sqrt(np.maximum(squared, 0.0)) / self.together
        return alone.max(axis=0), float(together.max())

    def _filled(self, away: FloatArray, known: BoolArray) -> FloatArray:
        """Return distances [n, c] with those of channels that are not ``known`` replaced by their expectation."""
        among, given = self.precision[np.ix_(~known, ~known)], self.precision[np.ix_(~known, known)]
        found = away.copy()
        found[:, ~known] = -np.linalg.solve(among, given @ away[:, known].T).T
        return found

    def shares(self, means: FloatArray, level: FloatArray) -> FloatArray:
        """Return each channel's contribution [c] to the square of the distance of all together."""
        away = (means[-1] - level) / self.spread[-1]
        return np.asarray(np.maximum(away * (self.precision @ away), 0.0), np.float64)

    def deviation(self, means: FloatArray, level: FloatArray, rough: FloatArray) -> FloatArray:
        """Return the deviation vector [2c], in spreads: the distances of the short means from a level, and the increase
        of roughness, given how ``rough`` each channel is alone."""
        return np.concatenate(((means[0] - level) / self.spread[0], rough * self.rougher))

    def rough(self, roughness: FloatArray) -> tuple[FloatArray, float]:
        """Return the increase of roughness of each channel [c] alone, and of all together; 1.0 is the alarm level of
        either. A decrease is zero."""
        above = np.maximum((roughness - self.roughness) / self.roughness_spread, 0.0)
        return above / self.rougher, float(np.sqrt(np.square(above).mean()) / self.rougher_together[0])


def moving_level(level: FloatArray, mean: FloatArray, slew: FloatArray) -> FloatArray:
    """Return the level after one row: it approaches the mean no faster than ``slew``."""
    return np.asarray(level + np.clip(mean - level, -slew, slew), np.float64)


def roughness_of(recent: FloatArray) -> FloatArray:
    """Return the roughness of values [rows, c]: the logarithm of the root mean square of changes, without the greatest
    one, since a step is not rough."""
    change = np.minimum(np.square(np.diff(recent, axis=0)), 16.0)
    mean = (change.sum(axis=0) - change.max(axis=0)) / (len(change) - 1)
    return np.asarray(np.log(np.sqrt(np.maximum(mean, 0.0)) + 0.1), np.float64)


def means_of(recent: FloatArray) -> FloatArray:
    """Return the means [spans, c] of the last rows."""
    return np.stack([recent[-span:].mean(axis=0) for span in SPANS])


def fit(rows: FloatArray) -> tuple[Baseline, FloatArray]:
    """Return the baseline of ``rows`` [n, c], in order, NaN where a value is missing, and the scores of those with
    ``HISTORY`` rows before them, by left-out parts; raises ValueError below ``SHORTEST`` rows."""
    if len(rows) < SHORTEST:
        raise ValueError(f"{len(rows)} rows: at least {SHORTEST}")
    rows = filled(rows)
    centre = np.median(rows, axis=0)
    robust = 1.4826 * np.median(np.abs(rows - centre), axis=0)
    scale = np.maximum(np.maximum(robust, 0.5 * rows.std(axis=0)), 1e-3 * np.abs(centre) + 1e-9)
    values, jump = cleaned(rows, centre, scale)
    quarters = np.stack([part.mean(axis=0) for part in np.array_split(values, 4)])
    slew = np.maximum(SLEW * np.abs(np.diff(quarters, axis=0)).mean(axis=0) / (len(values) / 4), MIN_SLEW)
    away, rough = _distances(values, slew)
    spread, precision = spread_of(away), precision_of(away[0])
    alone, together = _left_out(away)
    wander = _wandering(values)
    alone_margin = (ALONE + WANDER * wander) * np.sqrt(np.log(max(len(wander), FEW_CHANNELS)) / np.log(FEW_CHANNELS))
    greatest_alone, greatest_together = alone.max(axis=1), together.max(axis=1)
    deviation = np.maximum(rough.std(axis=0), _MIN_ROUGHNESS)
    rougher = np.maximum((rough - rough.mean(axis=0)) / deviation, 0.0)
    roughest = float(np.sqrt(np.square(rougher).mean(axis=1)).max())
    baseline = Baseline(
        centre=centre,
        scale=scale,
        slew=np.zeros_like(slew) if wander.max() < STATIONARY else slew,
        jump=jump,
        spread=spread,
        alone=alone_margin * margin(len(rows)) * np.maximum(greatest_alone, MIN_ALONE),
        together=TOGETHER * margin(len(rows)) * greatest_together,
        precision=precision,
        roughness=rough.mean(axis=0),
        roughness_spread=deviation,
        rougher=ROUGHER * margin(len(rows)) * np.maximum(rougher.max(axis=0), MIN_ROUGH),
        rougher_together=np.array([ROUGHER_TOGETHER * margin(len(rows)) * max(roughest, MIN_ROUGH_TOGETHER)]),
        wander=wander,
    )
    parts = (
        (alone / baseline.alone[:, None]).max(axis=(0, 2)),
        (together / baseline.together[:, None]).max(axis=0),
        (rougher / baseline.rougher).max(axis=1),
        np.sqrt(np.square(rougher).mean(axis=1)) / baseline.rougher_together,
    )
    return baseline, np.asarray(np.max(parts, axis=0), np.float64)


def margin(rows: int) -> float:
    """Return the factor of a maximum over a calibration of ``rows``: that of fewer rows is less certain."""
    return float(np.sqrt(max(1.0, 400.0 / rows)))


def cleaned(rows: FloatArray, centre: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return calibration rows [n, c] in scales, without outliers, and the distance of an outlier [c]."""
    values, jump = _without_outliers(np.clip((rows - centre) / scale, -CLIP, CLIP))
    return middle_of_three(values), jump


def filled(rows: FloatArray) -> FloatArray:
    """Return rows [n, c] with each missing value replaced by the one before it, or by zero if nothing is before it."""
    known = np.isfinite(rows)
    first = np.where(known.any(axis=0), known.argmax(axis=0), 0)
    last = np.maximum.accumulate(np.where(known, np.arange(len(rows))[:, None], first), axis=0)
    return np.asarray(np.nan_to_num(np.take_along_axis(rows, last, axis=0), posinf=0.0, neginf=0.0), np.float64)


def middle_of_three(values: FloatArray) -> FloatArray:
    """Return the median of each row [c] of ``values`` [n, c] and the two before it."""
    before = np.concatenate((values[:1], values[:1], values))
    return np.asarray(np.median(np.stack((before[:-2], before[1:-1], before[2:])), axis=0), np.float64)


def _without_outliers(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return values [n, c] with outliers replaced by the mean before them, and the distance of an outlier [c]."""
    span = SPANS[0]
    sums = np.cumsum(np.concatenate((np.zeros_like(values[:1]), values)), axis=0)
    before = (sums[span:-1] - sums[: -span - 1]) / span
    off = values[span:] - before
    spread = np.maximum(1.4826 * np.median(np.abs(off), axis=0), 0.5 * off.std(axis=0))
    jump = OUTLIER * np.maximum(spread, _MIN_SPREAD)
    cleaned = values.copy()
    cleaned[span:] = np.where(np.abs(off) > jump, before, values[span:])
    return cleaned, jump


def _distances(values: FloatArray, slew: FloatArray) -> tuple[FloatArray, FloatArray]:
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
    """Return the degree to which each channel [c] wanders over longer spans than the means', 0 to 1.

    The deviation of means over four times as many rows is half as great for independent rows, and as great for a
    random walk.
    """
    short, long = max(SPANS), 4 * max(SPANS)
    sums = np.cumsum(np.concatenate((np.zeros_like(values[:1]), values)), axis=0)
    deviations = [((sums[span:] - sums[:-span]) / span).std(axis=0) for span in (short, long)]
    return np.asarray(np.clip(2.0 * deviations[1] / np.maximum(deviations[0], 1e-6) - 1.0, 0.0, 1.0), np.float64)


def spread_of(away: FloatArray) -> FloatArray:
    """Return the root mean square of ``away`` [..., rows, c], at least a minimum."""
    return np.asarray(np.maximum(np.sqrt(np.square(away).mean(axis=-2)), _MIN_SPREAD), np.float64)


def precision_of(away: FloatArray) -> FloatArray:
    """Return the inverse of the correlation of ``away`` [rows, c], shrunk towards zero."""
    scaled = away / spread_of(away)
    size = np.maximum(np.sqrt(np.square(scaled).mean(axis=0)), 1e-3)
    correlation = scaled.T @ scaled / len(scaled) / np.outer(size, size)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(np.linalg.inv((1 - SHRINK) * correlation + SHRINK * np.eye(len(size))), np.float64)


def _left_out(away: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the distances alone [spans, rows, c] and together [spans, rows], each part by a fit of the others."""
    alone, together = np.zeros(away.shape), np.zeros(away.shape[:2])
    for part in np.array_split(np.arange(away.shape[1]), PARTS):
        others = np.delete(away, part, axis=1)
        seen = away[:, part] / spread_of(others)[:, None]
        squared = np.einsum("sni,ij,snj->sn", seen, precision_of(others[0]), seen) / away.shape[2]
        alone[:, part] = np.abs(seen)
        together[:, part] = np.sqrt(np.maximum(squared, 0.0))
    return alone, together
