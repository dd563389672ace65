"""The rows that the wire benchmark runs on: seeded synthetic series, shifted ones, and real road sensors.

Readings are made first, one a second and rounded to the sensor's resolution; aggregates are computed from those
readings, and their scores by a plain z-score of the window's mean. Nothing is fitted to what a codec likes.
"""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wire.model import Aggregates, Readings, Series

START_MS = 1_750_000_000_000
WINDOW = 10
REAL = Path(__file__).parents[1] / ".." / "shared" / "data" / "nab" / "realTraffic"
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """A kind of sensor. In its unit: ``noise`` is the standard deviation, correlated over ``damping`` seconds (that of
    a transmitter, or of the process itself), and ``wander`` the change of the level in a second.
    """

    channel: str
    unit: str
    resolution: float
    level: float
    noise: float
    damping: float
    wander: float


# Noise of one to ten steps of the resolution, as in instruments whose last digit moves. Channels that depend on the
# load (current, flow, power) wander by some percent of their level over half an hour; slow ones (temperature, humidity,
# CO2) are damped over five to ten seconds.
KINDS = (
    Kind("temperature", "Cel", 0.1, 64.0, 0.15, 5.0, 0.06),
    Kind("pressure", "bar", 0.01, 5.2, 0.03, 2.0, 0.007),
    Kind("vibration", "mm/s", 0.01, 2.4, 0.08, 2.0, 0.01),
    Kind("current", "A", 0.01, 11.5, 0.06, 2.0, 0.015),
    Kind("humidity", "%RH", 0.1, 55.0, 0.2, 8.0, 0.05),
    Kind("level", "m", 0.001, 3.1, 0.005, 3.0, 0.0016),
    Kind("flow", "l/min", 0.1, 120.0, 0.6, 3.0, 0.2),
    Kind("voltage", "V", 0.1, 230.0, 0.35, 2.0, 0.1),
    Kind("power", "W", 1.0, 2600.0, 10.0, 3.0, 4.0),
    Kind("co2", "ppm", 1.0, 620.0, 3.0, 10.0, 1.0),
)
WARM_UP = 200
"""Windows before the first one of a workload, in which the score's averages settle."""


def readings_of(kind: Kind, rng: np.random.Generator, n: int, shifted: bool = False) -> Array:
    """Return ``n`` readings at 1 Hz: a level that wanders and slowly returns to its mean, with damped noise on top.

    Shifted: noise x4, drift x10, and a machine that switches on and off, with heavy tails (Student's t, 3).
    """
    noise, wander = kind.noise * rng.uniform(0.7, 1.4), kind.wander * rng.uniform(0.7, 1.4)
    if shifted:
        noise, wander = 4 * noise, 10 * wander
    kept = math.exp(-1 / kind.damping)
    steps = rng.normal(0.0, wander, n)
    shocks = rng.standard_t(3, n) / math.sqrt(3) if shifted else rng.normal(0.0, 1.0, n)
    shocks *= noise * math.sqrt(1 - kept**2)
    level, wandering, noisy = np.empty(n), 0.0, 0.0
    for at in range(n):
        wandering = 0.9995 * wandering + steps[at]
        noisy = kept * noisy + shocks[at]
        level[at] = wandering + noisy
    values = level + kind.level * rng.uniform(0.8, 1.2)
    if shifted and kind.channel in ("vibration", "current", "flow", "power"):
        values = np.where(_duty(rng, n), values, 0.0)
    rounded: Array = np.round(np.round(values / kind.resolution) * kind.resolution, 6)
    return rounded


def _readings(sensor: int, seed: int, n: int, shifted: bool) -> Array:
    """Return a sensor's readings; its noise and drift depend on the seed alone, so a longer run is of the same one."""
    return readings_of(KINDS[sensor % len(KINDS)], np.random.default_rng([seed, sensor]), n, shifted)


def _duty(rng: np.random.Generator, n: int) -> npt.NDArray[np.bool_]:
    on, at, state = np.zeros(n, dtype=bool), 0, bool(rng.integers(0, 2))
    while at < n:
        length = int(rng.integers(60, 600))
        on[at : at + length] = state
        at, state = at + length, not state
    return on


def directory(sensors: int) -> tuple[Series, ...]:
    """Return the series of ``sensors`` sensors, the kinds taking turns."""
    turns = len(KINDS)
    return tuple(
        Series(
            f"line-{i // turns + 1:02d}.{KINDS[i % turns].channel}", KINDS[i % turns].unit, KINDS[i % turns].resolution
        )
        for i in range(sensors)
    )


