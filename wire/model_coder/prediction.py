"""Prediction of the next cell of a column from the previous cells of the same series.

The *window* (one byte) selects the predictor: 0 predicts 0; 1 to 64 the exponentially weighted mean over that number of
cells; 64 + k the last cell plus k eighths of the last difference; 96 + 8 j + k (in the model only) a point k eighths of
the way from the last cell to the running mean over SLOW[j] cells, for k = 0 that mean. Predictions are integers with
eight fractional bits and divisions round down, so every platform predicts the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Signed = npt.NDArray[np.int64]

FRACTION = 8
HALF = 1 << (FRACTION - 1)
SLOPE = 64
STEEPEST = SLOPE + 16
BETWEEN = 96
SLOW = (3, 4, 6, 8, 12, 16, 24, 32)
_NAMED = 16
"""Cost, in bits, of giving one series its own window."""
_SAMPLED_CELLS = 192
"""Number of cells of a series on which windows are compared."""


def is_window(window: int) -> bool:
    """Return whether a byte is a valid window outside the model."""
    return 0 <= window <= STEEPEST


def is_model_window(window: int) -> bool:
    """Return whether a byte is a valid window of the model."""
    return is_window(window) or BETWEEN <= window < BETWEEN + 8 * len(SLOW)


def split_window(window: int) -> tuple[int, int]:
    """Return (window of the running mean, turn) of a window above SLOPE.

    A positive turn is the share of the last difference (eight fractional bits) added to the last cell; a negative turn
    is minus the number of eighths from the last cell towards the running mean.
    """
    if window < BETWEEN:
        return 0, (window - SLOPE) << (FRACTION - 3)
    return SLOW[(window - BETWEEN) >> 3], -((window - BETWEEN) & 7)


def residuals(cells: Signed, counts: Sequence[int], windows: Sequence[int]) -> Signed:
    """Return each cell minus its rounded prediction; the prediction of a series' first cell is 0.

    ``counts`` gives the number of cells of each series, ``windows`` its predictor. Wraps at 64 bits.
    """
    return _by_series(cells, counts, windows, _difference, _residuals)


def restore(left: Signed, counts: Sequence[int], windows: Sequence[int]) -> Signed:
    """Return the cells from their residuals: the inverse of :func:`residuals`."""
    return _by_series(left, counts, windows, _sum, _restore)


def _by_series(
    cells: Signed,
    counts: Sequence[int],
    windows: Sequence[int],
    at_once: Callable[[Signed, Signed], Signed],
    one_by_one: Callable[[list[int], int], Signed],
) -> Signed:
    if not any(windows):
        return cells
    out, at = at_once(cells, np.array(counts, np.int64)), 0
    for count, window in zip(counts, windows, strict=True):
        part = slice(at, at + count)
        at += count
        if window == 0:
            out[part] = cells[part]
        elif window > 1 and count > 1:
            out[part] = one_by_one(cells[part].tolist(), window)
    return out


def _difference(cells: Signed, counts: Signed) -> Signed:
    out = np.diff(cells, prepend=np.int64(0))
    starts = (np.cumsum(counts) - counts)[counts > 0]
    out[starts] = cells[starts]
    return out


def _sum(left: Signed, counts: Signed) -> Signed:
    total: Signed = np.cumsum(left)
    counts = counts[counts > 0]
    starts = np.cumsum(counts) - counts
    before: Signed = np.repeat(np.concatenate((total[:1] * 0, total[starts[1:] - 1])), counts)
    return total - before


def _residuals(cells: list[int], window: int) -> Signed:
    out = [cells[0]]
    last = cells[0]
    level, seen = last << FRACTION, 1
    for cell in cells[1:]:
        out.append(cell - ((level + HALF) >> FRACTION))
        if window > SLOPE:
            level = (cell << FRACTION) + (cell - last) * ((window - SLOPE) << (FRACTION - 3))
            last = cell
        else:
            seen = min(seen + 1, window)
            level += ((cell << FRACTION) - level) // seen
    return _wrapped(out)


def _restore(left: list[int], window: int) -> Signed:
    out = [left[0]]
    last = left[0]
    level, seen = last << FRACTION, 1
    for residual in left[1:]:
        cell = wrap(residual + ((level + HALF) >> FRACTION))
        out.append(cell)
        if window > SLOPE:
            level = (cell << FRACTION) + (cell - last) * ((window - SLOPE) << (FRACTION - 3))
            last = cell
        else:
            seen = min(seen + 1, window)
            level += ((cell << FRACTION) - level) // seen
    return np.array(out, np.int64)


def wrap(value: int) -> int:
    """Return ``value`` wrapped to a signed 64-bit integer."""
    return (value + 2**63) % 2**64 - 2**63


def _wrapped(values: list[int]) -> Signed:
    try:
        return np.array(values, np.int64)
    except OverflowError:
        return np.array([wrap(value) for value in values], np.int64)


def best_windows(cells: Signed, counts: Sequence[int], candidates: Sequence[int]) -> list[int]:
    """Return for each series the candidate window with the smallest residuals on its first cells.

    Ties go to the earlier candidate. All series get the same window where naming each would cost more.
    """
    rows = np.array(counts, np.int64)
    length = int(min(_SAMPLED_CELLS, rows.max(initial=0)))
    if length < 3:
        return [candidates[0]] * len(counts)
    starts = np.cumsum(rows) - rows
    at = starts[:, None] + np.minimum(np.arange(length), np.maximum(rows - 1, 0)[:, None])
    # Relative to the first cell, so that sums stay small. Shorter series are padded with their last cell.
    # Single precision is enough: the choice affects the size of the batch, not its content.
    wide = cells[np.minimum(at, len(cells) - 1)].astype(np.float64)
    grid = (wide - cells[np.minimum(starts, len(cells) - 1), None]).astype(np.float32)
    half = np.float32(0.5)
    errors = [np.log2(np.abs(grid @ _weights(window, length)) + half).sum(axis=1) for window in candidates]
    bits = np.array(errors, np.float64) * (rows / length)
    common = int(np.argmin(bits.sum(axis=1)))
    # The minimum over many candidates is partly chance: only a clear gain justifies a window of its own.
    better = bits.min(axis=0) + _NAMED < bits[common]
    return [candidates[best] for best in np.where(better, np.argmin(bits, axis=0), common)]


_WEIGHTS: dict[int, npt.NDArray[np.float32]] = {}


def _weights(window: int, length: int) -> npt.NDArray[np.float32]:
    """Return the matrix that maps cells to approximate residuals, without those of the first two cells.

    Each prediction is approximated as a linear function of the previous cells.
    """
    if window not in _WEIGHTS:
        expected, running = np.zeros((_SAMPLED_CELLS, _SAMPLED_CELLS)), np.zeros(_SAMPLED_CELLS)
        for at in range(1, _SAMPLED_CELLS):
            if window >= BETWEEN:
                slow, turn = split_window(window)
                share = 1 / min(at, slow)
                expected[:, at] = running * (1 - share)
                expected[at - 1, at] += share
                running = expected[:, at].copy()
                expected[:, at] *= -turn / 8
                expected[at - 1, at] += 1 + turn / 8
            elif window > SLOPE:
                expected[at - 1, at] = 1 + (window - SLOPE) / 8
                expected[max(at - 2, 0), at] -= (window - SLOPE) / 8
            else:
                share = 1 / min(at, window)
                expected[:, at] = expected[:, at - 1] * (1 - share)
                expected[at - 1, at] += share
        _WEIGHTS[window] = (np.eye(_SAMPLED_CELLS) - expected).astype(np.float32)
    return _WEIGHTS[window][:length, 2:length]
