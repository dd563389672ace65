"""Log of the readings that a device has served."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence

import numpy as np

from device_sim.simulation.ledger import ServedReadings
from wire.model import Series


class ServiceLog:
    """Readings that a device has served. May be used from several threads.

    A value that is served again with the same event time is the same reading, and is recorded once.
    """

    def __init__(self, series: Sequence[Series], *, stamped: bool) -> None:
        self._series, self._stamped = tuple(series), stamped
        self._lock = threading.Lock()
        self._time, self._value = [array("q") for _ in series], [array("d") for _ in series]
        self._bad = [array("b") for _ in series]
        self._closed = False

    def record(self, row: int, time_ms: int, value: float, *, bad: bool = False) -> None:
        """Record a reading of the series at this position; does nothing once the log is closed."""
        with self._lock:
            times = self._time[row]
            if self._closed or (self._stamped and times and times[-1] == time_ms):
                return
            times.append(time_ms)
            self._value[row].append(value)
            self._bad[row].append(bad)

    def close(self) -> None:
        """Record nothing more."""
        with self._lock:
            self._closed = True

    def __len__(self) -> int:
        return sum(len(times) for times in self._time)

    def readings(self) -> list[ServedReadings]:
        """Return the readings by series."""
        with self._lock:
            return [
                ServedReadings(
                    series,
                    np.array(self._time[row], np.int64),
                    np.array(self._value[row], np.float64),
                    np.array(self._bad[row], np.bool_),
                    self._stamped,
                )
                for row, series in enumerate(self._series)
            ]
