"""What the next cell of a column is expected to be, from those before it in the same series.

A window says how: 0, nothing (always 0); 1 to 64, the mean of that many, a running one that forgets; 64 + k, the last
cell and k eighths of the last step on; 96 + 8 j + k (in the model only), from the last cell k eighths of the way to the
running mean of SLOW[j], or with k = 0 that mean itself. Everything is integer: expectations carry eight
fractional bits, and divisions round down, so that every platform expects the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from wire.varint import Signed

FRACTION = 8
HALF = 1 << (FRACTION - 1)
SLOPE = 64
STEEPEST = SLOPE + 16
BETWEEN = 96
SLOW = (3, 4, 6, 8, 12, 16, 24, 32)
_NAMED = 16
"""Bits that a window takes where each series has its own."""
_LOOK = 192
"""Cells of a series on which windows are tried."""


def allowed(window: int) -> bool:
    """Return whether a byte is a window."""
    return 0 <= window <= STEEPEST


def allowed_in_model(window: int) -> bool:
    """Return whether a byte is a window that the model knows."""
    return allowed(window) or BETWEEN <= window < BETWEEN + 8 * len(SLOW)


def apart(window: int) -> tuple[int, int]:
    """Return the running mean's window and the turn of a window above SLOPE.

    A turn above 0 is the share of the last step (with eight fractional bits) that is added to the last cell, one below
    0 says how many eighths of the way the expectation lies from the last cell towards the running mean.
    """
    if window < BETWEEN:
        return 0, (window - SLOPE) << (FRACTION - 3)
    return SLOW[(window - BETWEEN) >> 3], -((window - BETWEEN) & 7)


def residuals(cells: Signed, counts: Sequence[int], windows: Sequence[int]) -> Signed:
    """Return each cell less what was expected (rounded); the first cell of a series is expected to be 0.

    ``counts`` are the cells of each series, ``windows`` how each is expected. Wraps at 64 bits.
    """
    return _by_series(cells, counts, windows, _difference, _residuals)


def restore(left: Signed, counts: Sequence[int], windows: Sequence[int]) -> Signed:
    """Return the cells that gave the residuals."""
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
    """Return the number of 64 bits with the same lowest 64 bits."""
    return (value + 2**63) % 2**64 - 2**63


def _wrapped(values: list[int]) -> Signed:
    try:
        return np.array(values, np.int64)
    except OverflowError:
        return np.array([wrap(value) for value in values], np.int64)


def best_windows(cells: Signed, counts: Sequence[int], candidates: Sequence[int]) -> list[int]:
    """Return for each series the candidate that misses its first cells least (of equal ones the first).

    All get the same where that costs less than naming each.
    """
    rows = np.array(counts, np.int64)
    length = int(min(_LOOK, rows.max(initial=0)))
    if length < 3:
        return [candidates[0]] * len(counts)
    starts = np.cumsum(rows) - rows
    at = starts[:, None] + np.minimum(np.arange(length), np.maximum(rows - 1, 0)[:, None])
    # Relative to the first cell: the sums stay small. Beyond a series' end its last cell stands, for all candidates.
    # Single precision will do: what is chosen here says how many bytes are sent, not which rows.
    wide = cells[np.minimum(at, len(cells) - 1)].astype(np.float64)
    grid = (wide - cells[np.minimum(starts, len(cells) - 1), None]).astype(np.float32)
    half = np.float32(0.5)
    missed = [np.log2(np.abs(grid @ _weights(window, length)) + half).sum(axis=1) for window in candidates]
    bits = np.array(missed, np.float64) * (rows / length)
    common = int(np.argmin(bits.sum(axis=1)))
    # The least of many is so by chance in part: another window than the common one must show that it is better.
    better = bits.min(axis=0) + _NAMED < bits[common]
    return [candidates[best] for best in np.where(better, np.argmin(bits, axis=0), common)]


_WEIGHTS: dict[int, npt.NDArray[np.float32]] = {}


def _weights(window: int, length: int) -> npt.NDArray[np.float32]:
    """Return the matrix that turns cells into residuals, those of the first two left out.

    It is so approximately: each expectation is linear in the cells before.
    """
    if window not in _WEIGHTS:
        expected, running = np.zeros((_LOOK, _LOOK)), np.zeros(_LOOK)
        for at in range(1, _LOOK):
            if window >= BETWEEN:
                slow, turn = apart(window)
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
        _WEIGHTS[window] = (np.eye(_LOOK) - expected).astype(np.float32)
    return _WEIGHTS[window][:length, 2:length]
