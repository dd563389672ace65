"""Default length of the calibration over a recorded table, and advice about it. Pure."""

from __future__ import annotations

import numpy as np

from edge_components.anomaly_detector.columns import IntArray
from strandline.errors import TableError
from strandline.recorded.offline import DAY_MS, SHORTEST

SHARE, FEWEST, MOST = 0.15, 120, 2000
"""Default: this share of the rows, within limits; the gateway allows at most 2000 windows."""
SEASON_ROWS = 24
"""Rows beyond a day that the comparison with previous days needs."""


def default_calibration(rows: int) -> int:
    """Return the number of rows for the calibration of a table; raises TableError for a table that is too short."""
    if rows < 2 * SHORTEST:
        raise TableError(f"{rows} rows: at least {2 * SHORTEST} are needed, half of them for the calibration")
    return max(SHORTEST, min(max(round(SHARE * rows), FEWEST), MOST, rows // 2))


def advice(time_ms: IntArray, calibrate: int) -> list[str]:
    """Return sentences about a calibration: what it must contain, and a length that covers a day."""
    found = ["the first rows must be normal operation: what they contain is normal for all others"]
    interval = float(np.median(np.diff(time_ms[: calibrate + 1]))) if len(time_ms) > 1 else 0.0
    day = round(DAY_MS / interval) if interval > 0 else 0
    needed = day + SEASON_ROWS
    if day >= 4 and calibrate < needed < len(time_ms) // 2:
        found.append(
            f"a day has {day:,} rows: with --calibrate {needed} or more, rows are compared with those of previous days"
        )
    return found
