"""Proof that the cloud stored each reading that a polled or sampled device served, once and with its value.

Pure. The readings of a series are stored in the order in which they were served. So the counts of the stored windows
cut the device's log into runs, one for each window, and each window must have minimum, maximum and mean of its run. The
event times that a device sends must lie in their window; a reading without one is stored with its time of arrival, so
its window must not end before the reading was served.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from device_sim.demo.proof import EXAMPLES, STEPS, CountProof, close
from device_sim.simulation.ledger import ServedReadings
from wire.model import Aggregates


def compare_served(served: Iterable[ServedReadings], stored: Aggregates) -> CountProof:
    """Compare the stored rows of these series with the readings served.

    ``windows_over`` and ``windows_under`` of the result are numbers of series with more or fewer readings than served.
    """
    proof = CountProof(0, 0, 0, 0, 0)
    for readings in served:
        proof += _compare(readings, stored)
    return proof


def _compare(readings: ServedReadings, stored: Aggregates) -> CountProof:
    rows = _rows(readings.series.name, stored)
    sent, count = len(readings.value), int(rows.count.sum()) + int(rows.bad.sum())
    bad, stored_bad = int(readings.bad.sum()), int(rows.bad.sum())
    over, under = count > sent or stored_bad > bad, count < sent or stored_bad < bad
    if over or under:
        name = readings.series.name
        example = f"{name}: served {sent}, {bad} with quality bad; stored {count}, {stored_bad} with quality bad"
        return CountProof(sent, count, 0, int(over), int(under), (example,))
    wrong = np.flatnonzero(_different(readings, rows))
    examples = [
        f"{readings.series.name} at {rows.start_ms[i]}: count {rows.count[i]}, mean {rows.mean[i]:g}, min"
        f" {rows.min[i]:g}, max {rows.max[i]:g}; other values were served"
        for i in wrong[:EXAMPLES].tolist()
    ]
    return CountProof(sent, count, 0, 0, 0, tuple(examples), len(wrong))


def _rows(name: str, stored: Aggregates) -> Aggregates:
    """Return the rows of a series that count a reading, by start."""
    at = [index for index, series in enumerate(stored.series) if series.name == name]
    rows = np.flatnonzero(np.isin(stored.series_index, at) & (stored.count + stored.bad > 0))
    return stored.take(rows[np.argsort(stored.start_ms[rows], kind="stable")])


def _different(readings: ServedReadings, rows: Aggregates) -> npt.NDArray[np.bool_]:
    """Return bool[n]: whether a window differs from its run of the readings served."""
    rows = rows.take(np.flatnonzero(rows.count))
    wrong = np.zeros(len(rows), np.bool_)
    if not len(rows):
        return wrong
    good = ~readings.bad
    value, time_ms = readings.value[good], readings.time_ms[good]
    first = np.cumsum(rows.count) - rows.count
    last = first + rows.count - 1
    expected = {
        "min": np.minimum.reduceat(value, first),
        "max": np.maximum.reduceat(value, first),
        "mean": np.add.reduceat(value, first) / rows.count,
    }
    step = readings.series.resolution or 0.0
    for name, steps in STEPS.items():
        wrong |= ~close(expected[name], getattr(rows, name), np.full(len(rows), steps * step))
    wrong |= time_ms[last] >= rows.start_ms + rows.width_ms
    if readings.stamped:
        wrong |= time_ms[first] < rows.start_ms
    return wrong
