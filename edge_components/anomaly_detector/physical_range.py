"""Physical range of a series by its unit, for the expected values of reports. Pure.

Units are those of SenML (RFC 8428 and 8798). A series that has left the range before, such as the load of several
processors in percent of one, has no range.
"""

from __future__ import annotations

import math

import numpy as np

from edge_components.anomaly_detector.columns import FloatArray

PERCENT = (0.0, 100.0)
NOT_NEGATIVE = (0.0, math.inf)
_RANGES = {
    "/": (0.0, 1.0),
    **dict.fromkeys(("%", "%RH", "%EL"), PERCENT),
    **dict.fromkeys(("B", "KiB", "GB", "B/s", "bit/s", "Mbit/s", "1/s", "1/min", "count"), NOT_NEGATIVE),
    **dict.fromkeys(("K", "kg", "g", "lx", "Hz", "beat/min", "beats"), NOT_NEGATIVE),
}


def physical_range(unit: str, known: FloatArray) -> tuple[float, float]:
    """Return the range of a series with ``unit``; infinite where no range applies or a ``known`` value is outside."""
    low, high = _RANGES.get(unit, (-math.inf, math.inf))
    finite = known[np.isfinite(known)]
    if len(finite) and (finite.min() < low or finite.max() > high):
        return -math.inf, math.inf
    return low, high


def limited(value: float, limits: tuple[float, float]) -> float:
    """Return the value of the range that is nearest to ``value``, NaN for NaN."""
    return value if math.isnan(value) else min(max(value, limits[0]), limits[1])
