"""Length and hop of each series' windows, by globs over series' names. Pure, columnar.

Windows begin at multiples of the hop. In tumbling windows the hop is the length, and each reading is in one window. In
sliding windows the length is a multiple of the hop, and each reading is in ``length / hop`` windows.

A window is identified by its last hop, the interval of one hop that ends where the window ends: the windows of a series
have different ends. A reading is in the window whose last hop it is in, and in the following ones, so :func:`spread`
repeats it once for each. Watermarks, late readings and gaps then work with hops alone, as if they were tumbling
windows; only rows have the start and the length of the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.window_types import BoolArray, Shape, Shapes, WindowSettings
from edge_components.common.patterns import longest_match
from wire.model import IntArray

Milliseconds = int | IntArray
"""One number for all, or an array."""

_FIRST_SIZE = 64


@dataclass(frozen=True, slots=True)
class Spread:
    """Rows for each pair of a reading and a window that it is in.

    ``reading`` is the index of the reading, ``time_ms`` a time in the last hop of the window.
    """

    reading: npt.NDArray[np.intp]
    series_id: IntArray
    time_ms: IntArray


class WindowShapes:
    """Shapes by series id. Without globs every series has the default shape, and one number stands for all."""

    def __init__(self, length_ms: int, shapes: Shapes = ()) -> None:
        self._default = Shape(length_ms, length_ms)
        self._by_glob = dict(shapes)
        self._names: dict[int, str] = {}
        self._hop, self._overlap = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.sliding = False
        """True once a series has had sliding windows."""

    def assign(self, series_id: int, name: str) -> None:
        """Give a series id the shape of the series with this name."""
        self._names[series_id] = name
        if not self._by_glob:
            return
        glob = longest_match(name, self._by_glob)
        shape = self._default if glob is None else self._by_glob[glob]
        self.grow(series_id + 1)
        self._hop[series_id], self._overlap[series_id] = shape.hop_ms, shape.overlap
        self.sliding |= shape.overlap > 1

    def grow(self, size: int) -> None:
        """Extend the arrays to ``size`` series at least, with the default shape."""
        missing = size - len(self._hop)
        if missing > 0 and self._by_glob:
            extra = max(_FIRST_SIZE, len(self._hop), missing)
            self._hop = np.append(self._hop, np.full(extra, self._default.hop_ms))
            self._overlap = np.append(self._overlap, np.ones(extra, np.int64))

    @property
    def series(self) -> int:
        """Number of series ids that were assigned."""
        return len(self._names)

    def reconfigured(self, settings: WindowSettings) -> WindowShapes:
        """Return the shapes of the same series with other settings."""
        other = WindowShapes(settings.width_ms, settings.shapes)
        if (other._default, other._by_glob) == (self._default, self._by_glob):
            return self
        for series_id, name in self._names.items():
            other.assign(series_id, name)
        return other

    def changed(self, other: WindowShapes, size: int) -> BoolArray:
        """Return a mask of the first ``size`` series ids whose shape in ``other`` is another one."""
        hop, other_hop = (np.broadcast_to(one.hops(size), size) for one in (self, other))
        mask: BoolArray = (hop != other_hop) | (self._overlaps(size) != other._overlaps(size))
        return mask

    def hop(self, series_id: IntArray) -> Milliseconds:
        """Return the hop of each row's series."""
        return self._hop[series_id] if self._by_glob else self._default.hop_ms

    def hops(self, size: int) -> Milliseconds:
        """Return the hops of the first ``size`` series ids."""
        if not self._by_glob:
            return self._default.hop_ms
        self.grow(size)
        return self._hop[:size]

    def length(self, series_id: IntArray) -> Milliseconds:
        """Return the length of the windows of each row's series."""
        return self._hop[series_id] * self._overlap[series_id] if self._by_glob else self._default.length_ms

    def lead(self, series_id: IntArray) -> Milliseconds:
        """Return the time from the start of a window to its last hop, for each row's series; 0 in tumbling windows."""
        return self._hop[series_id] * (self._overlap[series_id] - 1) if self.sliding else 0

    def leads(self, size: int) -> Milliseconds:
        """Return :meth:`lead` of the first ``size`` series ids."""
        if not self.sliding:
            return 0
        self.grow(size)
        return self._hop[:size] * (self._overlap[:size] - 1)

    def spread(self, series_id: IntArray, time_ms: IntArray) -> Spread:
        """Repeat each reading for the windows that it is in; windows that begin before the epoch are left out."""
        overlap = self._overlap[series_id]
        reading = np.repeat(np.arange(len(series_id)), overlap)
        repetition = np.arange(len(reading)) - np.repeat(np.cumsum(overlap) - overlap, overlap)
        spread_id = series_id[reading]
        hop = self._hop[spread_id]
        spread_ms = time_ms[reading] + repetition * hop
        whole = spread_ms // hop >= self._overlap[spread_id] - 1
        return Spread(reading[whole], spread_id[whole], spread_ms[whole])

    def _overlaps(self, size: int) -> IntArray:
        if not self._by_glob:
            return np.ones(size, np.int64)
        self.grow(size)
        return self._overlap[:size]
