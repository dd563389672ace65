"""Signals of simulated sensors: machines as curves over time, with each channel's own noise and resolution.

Pure. A reading is a function of (seed, series, tick), so a run does not depend on the chunks in which it is computed.
Columns are ``float64[channels, ticks]``.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import numpy as np
import numpy.typing as npt

from device_sim.errors import PlantError
from wire.model import FloatArray, IntArray, Series

U64Array = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Channel:
    """Channel of a sensor: ``resolution`` is its smallest step and ``noise`` its standard deviation, in ``unit``.

    ``low`` is its lower bound (a level is never negative).
    """

    name: str
    unit: str
    resolution: float
    noise: float
    low: float = -math.inf

    def quantise(self, values: FloatArray) -> FloatArray:
        """Return the values as reported by the sensor: multiples of the resolution, not below ``low``."""
        digits = max(0, -int(Decimal(str(self.resolution)).as_tuple().exponent))
        steps = np.round(np.maximum(values, self.low) / self.resolution)
        # Adding 0.0 turns -0.0 into 0.0.
        return np.asarray(np.round(steps * self.resolution, digits) + 0.0, np.float64)


class Machine(Protocol):
    """A machine with sensors on it."""

    @property
    def name(self) -> str:
        """Name of the machine, the first part of its series' names."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Its sensors."""

    def curves(self, seconds: FloatArray) -> FloatArray:
        """Return float64[channels, n]: the values of its channels at the n times, without noise."""


def machine_series(machine: Machine) -> tuple[Series, ...]:
    """Return the series of a machine's channels, named ``<machine>.<channel>``."""
    return tuple(Series(f"{machine.name}.{c.name}", c.unit, c.resolution) for c in machine.channels)


class Load:
    """A slow demand of about -1 to 1: a sum of tones, so that it is a function of time and its lag is exact."""

    def __init__(self, rng: random.Random, periods: Sequence[float]) -> None:
        weights = [rng.uniform(0.6, 1.0) for _ in periods]
        self._amplitude = np.array(weights) / sum(weights)
        self._omega = 2 * math.pi / (np.array(periods) * [rng.uniform(0.9, 1.1) for _ in periods])
        self._phase = np.array([rng.uniform(0, 2 * math.pi) for _ in periods])

    def at(self, seconds: FloatArray, lag: float = 0.0) -> FloatArray:
        """Return the demand, as seen through a first-order lag with the time constant ``lag`` in seconds."""
        gain = self._amplitude / np.sqrt(1 + (self._omega * lag) ** 2)
        phase = self._phase - np.arctan(self._omega * lag)
        return np.asarray(gain @ np.sin(np.outer(self._omega, seconds) + phase[:, None]), np.float64)


def _rng(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}/{name}")  # noqa: S311 # a simulation has to be repeatable


class Pump:
    """A pump whose temperature, pressure, vibration and current all follow one load; its casing warms with a lag."""

    channels = (
        Channel("temperature", "Cel", 0.01, 0.05),
        Channel("pressure", "hPa", 1.0, 8.0, low=0.0),
        Channel("vibration", "mm/s", 0.001, 0.03, low=0.0),
        Channel("current", "A", 0.01, 0.06, low=0.0),
    )

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        rng = _rng(seed, name)
        self._load = Load(rng, (310.0, 530.0, 1130.0))
        self._base = [rng.uniform(44, 52), rng.uniform(3900, 4500), rng.uniform(2.0, 2.8), rng.uniform(10, 13)]

    def curves(self, seconds: FloatArray) -> FloatArray:
        """See :class:`Machine`."""
        load = self._load.at(seconds)
        temperature, pressure, vibration, current = self._base
        return np.stack(
            [
                temperature + 5.0 * self._load.at(seconds, lag=90.0),
                pressure + 260.0 * load,
                vibration + 0.45 * load + 0.2 * load**2,
                current + 2.1 * load,
            ]
        )


class ColdRoom:
    """A cold room whose compressor runs a part of each cycle: temperature falls while it draws power, then rises."""

    channels = (Channel("temperature", "Cel", 0.01, 0.04), Channel("power", "W", 1.0, 6.0, low=0.0))

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        rng = _rng(seed, name)
        self._period, self._duty, self._offset = rng.uniform(420, 600), rng.uniform(0.38, 0.5), rng.random()
        self._cold, self._warm = rng.uniform(-20.5, -19.5), rng.uniform(-17.5, -16.5)
        self._idle, self._running = rng.uniform(60, 90), rng.uniform(1350, 1550)

    def curves(self, seconds: FloatArray) -> FloatArray:
        """See :class:`Machine`."""
        phase = (seconds / self._period + self._offset) % 1.0
        cooling = phase < self._duty
        progress = np.where(cooling, phase / self._duty, (phase - self._duty) / (1 - self._duty))
        bent = (1 - np.exp(-1.5 * progress)) / (1 - math.exp(-1.5))
        span = self._warm - self._cold
        temperature = np.where(cooling, self._warm - span * bent, self._cold + span * bent)
        power = np.where(cooling, self._running - 120.0 * progress, self._idle)
        return np.stack([temperature, power])


