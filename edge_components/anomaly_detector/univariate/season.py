"""The seasonal expert: how far a window is from those at the same time on former days.

Pure. Values stand in a ring by their time slot, so missing windows shift nothing. The nearest value of the last
``DAYS`` days counts, one slot to either side: a day that is like any former one is not odd.
"""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray, IntArray

DAYS = 7
_BACK = np.arange(1, DAYS + 1)[:, None]


def ring_size(season: int) -> int:
    """Return how many slots must be kept for days of ``season`` windows."""
    return DAYS * season + 2 if season else 0


def put(ring: FloatArray, last: IntArray, slot: IntArray, value: FloatArray) -> None:
    """Write values [n] at their slots into the ring [n, size], and forget the slots passed over since ``last`` [n]."""
    size = ring.shape[1]
    for row in np.flatnonzero(slot - last > 1):
        passed = np.arange(max(last[row] + 1, slot[row] - size), slot[row])
        ring[row, passed % size] = np.nan
    ring[np.arange(len(ring)), slot % size] = value
    last[:] = slot


def distance(ring: FloatArray, slot: IntArray, value: FloatArray, season: int) -> tuple[FloatArray, FloatArray]:
    """Return how far values [n] are from the nearest at the same time on a former day, and that value; NaN if none."""
    back = (_BACK * season + np.array([-1, 0, 1])).ravel()
    former = ring[np.arange(len(ring))[:, None], (slot[:, None] - back) % ring.shape[1]]
    away = np.abs(former - value[:, None])
    away = np.where(np.isfinite(away), away, np.inf)
    nearest = away.argmin(axis=1)
    each = np.arange(len(ring))
    least = away[each, nearest]
    known = np.isfinite(least)
    return np.where(known, least, np.nan), np.where(known, former[each, nearest], np.nan)