def aggregates(sensors: int, windows: int, seed: int, shifted: bool = False) -> Aggregates:
    """Return rows window by window, as an aggregator makes them; one reading in 500 is lost on the way."""
    n = (windows + WARM_UP) * WINDOW
    blocks = [_readings(i, seed, n, shifted).reshape(-1, WINDOW) for i in range(sensors)]
    rows = _aggregate(directory(sensors), blocks, WINDOW * 1000, np.random.default_rng(seed))
    return rows.take(np.flatnonzero(rows.start_ms >= START_MS + WARM_UP * WINDOW * 1000))


def _aggregate(series: Sequence[Series], blocks: Sequence[Array], width: int, rng: np.random.Generator) -> Aggregates:
    columns: dict[str, list[Array]] = {name: [] for name in ("count", "mean", "min", "max", "std", "score")}
    for block in blocks:
        kept = rng.random(block.shape) >= 0.002
        kept[:, 0] = True
        values = np.where(kept, block, np.nan)
        mean = np.nanmean(values, axis=1)
        for name, column in (
            ("count", kept.sum(axis=1)),
            ("mean", mean),
            ("min", np.nanmin(values, axis=1)),
            ("max", np.nanmax(values, axis=1)),
            ("std", np.nanstd(values, axis=1)),
            ("score", _scores(mean)),
        ):
            columns[name].append(column)
    windows, sensors = len(blocks[0]), len(blocks)

    def by_window(name: str) -> Array:
        return np.stack(columns[name]).T.reshape(-1)

    return Aggregates(
        tuple(series),
        np.tile(np.arange(sensors), windows),
        np.repeat(START_MS + width * np.arange(windows), sensors),
        np.full(windows * sensors, width, np.int64),
        by_window("count").astype(np.int64),
        by_window("mean"),
        by_window("min"),
        by_window("max"),
        by_window("std"),
        by_window("score"),
    )


def _scores(mean: Array) -> Array:
    """Return |z| of each mean against a slow average of those before it, 4 sigma being the alarm level of 1.0."""
    scores, centre, spread = np.zeros(len(mean)), float(mean[0]), 1e-9
    spread = float(np.abs(np.diff(mean[:30])).mean()) + 1e-9 if len(mean) > 1 else 1.0
    for at, value in enumerate(mean):
        away = abs(value - centre)
        scores[at] = away / (4 * 1.25 * spread)
        centre += 0.1 * (value - centre)
        spread += 0.02 * (away - spread)
    return scores


def raw_readings(sensors: int, n: int, seed: int, shifted: bool = False) -> Readings:
    """Return ``n`` readings of each sensor at 1 Hz, second by second."""
    values = np.stack([_readings(i, seed, n, shifted) for i in range(sensors)])
    return Readings(
        directory(sensors),
        np.tile(np.arange(sensors), n),
        np.repeat(START_MS + 1000 * np.arange(n), sensors),
        values.T.reshape(-1),
        np.zeros(n * sensors, np.uint8),
    )


def real_readings() -> Readings:
    """Return the road sensors' readings (uneven times, no unit, no known resolution) in the order of time."""
    series: list[Series] = []
    columns = []
    for path in sorted(REAL.glob("*.csv")):
        with path.open(newline="") as file:
            rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
        times = [datetime.datetime.fromisoformat(t).replace(tzinfo=datetime.UTC).timestamp() * 1000 for t, _ in rows]
        columns.append(np.array([np.full(len(rows), len(series)), times, [value for _, value in rows]]))
        series.append(Series(path.stem))
    if not series:
        raise FileNotFoundError(f"no CSV files in {REAL.resolve()}")
    table = np.concatenate(columns, axis=1)
    table = table[:, np.argsort(table[1], kind="stable")]
    index, times_ms = table[0].astype(np.int64), table[1].astype(np.int64)
    return Readings(tuple(series), index, times_ms, table[2], np.zeros(len(index), np.uint8))


def real_aggregates(width_readings: int = WINDOW) -> Aggregates:
    """Return windows of ten readings each of the road sensors."""
    readings = real_readings()
    blocks = []
    for at in range(len(readings.series)):
        values = readings.value[readings.series_index == at]
        blocks.append(values[: len(values) // width_readings * width_readings].reshape(-1, width_readings))
    windows = min(len(block) for block in blocks)
    rng = np.random.default_rng(0)
    return _aggregate(readings.series, [block[:windows] for block in blocks], 3_000_000, rng)
