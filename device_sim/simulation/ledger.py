"""Ground truth of the simulated sensors: the readings sent to the broker, and the readings served by devices.

Pure. A sensor that publishes decides when a reading is sent, so its readings are counted by series and window. A device
that is polled or sampled does not; each value that it served is recorded, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wire.model import FloatArray, IntArray, Series


class Ledger:
    """Number of readings sent, by series and epoch-aligned window of ``width_ms``.

    One thread records; another one may ask for the length at the same time.
    """

    def __init__(self, series: Sequence[Series], width_ms: int) -> None:
        self.series, self.width_ms = tuple(series), width_ms
        self._windows: dict[int, IntArray] = {}
        self._number = 0

    def record(self, rows: npt.NDArray[np.intp], time_ms: int) -> None:
        """Record one reading for each of these distinct rows at this time."""
        start = time_ms - time_ms % self.width_ms
        self._windows.setdefault(start, np.zeros(len(self.series), np.int64))[rows] += 1
        self._number += len(rows)

    def __len__(self) -> int:
        return self._number

    def counts(self) -> dict[tuple[str, int], int]:
        """Return the readings sent by (series, start of the window), without empty windows."""
        return {
            (self.series[row].name, start): int(counts[row])
            for start, counts in self._windows.items()
            for row in np.flatnonzero(counts).tolist()
        }


@dataclass(frozen=True, slots=True, eq=False)
class ServedReadings:
    """Readings of one series in the order in which they were served: ``time_ms`` int64[n], ``value`` float64[n].

    ``bad`` bool[n] marks readings that the sensor reader has to store with quality bad. If ``stamped``, ``time_ms`` is
    the event time that the device sent with the value; otherwise it is when the value was served, and the sensor reader
    takes its time of arrival, which is not earlier.
    """

    series: Series
    time_ms: IntArray
    value: FloatArray
    bad: npt.NDArray[np.bool_]
    stamped: bool
