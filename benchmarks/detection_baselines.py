"""Baselines for detection: statistics of a line, and streaming or batch forests of known libraries.

Each takes values (float64[n], or [n, channels] for groups) and how many rows at the beginning are the calibration, and
returns a score for every row, 0 in the calibration, 1.0 being its own alarm level. All are causal: a score uses its row
and those before it. Where a library gives no level, it is the greatest score that the calibration's own last quarter
gets. Settings were tried on the same files as everything else, and the better kept (for the forests: one, four or eight
rows at once, fitted once or again and again; for the weight of the mean: 0.01 to 0.2), those of groups on the rigs'
tuning faults (moving means of 1 to 60 rows, 70 to 95% of the variance).

``river`` and ``pyod`` come with the extra ``bench``; a baseline whose library is not installed raises ImportError, and
the benchmark prints that it is absent.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Baseline = Callable[[FloatArray, int], FloatArray]

SIGMAS = 4.0
LAGS = 8
_TINY = 1e-9


def windowed_gaussian(values: FloatArray, calibrate: int, most: int = 6400, step: int = 100) -> FloatArray:
    """Distance from the mean of the last rows in their deviations, as NAB's own baseline has it (Lavin & Ahmad 2015).

    All rows so far until there are 6,400; then the newest 6,400, renewed every hundred rows.
    """
    scores = np.zeros(len(values))
    sums, squares = np.cumsum(values), np.cumsum(values**2)
    for row in range(max(1, calibrate), len(values)):
        end = row if row <= most else most + (row - most) // step * step
        first = max(0, end - most)
        total = sums[end - 1] - (sums[first - 1] if first else 0.0)
        square = squares[end - 1] - (squares[first - 1] if first else 0.0)
        mean = total / (end - first)
        deviation = max(square / (end - first) - mean**2, 0.0) ** 0.5
        scores[row] = abs(values[row] - mean) / (SIGMAS * max(deviation, _TINY))
    return scores


def ewma(values: FloatArray, calibrate: int, weight: float = 0.01) -> FloatArray:
    """Distance from an exponentially weighted mean in its weighted deviations (Roberts 1959; Lucas & Saccucci 1990)."""
    mean, variance = float(values[0]), 0.0
    scores = np.zeros(len(values))
    for row, value in enumerate(values.tolist()):
        if row >= calibrate:
            scores[row] = abs(value - mean) / (SIGMAS * max(variance, 1e-18) ** 0.5)
        change = value - mean
        mean += weight * change
        variance = (1 - weight) * (variance + weight * change * change)
    return scores


def half_space_trees(values: FloatArray, calibrate: int, lags: int = 4) -> FloatArray:
    """River's streaming forest (Tan, Ting & Liu 2011) over the last rows, scaled to the calibration's range."""
    from river import anomaly

    low, high = values[:calibrate].min(), values[:calibrate].max()
    # Half of the range is left on either side for values outside the calibration's range.
    scaled = ((values - low) / (2 * max(high - low, _TINY)) + 0.25).clip(0, 1)
    model = anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=min(250, calibrate), seed=1)
    scores = np.zeros(len(values))
    for row, one in enumerate(_lagged(scaled, lags)):
        x = dict(enumerate(one.tolist()))
        scores[row] = model.score_one(x)
        model.learn_one(x)
    return _over_own_level(scores, calibrate)


def isolation_forest(values: FloatArray, calibrate: int, refit: int = 500) -> FloatArray:
    """PyOD's isolation forest (Liu, Ting & Zhou 2008) over the last eight rows of one channel.

    Fitted on the calibration, and again every ``refit`` rows on the newest twice as many as that.
    """
    rows = _lagged(values, LAGS)
    scores = np.zeros(len(rows))
    starts = [0, *range(calibrate, len(rows), refit)]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        scores[start:end] = _isolated(rows[max(0, start - 2 * calibrate) : max(start, calibrate)], rows[start:end])
    return _over_own_level(scores, calibrate)


def group_isolation_forest(values: FloatArray, calibrate: int, smooth: int = 5) -> FloatArray:
    """The same of several channels, row by row; the mean of the last ``smooth`` scores counts."""
    return _over_own_level(_moving_mean(_isolated(values[:calibrate], values), smooth), calibrate)


def robust_autoregression(values: FloatArray, calibrate: int, lags: int = 48, limit: float = 6.0) -> FloatArray:
    """Error of an autoregression in median absolute deviations; fitted by reweighted least squares (Huber 1964)."""
    lags = min(lags, calibrate // 4)
    rows = np.lib.stride_tricks.sliding_window_view(values, lags)[:-1]
    x, y = np.hstack((np.ones((len(rows), 1)), rows)), values[lags:]
    first, weight = calibrate - lags, np.ones(calibrate - lags)
    for _ in range(8):
        root = np.sqrt(weight)
        beta = np.linalg.lstsq(x[:first] * root[:, None], y[:first] * root, rcond=None)[0]
        error = np.abs(y - x @ beta)
        deviation = max(float(np.median(error[:first])), _TINY)
        weight = np.minimum(1.0, 2.0 * deviation / np.maximum(error[:first], _TINY))
    scores = np.zeros(len(values))
    scores[calibrate:] = error[first:] / (limit * deviation)
    return scores


def left_matrix_profile(values: FloatArray, calibrate: int) -> FloatArray:
    """Distance of the last rows to their nearest neighbour among all rows before (left matrix profile, Yeh 2016).

    The shape's length is the period of the calibration: the first maximum of its autocorrelation, from 8 to 128 rows.
    """
    length = _period(values[:calibrate])
    shapes = np.lib.stride_tricks.sliding_window_view(values, length)
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    scaled = centred / np.maximum(np.sqrt(np.square(centred).sum(axis=1, keepdims=True)), _TINY)
    distance = np.zeros(len(values))
    for first in range(length, len(scaled), 512):
        part = scaled[first : first + 512]
        alike = part @ scaled[: first + len(part)].T
        alike[np.arange(alike.shape[1]) > (first - length + np.arange(len(part)))[:, None]] = -1.0
        distance[first + length - 1 : first + length - 1 + len(part)] = np.sqrt(
            2.0 - 2.0 * alike.max(axis=1).clip(-1, 1)
        )
    return _over_own_level(distance, calibrate)


def _period(values: FloatArray) -> int:
    """Return the length of the period of values, from 8 to 128 rows."""
    centred = values - values.mean()
    spectrum = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    alike = np.fft.irfft(spectrum)[: min(128, len(values) // 4) + 1]
    peaks = [at for at in range(8, len(alike) - 1) if alike[at - 1] < alike[at] >= alike[at + 1]]
    return max(peaks, key=lambda at: float(alike[at])) if peaks else min(32, len(values) // 4)


def _isolated(past: FloatArray, rows: FloatArray) -> FloatArray:
    from pyod.models.iforest import IForest

    with warnings.catch_warnings():
        # Warnings of the libraries are not relevant here.
        warnings.simplefilter("ignore")
        # PyOD's scores begin below 0; isolation scores of 0 to 1 are half a unit higher.
        return np.asarray(IForest(random_state=1).fit(past).decision_function(rows) + 0.5)


def principal_components(values: FloatArray, calibrate: int, share: float = 0.95, smooth: int = 15) -> FloatArray:
    """T² and Q of a PCA of the calibration (Jackson & Mudholkar 1979), each over its 99.9% quantile there, the greater.

    The components explain ``share``; the mean of the last ``smooth`` values of each statistic counts.
    """
    first = values[:calibrate]
    z = (values - first.mean(0)) / np.maximum(first.std(0), _TINY)
    _, singular, axes = np.linalg.svd(z[:calibrate], full_matrices=False)
    variance = singular**2 / calibrate
    kept = int(np.searchsorted(np.cumsum(variance) / variance.sum(), share)) + 1
    along = z @ axes[:kept].T
    t2 = _moving_mean((along**2 / np.maximum(variance[:kept], _TINY)).sum(1), smooth)
    q = _moving_mean(((z - along @ axes[:kept]) ** 2).sum(1), smooth)
    scores = np.maximum(*(one / max(float(np.quantile(one[:calibrate], 0.999)), _TINY) for one in (t2, q)))
    return np.where(np.arange(len(values)) < calibrate, 0.0, scores)


def _moving_mean(values: FloatArray, span: int) -> FloatArray:
    sums = np.concatenate(([0.0], np.cumsum(values)))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - span, 0)
    return np.asarray((sums[last] - sums[first]) / (last - first))


def _lagged(values: FloatArray, lags: int) -> FloatArray:
    padded = np.concatenate((np.full(lags - 1, values[0]), values))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, lags))


def _over_own_level(scores: FloatArray, calibrate: int) -> FloatArray:
    level = float(scores[calibrate * 3 // 4 : calibrate].max())
    return np.where(np.arange(len(scores)) < calibrate, 0.0, scores / max(level, _TINY))


def known(values: FloatArray) -> FloatArray:
    """Return [n] or [n, channels] in which a missing value is replaced by the one before it (0 without one)."""
    at = np.where(np.isfinite(values), np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1)), -1)
    last = np.maximum.accumulate(at, axis=0)
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, filled, 0.0)


ONE_CHANNEL: dict[str, tuple[Baseline, str]] = {
    "windowed Gaussian": (windowed_gaussian, ""),
    "EWMA z-score": (ewma, ""),
    "robust AR": (robust_autoregression, ""),
    "left matrix profile": (left_matrix_profile, ""),
    "river HalfSpaceTrees": (half_space_trees, "river"),
    "PyOD IForest": (isolation_forest, "pyod"),
}
"""By name: the baseline, and the library that it needs beside NumPy."""

GROUPS: dict[str, tuple[Baseline, str]] = {
    "PCA T² and Q": (principal_components, ""),
    "PyOD IForest": (group_isolation_forest, "pyod"),
}
"""The same for several channels at once."""