class Tank:
    """A tank that is drawn from all the time and filled a part of each cycle."""

    channels = (Channel("level", "m", 0.001, 0.004, low=0.0), Channel("inflow", "l/s", 0.01, 0.05, low=0.0))

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        rng = _rng(seed, name)
        self._period, self._duty, self._offset = rng.uniform(700, 1000), rng.uniform(0.4, 0.6), rng.random()
        self._low, self._high = rng.uniform(1.0, 1.2), rng.uniform(2.6, 3.0)
        self._inflow = rng.uniform(7, 9)

    def curves(self, seconds: FloatArray) -> FloatArray:
        """See :class:`Machine`."""
        phase = (seconds / self._period + self._offset) % 1.0
        filling = phase < self._duty
        progress = np.where(filling, phase / self._duty, (1 - phase) / (1 - self._duty))
        return np.stack([self._low + (self._high - self._low) * progress, np.where(filling, self._inflow, 0.1)])


class PowerMeter:
    """A three-phase feeder's meter: power follows a load, voltage sags a little with it."""

    channels = (
        Channel("voltage", "V", 0.1, 0.25, low=0.0),
        Channel("current", "A", 0.01, 0.15, low=0.0),
        Channel("power", "W", 1.0, 40.0, low=0.0),
        Channel("frequency", "Hz", 0.001, 0.003, low=0.0),
    )

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        rng = _rng(seed, name)
        self._load, self._grid = Load(rng, (280.0, 470.0, 900.0)), Load(rng, (350.0, 640.0))

    def curves(self, seconds: FloatArray) -> FloatArray:
        """See :class:`Machine`."""
        load = self._load.at(seconds)
        voltage = 231.0 - 0.9 * load + 0.8 * self._grid.at(seconds, lag=60.0)
        current = 24.0 + 6.0 * load
        return np.stack([voltage, current, 3 * 0.92 * voltage * current, 50.0 + 0.015 * self._grid.at(seconds)])


class Plant:
    """All machines of a site, read ``rate_hz`` times a second by their sensors.

    ``speed`` is the factor by which the machines are faster than real time (a demo shows hours in minutes); noise and
    rate do not change. Series are named ``<machine>.<channel>``. Raises PlantError for invalid values.
    """

    def __init__(self, machines: Sequence[Machine], seed: int, rate_hz: float, speed: float = 1.0) -> None:
        for name, value in (("rate_hz", rate_hz), ("speed", speed)):
            if not (math.isfinite(value) and 0 < value <= 1000):
                raise PlantError(f"{name} {value!r}: a number above 0, at most 1000")
        self.machines, self.seed, self.rate_hz, self.speed = tuple(machines), seed, rate_hz, speed
        self.channels = tuple(channel for machine in machines for channel in machine.channels)
        self.series = tuple(series for machine in machines for series in machine_series(machine))
        names = [series.name for series in self.series]
        if len(set(names)) < len(names):
            raise PlantError(f"two machines share a series name: {sorted(n for n in names if names.count(n) > 1)}")
        self._keys = [noise_key(seed, name) for name in names]

    def time_ms(self, ticks: IntArray) -> IntArray:
        """Return int64[n]: milliseconds from the start of the run to each tick."""
        return np.asarray(np.round(ticks * (1000.0 / self.rate_hz)), np.int64)

    def curves(self, ticks: IntArray) -> FloatArray:
        """Return float64[series, n] without noise and not quantised."""
        seconds = ticks * (self.speed / self.rate_hz)
        return np.concatenate([machine.curves(seconds) for machine in self.machines])

    def values(self, ticks: IntArray) -> FloatArray:
        """Return float64[series, n] with noise and not yet quantised: faults are added before that."""
        values = self.curves(ticks)
        for row, (channel, key) in enumerate(zip(self.channels, self._keys, strict=True)):
            values[row] += channel.noise * normals(key, ticks)
        return values

    def quantise(self, values: FloatArray) -> FloatArray:
        """Return float64[series, n] as reported by the sensors; NaN stays NaN."""
        return np.stack([channel.quantise(row) for channel, row in zip(self.channels, values, strict=True)])

    def spread(self, seconds: float = 90.0) -> FloatArray:
        """Return float64[series]: each series' standard deviation over the first ``seconds`` of a run without fault."""
        return np.asarray(np.std(self.values(np.arange(max(2, round(seconds * self.rate_hz)))), axis=1), np.float64)


def demo_plant(seed: int, rate_hz: float = 5.0, speed: float = 60.0) -> Plant:
    """Return the demo's plant: 24 sensors on three pumps, two cold rooms, two tanks and a power meter."""
    machines: list[Machine] = [Pump(f"pump-{n}", seed) for n in (1, 2, 3)]
    machines += [ColdRoom(f"coldroom-{n}", seed) for n in (1, 2)]
    machines += [Tank(f"tank-{n}", seed) for n in (1, 2)]
    machines.append(PowerMeter("meter-1", seed))
    return Plant(machines, seed, rate_hz, speed)


def normals(key: int, index: IntArray) -> FloatArray:
    """Return a standard normal number for each index: SplitMix64 (Steele et al. 2014), then Box-Muller."""
    counter = np.asarray(index, np.uint64) * np.uint64(2) + np.array(key, np.uint64)
    radius = np.sqrt(-2.0 * np.log(_uniform(counter)))
    return np.asarray(radius * np.cos(2.0 * math.pi * _uniform(counter + np.uint64(1))), np.float64)


def _uniform(counter: U64Array) -> FloatArray:
    """Return numbers in (0, 1] from SplitMix64's counters."""
    with np.errstate(over="ignore"):
        x = np.atleast_1d(counter) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return np.asarray(((x >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53, np.float64)


def noise_key(seed: int, name: str) -> int:
    """Return the key of a noise stream of its own."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
