"""Alarm levels of a group model's errors, from the tail of their distribution.

Pure. With enough of a device's first windows, the tail of each channel's errors, and of the group's, is fitted (peaks
over threshold with an exponential tail, as in :mod:`calibration`). Until then the tails of the manifest are used, from
data held out of the training; afterwards they are the prior of the device's own, which come from few overlapping
windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.columns import BoolArray, FloatArray, IntArray
from edge_components.anomaly_detector.model_runtime.manifest import Defaults

SHARE = 0.1
"""Fraction of errors in the tail."""
MIN_EXCESS = 0.15
"""Smallest mean excess, in thresholds, of a tail that is estimated from few windows alone."""
PRIOR = 5.0
"""Weight of the manifest's tails, in independent windows."""
MIN_ERROR = 1e-3
"""Lower bound of errors, in scales of the channel."""
MAX_KEPT = 500
OBSERVED = 0.1
"""Relative increase of the levels if alarms are e times as frequent as configured."""


@dataclass(frozen=True, slots=True)
class Tails:
    """Tails of errors: ``threshold``, mean ``excess`` above it, ``share`` of windows above; each [n, channels + 1], the
    last is the group's."""

    threshold: FloatArray
    excess: FloatArray
    share: FloatArray

    @classmethod
    def none(cls, n: int, columns: int) -> Tails:
        """Return unknown tails."""
        return cls(*(np.full((n, columns), np.nan) for _ in range(3)))

    def levels(self, probability: float) -> FloatArray:
        """Return the errors that a window exceeds with this probability, [n, channels + 1]."""
        return np.asarray(self.threshold + self.excess * np.log(np.maximum(self.share / probability, 1.0)), np.float64)


def fit(errors: FloatArray, defaults: Defaults | None = None, overlap: int = 1) -> Tails:
    """Return the tails of errors [windows, n, channels], each of which shares values with ``overlap`` others.

    ``defaults`` are the prior.
    """
    errors = np.maximum(errors, MIN_ERROR)
    threshold, excess, share = _tail(errors, defaults, slice(None, -1), overlap)
    together = group_error(errors, threshold)
    group = _tail(together[:, :, None], defaults, slice(-1, None), overlap)
    columns = zip((threshold, excess, share), group, strict=True)
    return Tails(*(np.concatenate((each, of_group), axis=-1) for each, of_group in columns))


def group_error(errors: FloatArray, threshold: FloatArray) -> FloatArray:
    """Return the root mean square over channels of errors [..., n, channels] in thresholds [n, channels]."""
    return np.asarray(np.sqrt(np.mean(np.square(errors / threshold), axis=-1)), np.float64)


