"""Generated series for the detection benchmark, of kinds that the public sets at hand do not have.

``spikes`` and ``changes`` are hourly, with fixed cycles; a ``server`` has a metric every five minutes, with jobs,
bursts and a daily swing; ``demand`` is a count every half hour, with a weekly cycle and holidays. Seeded; nothing in
them is from a recording.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Random = np.random.Generator
Events = list[tuple[int, int]]

HOUR_MS = 3_600_000
SEASONAL_ROWS, SEASONAL_CALIBRATION = 1_680, 420
SPIKE_ROWS, CHANGE_ROWS = 3, 48
"""Rows from the beginning of a spike or a change in which an alarm counts."""
SERVER_ROWS, SERVER_CALIBRATION, SERVER_DAY = 4_032, 600, 288
SERVER_EVENT_ROWS = 110
"""Rows from the beginning of a server's anomaly in which an alarm counts, if it lasts longer."""
DEMAND_ROWS, DEMAND_CALIBRATION, DEMAND_DAY = 3_360, 750, 48


@dataclass(frozen=True, slots=True)
class Generated:
    """A series: ``values`` [rows], the milliseconds between rows, the rows of the calibration, and the ``events`` after
    it, both ends included."""

    values: FloatArray
    step_ms: int
    calibrate: int
    events: Events


