"""Recently emitted windows, which late readings can still correct. Pure, columnar.

Windows are kept in the order in which they were closed, and the oldest are discarded first: beyond MAX_WINDOWS, and
when the deduplicator discards the hashes of their readings, since a repeated reading could then count twice. A window
that is removed is added to the emitted ranges (emitted_ranges.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_components.aggregator.open_windows import QUALITIES, LateWindows
from edge_components.aggregator.window_types import Arrays, BoolArray, imported
from wire.model import IntArray

MAX_WINDOWS = 65_536
"""Maximum number of windows (6 MB)."""

_MAX_PARTS = 64
_STORED = {
    "closed_window_key": "key",
    "closed_window_count": "count",
    "closed_window_mean": "mean",
    "closed_window_m2": "m2",
    "closed_window_min": "min",
    "closed_window_max": "max",
    "closed_window_uncertain": "uncertain",
    "closed_window_bad": "bad",
    "closed_window_revision": "revision",
    "closed_window_tag": "tag",
}


class ClosedWindows:
    """Blocks of windows, each sorted by key, in the order in which they were closed."""

    def __init__(self) -> None:
        self._blocks: list[LateWindows] = []
        self._parts: list[LateWindows] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def keys(self) -> IntArray:
        """Keys of the windows."""
        parts = [block.key for block in (*self._blocks, *self._parts)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def add(self, windows: LateWindows) -> None:
        """Add windows that were closed now."""
        self._parts.append(windows)
        self._size += len(windows.key)
        if len(self._parts) >= _MAX_PARTS:
            self._settle()

    def remove_excess(self) -> LateWindows | None:
        """Remove and return the oldest windows beyond the limit, None without any."""
        if self._size <= MAX_WINDOWS:
            return None
        self._settle()
        removed = []
        while self._size > MAX_WINDOWS:
            removed.append(self._blocks.pop(0))
            self._size -= len(removed[-1].key)
        return _joined(removed)

    def take(self, keys: IntArray) -> LateWindows:
        """Remove and return the windows with these keys, which are sorted; those that are not kept are left out."""
        self._settle()
        found = []
        for at, block in enumerate(self._blocks):
            position = np.minimum(np.searchsorted(keys, block.key), len(keys) - 1)
            which = keys[position] == block.key
            if which.any():
                found.append(self._split(at, which))
        self._blocks = [block for block in self._blocks if len(block.key)]
        return _joined(found) if found else LateWindows.empty()

    def take_tagged(self, tag: int) -> LateWindows:
        """Remove and return the windows of this tag and older ones."""
        self._settle()
        found = [self._split(at, block.tag <= tag) for at, block in enumerate(self._blocks)]
        self._blocks = [block for block in self._blocks if len(block.key)]
        return _joined(found) if found else LateWindows.empty()

    def take_series(self, which: BoolArray) -> LateWindows:
        """Remove and return the windows of some series; ``which`` is a mask by series id."""
        self._settle()
        found = []
        for at, block in enumerate(self._blocks):
            chosen = block.of_series(which)
            if chosen.any():
                found.append(self._split(at, chosen))
        self._blocks = [block for block in self._blocks if len(block.key)]
        return _joined(found) if found else LateWindows.empty()

    def rescale(self, which: BoolArray, factor: float, offset: float) -> None:
        """Convert the values of some series to another unit; ``which`` is a mask by series id."""
        self._settle()
        for block in self._blocks:
            block.rescale(block.of_series(which), factor, offset)

    def remove_series(self, series_id: int) -> None:
        """Remove the windows of a series."""
        which = np.zeros(series_id + 1, np.bool_)
        which[series_id] = True
        self.take_series(which)

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        self._settle()
        whole = _concatenated(self._blocks)
        sizes = np.array([len(block.key) for block in self._blocks], np.int64)
        return {stored: getattr(whole, name) for stored, name in _STORED.items()} | {"closed_window_blocks": sizes}

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`; raises KeyError or ValueError for other arrays."""
        whole = LateWindows.empty()
        imported(whole, _STORED, arrays, QUALITIES)
        rows = len(whole.key)
        whole.touched_ms, whole.added = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        ends = np.cumsum(arrays["closed_window_blocks"].astype(np.int64)).tolist()
        if (ends[-1] if ends else 0) != rows:
            raise ValueError(f"closed windows: {rows} rows in blocks that end at {ends[-1:]}")
        starts = [0, *ends][: len(ends)]
        self._blocks = [whole.take_slice(start, end) for start, end in zip(starts, ends, strict=True)]
        self._parts, self._size = [], rows

    def _split(self, at: int, which: BoolArray) -> LateWindows:
        """Remove the selected windows from a block and return them."""
        taken = self._blocks[at].take(which)
        self._size -= len(taken.key)
        return taken

    def _settle(self) -> None:
        """Make a block of the parts that were added since the last call."""
        if self._parts:
            self._blocks.append(_joined(self._parts))
            self._parts = []
        if len(self._blocks) > 2 * _MAX_PARTS:
            pairs = range(0, len(self._blocks), 2)
            self._blocks = [_joined(self._blocks[at : at + 2]) for at in pairs]


def _joined(blocks: Sequence[LateWindows]) -> LateWindows:
    """Return one block of several, sorted by key."""
    whole = _concatenated(blocks)
    return whole.select(np.argsort(whole.key, kind="stable"))


def _concatenated(blocks: Sequence[LateWindows]) -> LateWindows:
    if not blocks:
        return LateWindows.empty()
    return LateWindows(*(np.concatenate([getattr(one, name) for one in blocks]) for name in LateWindows.COLUMNS))
