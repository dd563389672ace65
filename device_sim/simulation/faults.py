"""Labelled faults: series, kind, interval and magnitude.

Pure. A fault changes a plant's values before the sensor quantises them; a reading that a dropout removes is NaN.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from device_sim.errors import PlantError
from device_sim.simulation.signals import Plant, noise_key, normals
from wire.model import FloatArray, IntArray


class FaultKind(StrEnum):
    """Kinds of faults of a sensor or of the measured machine."""

    SPIKE = "spike"
    DRIFT = "drift"
    STUCK = "stuck"
    STEP = "step"
    DROPOUT = "dropout"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Fault:
    """Label of a fault: the half-open interval [start_ms, end_ms) and the ``magnitude`` in the series' unit.

    The magnitude is the offset of a spike or step, the final offset of a drift, the standard deviation of noise, and 0
    for stuck and dropout. Raises PlantError for invalid values.
    """

    series: str
    kind: FaultKind
    start_ms: int
    end_ms: int
    magnitude: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.start_ms < self.end_ms:
            raise PlantError(f"fault on {self.series}: [{self.start_ms}, {self.end_ms}) ms is not an interval")
        if not math.isfinite(self.magnitude):
            raise PlantError(f"fault on {self.series}: magnitude {self.magnitude!r} is not finite")

    def shifted(self, origin_ms: int) -> Fault:
        """Return the fault with its times counted from another origin, such as the epoch."""
        return Fault(self.series, self.kind, self.start_ms + origin_ms, self.end_ms + origin_ms, self.magnitude)

    @property
    def machine(self) -> str:
        """The machine that the series belongs to."""
        return self.series.split(".", 1)[0]


def readings(plant: Plant, faults: Iterable[Fault], ticks: IntArray) -> FloatArray:
    """Return float64[series, n]: readings of the plant's sensors at the ticks; NaN for a missing reading.

    Raises PlantError for a fault on a series that the plant does not have.
    """
    values = plant.values(ticks)
    time_ms = plant.time_ms(ticks)
    rows = {series.name: row for row, series in enumerate(plant.series)}
    for fault in faults:
        if fault.series not in rows:
            raise PlantError(f"fault on {fault.series}: the plant has no such series")
        hit = (time_ms >= fault.start_ms) & (time_ms < fault.end_ms)
        if hit.any():
            row = rows[fault.series]
            values[row, hit] = _faulty(plant, fault, row, ticks[hit], time_ms[hit], values[row, hit])
    return plant.quantise(values)


def _faulty(plant: Plant, fault: Fault, row: int, ticks: IntArray, time_ms: IntArray, values: FloatArray) -> FloatArray:
    if fault.kind is FaultKind.DROPOUT:
        return np.full_like(values, np.nan)
    if fault.kind is FaultKind.STUCK:
        first = np.array([math.ceil(fault.start_ms * plant.rate_hz / 1000.0)], np.int64)
        return np.full_like(values, plant.values(first)[row, 0])
    if fault.kind is FaultKind.DRIFT:
        return values + fault.magnitude * (time_ms - fault.start_ms) / (fault.end_ms - fault.start_ms)
    if fault.kind is FaultKind.NOISE:
        # With the key of the series the fault would only scale the existing noise.
        return values + fault.magnitude * normals(noise_key(plant.seed, f"{fault.series}/fault"), ticks)
    return values + fault.magnitude


REST_SHARE = 0.42
"""Fraction of the run without faults at its beginning, for the calibration of detectors."""

_COUNT = 9
_SHARE = {
    FaultKind.SPIKE: 0.018,
    FaultKind.DRIFT: 0.20,
    FaultKind.STUCK: 0.15,
    FaultKind.STEP: 0.11,
    FaultKind.DROPOUT: 0.08,
    FaultKind.NOISE: 0.13,
}
"""Duration of a fault, as a fraction of the run."""

_SPREADS = {
    FaultKind.SPIKE: (7.0, 10.0),
    FaultKind.DRIFT: (5.0, 8.0),
    FaultKind.STEP: (4.0, 7.0),
    FaultKind.NOISE: (2.5, 4.0),
}
"""Magnitude of a fault, in standard deviations of the series."""


def schedule(plant: Plant, duration_s: float, seed: int, rest_share: float = REST_SHARE) -> tuple[Fault, ...]:
    """Return nine faults of all six kinds on nine series, after ``rest_share`` of the run and before its end.

    The same plant, duration and seed give the same faults. Raises PlantError for a plant or a run too small.
    """
    if len(plant.series) < _COUNT or duration_s < 10:
        raise PlantError(f"{len(plant.series)} series for {duration_s:g} s: at least {_COUNT} and 10 s")
    rng = random.Random(f"faults/{seed}")  # noqa: S311 # a simulation has to be repeatable
    kinds = list(FaultKind) + rng.sample(list(FaultKind), _COUNT - len(FaultKind))
    rng.shuffle(kinds)
    tick_ms = 1000.0 / plant.rate_hz
    faults = []
    for slot, (kind, row) in enumerate(zip(kinds, _rows(plant, rng), strict=True)):
        length_ms = max(4 * tick_ms, 1000.0 * duration_s * _SHARE[kind])
        first, last = 1000.0 * duration_s * rest_share, 1000.0 * duration_s * 0.96 - length_ms
        start_ms = first + (last - first) * (slot + rng.random()) / _COUNT
        magnitude = _magnitude(plant, kind, row, rng)
        faults.append(Fault(plant.series[row].name, kind, round(start_ms), round(start_ms + length_ms), magnitude))
    return tuple(sorted(faults, key=lambda fault: (fault.start_ms, fault.series)))


def _rows(plant: Plant, rng: random.Random) -> list[int]:
    """Return distinct series, one from each machine before a second from any."""
    left: dict[str, list[int]] = {}
    for row, series in enumerate(plant.series):
        left.setdefault(series.name.split(".", 1)[0], []).append(row)
    chosen: list[int] = []
    while len(chosen) < _COUNT:
        for machine in rng.sample(sorted(left), len(left)):
            if left[machine] and len(chosen) < _COUNT:
                chosen.append(left[machine].pop(rng.randrange(len(left[machine]))))
    return chosen


def _magnitude(plant: Plant, kind: FaultKind, row: int, rng: random.Random) -> float:
    if kind not in _SPREADS:
        return 0.0
    size = rng.uniform(*_SPREADS[kind]) * float(plant.spread()[row])
    if kind is FaultKind.NOISE:
        return size
    # In both directions with equal probability, if the channel can decrease by that much.
    lowest = float(plant.curves(np.arange(round(90 * plant.rate_hz)))[row].min())
    down = rng.random() < 0.5 and lowest - size > plant.channels[row].low
    return -size if down else size