def seasonal(rng: Random, kind: str) -> Generated:
    """Return an hourly series with cycles of half a day, a day and a week, and ``spikes`` or ``changes``.

    Spikes are anywhere, so most calibrations have some. At a change point the level, the slope or the size of the
    cycles changes for good.
    """
    at = np.arange(SEASONAL_ROWS)
    noise = rng.uniform(0.02, 0.15) * np.ones(SEASONAL_ROWS)
    sizes = {period: rng.uniform(0.3, 1.5) * np.ones(SEASONAL_ROWS) for period in (12, 24, 168)}
    level = rng.normal(0, 3.0) + np.cumsum(np.full(SEASONAL_ROWS, rng.normal(0, 1e-3)))
    events: Events = []
    if kind == "changes":
        for row in _apart(rng, int(rng.integers(2, 5)), 100, SEASONAL_ROWS - CHANGE_ROWS, SEASONAL_ROWS // 8):
            what = rng.integers(0, 3)
            if what == 0:
                level[row:] += rng.choice([-1, 1]) * rng.uniform(1.0, 4.0)
            elif what == 1:
                level[row:] += rng.choice([-1, 1]) * rng.uniform(0.01, 0.05) * np.arange(SEASONAL_ROWS - row)
            else:
                period = int(rng.choice([12, 24]))
                sizes[period][row:] *= rng.choice([rng.uniform(0.2, 0.5), rng.uniform(2.0, 3.0)])
            events.append((row, min(row + CHANGE_ROWS, SEASONAL_ROWS) - 1))
    values = level + noise * rng.normal(size=SEASONAL_ROWS)
    for period, size in sizes.items():
        values += size * np.sin(2 * np.pi * (at / period + rng.random()))
    if kind == "spikes":
        for row in _apart(rng, int(rng.integers(4, 12)), 100, SEASONAL_ROWS - CHANGE_ROWS, 12):
            values[row] += rng.choice([-1, 1]) * rng.uniform(10.0, 40.0) * noise[row]
            events.append((row, min(row + SPIKE_ROWS, SEASONAL_ROWS) - 1))
    scored = [event for event in events if event[0] >= SEASONAL_CALIBRATION]
    scale = float(np.exp(rng.uniform(0, 7)))
    return Generated(scale * values, HOUR_MS, SEASONAL_CALIBRATION, scored)


def server(rng: Random) -> Generated:
    """Return a metric of a server, such as its load, traffic, disk writes or latency, and its anomalies."""
    at = np.arange(SERVER_ROWS)
    base = np.full(SERVER_ROWS, np.exp(rng.uniform(0, 6)))
    unit = base[0]
    base *= 1.0 + rng.choice([0.0, rng.uniform(0.05, 0.6)]) * np.sin(2 * np.pi * (at / SERVER_DAY + rng.random()))
    width = rng.choice([rng.uniform(0.005, 0.03), rng.uniform(0.05, 0.3)]) * np.ones(SERVER_ROWS)
    rate = rng.choice([0.0, rng.uniform(0.5, 15.0) / SERVER_DAY]) * np.ones(SERVER_ROWS)
    jobs = np.ones(SERVER_ROWS, np.bool_)
    period = int(rng.choice([12, 36, 72, 144, 288]))
    job = rng.choice([0.0, rng.uniform(0.3, 3.0)])
    burst, spikes = rng.uniform(0.3, 2.0), np.zeros(SERVER_ROWS)
    events: Events = []
    for first in _apart(rng, int(rng.integers(1, 4)), SERVER_CALIBRATION + 150, SERVER_ROWS - 200, 500):
        kinds = ["level", "spike", "drop", "noise"] + ["bursts"] * int(rate.max() > 0) + ["jobs"] * int(job > 0)
        kind, length = rng.choice(kinds), int(rng.integers(60, 400))
        rows = slice(first, first + length)
        if kind == "level":
            rows = slice(first, rng.choice([first + length, SERVER_ROWS]))
            base[rows] += unit * rng.choice([rng.uniform(0.5, 3.0), -rng.uniform(0.4, 0.8)])
        elif kind == "spike":
            length = int(rng.integers(1, 4))
            spikes[first : first + length] = unit * (burst * (rate.max() > 0) + job) * rng.uniform(2.0, 5.0) + unit
        elif kind == "drop":
            length = int(rng.integers(6, 60))
            base[first : first + length] *= rng.uniform(0.0, 0.15)
        elif kind == "noise":
            width[rows] *= rng.uniform(3.0, 6.0)
        elif kind == "bursts":
            rate[rows] *= rng.uniform(6.0, 12.0)
        else:
            length = max(length, 4 * period)
            jobs[first : first + length] = False
        late = period if kind == "jobs" else 0
        events.append((first, first + late + min(length + 10, SERVER_EVENT_ROWS)))
    values = base + unit * width * rng.normal(size=SERVER_ROWS)
    begins = rng.random(SERVER_ROWS) < rate
    values += unit * burst * _decaying(begins * rng.exponential(size=SERVER_ROWS), rng.uniform(0.0, 0.7))
    runs = (at % period == int(rng.integers(period))) & (rng.random(SERVER_ROWS) < 0.98) & jobs
    values += unit * job * _decaying(runs * rng.uniform(0.9, 1.1, SERVER_ROWS), rng.uniform(0.0, 0.6))
    values = np.maximum(values + spikes, 0.0)
    digits = int(rng.integers(0, 4))
    values = np.round(values, digits if unit > 20 else max(digits, 2))
    return Generated(values, HOUR_MS // 12, SERVER_CALIBRATION, events)


def demand(rng: Random) -> Generated:
    """Return counts with a daily and weekly cycle, and days that are anomalies: holidays, which are like a Sunday,
    days with little demand, and peaks at an unusual time."""
    at = np.arange(DEMAND_ROWS)
    day, hour = at // DEMAND_DAY, at % DEMAND_DAY / 2.0
    first_weekday = int(rng.integers(7))
    weekday = (day + first_weekday) % 7
    noise = rng.uniform(0.02, 0.06)
    events: Events = []
    like, factor, peak = weekday.copy(), np.ones(DEMAND_ROWS), np.zeros(DEMAND_ROWS)
    first_day, last_day = DEMAND_CALIBRATION // DEMAND_DAY + 2, DEMAND_ROWS // DEMAND_DAY - 2
    for first in _apart(rng, int(rng.integers(2, 5)), first_day, last_day, 5):
        rows = day == first
        kind = rng.integers(3)
        if kind == 0 and weekday[first * DEMAND_DAY] < 5:
            like[rows] = 6
        elif kind == 1:
            factor[rows] = rng.uniform(0.3, 0.7)
        else:
            peak += rng.uniform(0.4, 1.0) * np.exp(-np.square((at - first * DEMAND_DAY - rng.uniform(0, 16)) / 4.0) / 2)
        events.append((first * DEMAND_DAY - 4, (first + 1) * DEMAND_DAY + 3))
    work = np.exp(-np.square((hour - 8.5) / 2.0) / 2) + 1.2 * np.exp(-np.square((hour - 18.5) / 3.0) / 2)
    leisure = np.exp(-np.square((hour - 14.0) / 4.0) / 2) + 0.6 * np.exp(-np.square((hour - 22.0) / 2.0) / 2)
    night = np.exp(-np.square((hour - 1.0) / 2.0) / 2)
    shape = np.where(like < 5, work + 0.3 * leisure, 0.3 * work + leisure)
    shape = shape + np.isin(like, (5, 6)) * rng.uniform(0.3, 0.8) * night + 0.15 + 0.1 * np.sin(weekday)
    slow = 1.0 + 0.1 * np.sin(2 * np.pi * (at / DEMAND_ROWS + rng.random()))
    mean = np.exp(rng.uniform(4, 10)) * slow * (shape * factor + peak)
    drawn = rng.poisson(mean * np.exp(noise * _smooth(rng.normal(size=DEMAND_ROWS))))
    return Generated(drawn.astype(np.float64), HOUR_MS // 2, DEMAND_CALIBRATION, events)


def _apart(rng: Random, count: int, low: int, high: int, least: int) -> list[int]:
    """Return sorted random numbers that are at least ``least`` apart."""
    chosen: list[int] = []
    for one in rng.integers(low, high, 10 * count).tolist():
        if len(chosen) < count and all(abs(one - other) >= least for other in chosen):
            chosen.append(one)
    return sorted(chosen)


def _decaying(impulses: FloatArray, keep: float) -> FloatArray:
    """Return impulses that decay by this factor a row."""
    found = impulses.copy()
    for row in range(1, len(found)):
        found[row] += keep * found[row - 1]
    return found


def _smooth(noise: FloatArray) -> FloatArray:
    """Return noise that is correlated over some rows, with a deviation of about 1."""
    return _decaying(noise, 0.7) * 0.7


KINDS: dict[str, Callable[[Random], Generated]] = {
    "spikes": partial(seasonal, kind="spikes"),
    "changes": partial(seasonal, kind="changes"),
    "server": server,
    "demand": demand,
}
"""Generators by kind."""