def _tail(
    values: FloatArray, defaults: Defaults | None, columns: slice, overlap: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    threshold = np.quantile(values, 1.0 - SHARE, axis=0)
    over = values > threshold
    count = over.sum(axis=0)
    excess = np.where(over, values - threshold, 0.0).sum(axis=0) / np.maximum(count, 1)
    share = np.maximum(count, 1) / len(values)
    if defaults is None:
        return threshold, np.maximum(excess, MIN_EXCESS * threshold), share
    usual, length = defaults.threshold[columns], defaults.excess[columns] / defaults.threshold[columns]
    own = len(values) / overlap
    drawn = np.exp((own * np.log(threshold) + PRIOR * np.log(usual)) / (own + PRIOR))
    above = count / overlap
    return drawn, drawn * (above * excess / threshold + PRIOR * length) / (above + PRIOR), share


class ErrorLevels:
    """The last errors of each device [n, kept, channels], its tails, and the scores that follow from them."""

    def __init__(
        self, channels: int, calibration: int, probability: float, defaults: Defaults | None, overlap: int = 1
    ) -> None:
        self._calibration, self.probability, self._overlap = calibration, probability, overlap
        self._size = min(calibration, MAX_KEPT)
        self._defaults = defaults
        self.errors = np.zeros((0, self._size, channels), np.float32)
        self.seen, self.alarms = np.zeros(0, np.int64), np.zeros(0)
        self._above = np.zeros(0, np.bool_)
        self.tails = Tails.none(0, channels + 1)
        self.version = 0
        """Incremented by each change that must be saved: new devices and fits."""

    def grow(self, n: int) -> None:
        """Extend to ``n`` devices; new ones begin with the manifest's tails."""
        self.version += 1
        more, columns = n - len(self.seen), self.tails.threshold.shape[1]
        self.errors = np.concatenate((self.errors, np.zeros((more, *self.errors.shape[1:]), np.float32)))
        self.seen = np.append(self.seen, np.zeros(more, np.int64))
        self.alarms, self._above = (
            np.append(self.alarms, np.zeros(more)),
            np.append(self._above, np.zeros(more, np.bool_)),
        )
        fresh = Tails.none(more, columns)
        if self._defaults is not None:
            given = (self._defaults.threshold, self._defaults.excess, self._defaults.share)
            fresh = Tails(*(np.tile(column, (more, 1)) for column in given))
        parts = ((getattr(self.tails, name), getattr(fresh, name)) for name in Tails.__slots__)
        self.tails = Tails(*(np.concatenate(part) for part in parts))

    def keep(self, rows: list[int]) -> None:
        """Keep only some devices, in this order."""
        self.version += 1
        self.errors, self.seen, self.alarms = self.errors[rows], self.seen[rows], self.alarms[rows]
        self._above = self._above[rows]
        self.tails = Tails(*(getattr(self.tails, name)[rows] for name in Tails.__slots__))

    @property
    def calibrated(self) -> BoolArray:
        """True for each device that has tails of its own."""
        return np.asarray(self.seen >= self._calibration)

    def score(self, rows: IntArray, errors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Process errors [n, channels] of some devices; returns the scores and the alarm levels [n, channels].

        The channel with the highest score gets the group's score if that is higher. NaN where tails are unknown.
        """
        tails = Tails(self.tails.threshold[rows], self.tails.excess[rows], self.tails.share[rows])
        # An error over several windows stays above its level for a while: there are more windows above than alarms.
        levels = tails.levels(self.probability * np.sqrt(self._overlap)) * self._raised(rows)[:, None]
        scores = np.maximum(errors, MIN_ERROR) / levels[:, :-1]
        group = group_error(errors, tails.threshold[:, :-1]) / levels[:, -1]
        highest = np.where(np.isfinite(scores), scores, -1.0).argmax(axis=1)
        each = np.arange(len(rows))
        scores[each, highest] = np.maximum(scores[each, highest], group)
        above = scores[each, highest] >= 1.0
        self.alarms[rows] += above & ~self._above[rows]
        self._above[rows] = above
        self._keep(rows, errors)
        return scores, levels[:, :-1]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state to save."""
        arrays: dict[str, npt.NDArray[Any]] = {name: getattr(self.tails, name) for name in Tails.__slots__}
        return arrays | {"errors": self.errors, "seen": self.seen, "alarms": self.alarms}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore a saved :meth:`state`; raises ValueError if its layout is another."""
        mine = self.state()
        if set(arrays) != set(mine):
            raise ValueError("other columns than this version keeps")
        n = len(arrays["seen"])
        for name, array in mine.items():
            if arrays[name].shape != (n, *array.shape[1:]) or arrays[name].dtype != array.dtype:
                raise ValueError(f"{name}: {arrays[name].dtype} {arrays[name].shape}")
        self.errors, self.seen, self.alarms = (arrays[name].copy() for name in ("errors", "seen", "alarms"))
        self._above = np.zeros(n, np.bool_)
        self.tails = Tails(*(arrays[name].copy() for name in Tails.__slots__))

    def _raised(self, rows: IntArray) -> FloatArray:
        """Return the factor of the levels of devices that alarmed too often, as for the experts."""
        allowed = self.seen[rows] * self.probability * self.errors.shape[2]
        often = (1.0 + self.alarms[rows]) / (1.0 + allowed)
        return np.asarray(1.0 + OBSERVED * np.log(np.maximum(often, 1.0)), np.float64)

    def calibrate_again(self, rows: IntArray) -> None:
        """Fit some devices' tails on their last errors."""
        known = rows[self.seen[rows] >= self._size]
        if len(known):
            self.version += 1
            errors = np.swapaxes(self.errors[known].astype(np.float64), 0, 1)
            found = fit(errors, self._defaults, self._overlap)
            for name in Tails.__slots__:
                getattr(self.tails, name)[known] = getattr(found, name)

    def _keep(self, rows: IntArray, errors: FloatArray) -> None:
        self.errors[rows, self.seen[rows] % self._size] = errors
        self.seen[rows] += 1
        self.calibrate_again(rows[self.seen[rows] == self._calibration])
