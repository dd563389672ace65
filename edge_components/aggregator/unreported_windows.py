"""Windows all of whose readings are within the deadband: they are closed without a row. Pure, columnar."""

from __future__ import annotations

import numpy as np

from edge_components.aggregator.window_types import Arrays, BoolArray
from wire.model import IntArray

_STORED = "unreported_key"


class UnreportedWindows:
    """Keys of the open windows without a reported reading, sorted."""

    def __init__(self) -> None:
        self._keys = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def observe(self, key: IntArray, within: BoolArray, open_keys: IntArray) -> None:
        """Record readings, by the key of their window, before they are added.

        ``within`` marks those within the deadband, ``open_keys`` has the windows that are open.
        """
        reported = np.unique(key[~within])
        self._keys = np.setdiff1d(self._keys, reported, assume_unique=True)
        new = np.setdiff1d(np.unique(key[within]), reported, assume_unique=True)
        self._keys = np.union1d(self._keys, np.setdiff1d(new, open_keys, assume_unique=True))

    def take(self, key: IntArray) -> BoolArray:
        """Remove windows that are closed, and return a mask of those without a reported reading."""
        mask = np.isin(key, self._keys)
        self._keys = np.setdiff1d(self._keys, key, assume_unique=True)
        return mask

    def clear(self) -> None:
        """Remove all windows."""
        self._keys = np.zeros(0, np.int64)

    def state(self) -> Arrays:
        """Return the arrays of a snapshot."""
        return {_STORED: self._keys}

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`state`; snapshots of earlier versions lack the array."""
        self._keys = arrays[_STORED].astype(np.int64) if _STORED in arrays else np.zeros(0, np.int64)
