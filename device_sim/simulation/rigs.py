"""Simulated test rigs: a pump that circulates water, eight channels at 1 Hz, and one labelled fault in each run.

Pure and seeded. All runs contain random disturbances that are not faults: a warm-up at another rate than in the
calibration, drift of the mains, small spontaneous level shifts of vibration, single outliers, coarse resolutions,
missing seconds. :class:`Conditions` sets the size of the slow ones and the length of faults. The ``TUNING`` kinds of
faults are for the development of a detector, the ``HELD_OUT`` kinds for published figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Random = np.random.Generator

CHANNELS = (
    "vibration_1",
    "vibration_2",
    "current",
    "pressure",
    "temperature",
    "thermocouple",
    "voltage",
    "flow",
)
ROWS = 1150
"""Number of rows of a run."""
CALIBRATION = 400
"""Number of rows without a fault at the beginning of a run."""
NO_FAULT = "no fault"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions of a run, as multiples of the usual ones: ``wandering``, the size of warm-up, drift and spontaneous
    level shifts; ``heating``, the response of temperatures to the load; and ``strength``, the size of faults. The range
    of ``fault_rows`` is from a seventh to a third of the run by default. A ``varying`` fault changes its size every 40
    to 120 rows, to between a fifth and all of it.

    None of the following is in the usual conditions. ``settling`` is the greatest fraction of the speed that a run
    begins below its operating point, which it reaches within minutes. ``uneven`` is the deviation of the logarithm of
    the noise of vibrations and pressure, which changes over minutes; the vibrations then change between levels, too.
    ``remaining`` is the greatest fraction of a fault that is left at its end and disappears within minutes; in two runs
    of five nothing is left. Pressure, thermocouple and flow always have a ``coarse`` resolution."""

    wandering: float = 1.0
    heating: float = 1.0
    strength: float = 1.0
    fault_rows: tuple[int, int] | None = None
    varying: bool = False
    settling: float = 0.0
    uneven: float = 0.0
    remaining: float = 0.0
    coarse: bool = False


USUAL = Conditions()
STEADY = Conditions(wandering=0.3, heating=0.2, strength=1.6, fault_rows=(400, 480), varying=True)
"""A rig near its operating temperature, with faults in about half of the rows after the calibration."""
UNEVEN = Conditions(0.2, 0.1, 2.5, (380, 460), varying=True, settling=0.03, uneven=1.0, remaining=1.0, coarse=True)
"""A small rig whose noise changes over minutes and that recovers slowly. Chosen such that two detectors have about the
figures there that they had on a real rig (docs/detection-trials.md)."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: ``time_ms`` [rows], ``values`` [rows, 8], ``faulty`` [rows], and the kind of its fault."""

    kind: str
    seed: int
    time_ms: npt.NDArray[np.int64]
    values: FloatArray
    faulty: npt.NDArray[np.bool_]


@dataclass(slots=True)
class _State:
    """The rig over time, each [rows]; faults change it before the sensors read it."""

    speed: FloatArray
    outlet: FloatArray
    inlet: FloatArray
    leak: FloatArray
    shake: FloatArray
    second_shake: FloatArray
    rough: FloatArray
    bubbles: FloatArray
    heat: FloatArray
    friction: FloatArray
    slip: FloatArray


Fault = Callable[[_State, FloatArray, Random], None]


def _outlet_valve(state: _State, share: FloatArray, rng: Random) -> None:
    state.outlet -= share * rng.uniform(0.05, 0.5)
    state.shake += share * rng.choice([-1, 1]) * rng.uniform(0.02, 0.15)


def _imbalance(state: _State, share: FloatArray, rng: Random) -> None:
    state.shake += share * rng.uniform(0.02, 0.3)
    state.second_shake += share * rng.uniform(-0.1, 0.2)
    state.friction += share * rng.uniform(0.0, 0.06)


def _leak(state: _State, share: FloatArray, rng: Random) -> None:
    state.leak += share * rng.uniform(0.02, 0.15)


def _wear(state: _State, share: FloatArray, rng: Random) -> None:
    """The motor needs more current at the same speed: within its range, but with another correlation."""
    state.friction += share * rng.uniform(0.02, 0.08)


def _inlet_valve(state: _State, share: FloatArray, rng: Random) -> None:
    state.inlet -= share * rng.uniform(0.05, 0.5)
    state.rough += share * rng.uniform(0.0, 1.0)


def _cavitation(state: _State, share: FloatArray, rng: Random) -> None:
    state.rough += share * rng.uniform(0.4, 2.5)
    state.bubbles += share * rng.uniform(0.0, 0.4)


def _two_phase(state: _State, share: FloatArray, rng: Random) -> None:
    state.bubbles += share * rng.uniform(0.2, 1.2)
    state.shake += share * rng.uniform(-0.08, 0.08)


def _overheating(state: _State, share: FloatArray, rng: Random) -> None:
    """The water gets hot, and cools down again within minutes."""
    state.heat += rng.uniform(4.0, 20.0) * _lagging(share, rng.uniform(20, 80))


def _slipping(state: _State, share: FloatArray, rng: Random) -> None:
    """The wheel turns slower than the motor: the relation of flow and current changes slightly."""
    state.slip += share * rng.uniform(0.015, 0.1)


def _bearing(state: _State, share: FloatArray, rng: Random) -> None:
    state.second_shake += share * rng.uniform(0.03, 0.25)
    state.rough += share * rng.uniform(0.0, 1.5)
    state.friction += share * rng.uniform(0.0, 0.04)
    state.heat += share * rng.uniform(0.0, 3.0)


def _pulsing(state: _State, share: FloatArray, rng: Random) -> None:
    """An oscillating valve: flow and pressure oscillate around their previous values."""
    swing = np.sin(np.arange(len(share)) * 2 * np.pi / rng.uniform(8, 40))
    state.outlet -= share * rng.uniform(0.05, 0.3) * (1.0 + swing)


TUNING: dict[str, Fault] = {
    "outlet valve": _outlet_valve,
    "imbalance": _imbalance,
    "leak": _leak,
    "wear": _wear,
    "slipping": _slipping,
    "cavitation": _cavitation,
}
HELD_OUT: dict[str, Fault] = {
    "inlet valve": _inlet_valve,
    "two-phase flow": _two_phase,
    "overheating": _overheating,
    "bearing": _bearing,
    "pulsing valve": _pulsing,
}


def run(kind: str, seed: int, rows: int = ROWS, conditions: Conditions = USUAL) -> Run:
    """Return one run with a fault of a kind (a key of ``TUNING`` or ``HELD_OUT``), or with ``NO_FAULT``."""
    fault = (TUNING | HELD_OUT).get(kind)
    if fault is None and kind != NO_FAULT:
        raise KeyError(kind)
    rng = np.random.default_rng([seed, *kind.encode()])
    shortest, longest = conditions.fault_rows or (rows // 7, rows // 3)
    begin, length = int(rng.integers(rows * 9 // 20, rows * 12 // 20)), int(rng.integers(shortest, longest))
    end = min(begin + length, rows - rows // 8)
    share = _profile(rows, begin, end, rng)
    if conditions.varying:
        share *= _varying(rows, rng)
    # Numbers of their own, so that the other conditions do not change with them.
    apart = np.random.default_rng([seed, *kind.encode(), 1])
    share[end:] = _remaining(share[begin:end], rows - end, conditions.remaining, apart)
    state = _normal(rows, conditions.wandering, rng)
    _disturb(state, conditions, apart)
    if fault is not None:
        fault(state, conditions.strength * share, rng)
        if rng.random() < 0.4:  # after the fault, settings are restored only approximately
            state.shake[end:] += conditions.wandering * rng.normal(0, 0.02)
            state.outlet[end:] += conditions.wandering * rng.normal(0, 0.01)
    values = _sensors(state, conditions, rng)
    _outliers(values, rng)
    at = np.arange(rows)
    kept = rng.random(rows) > rng.uniform(0, 0.02)
    # Heat dissipates slowly: it is a fault until most of it is dissipated.
    hot = state.heat > 0.3 * state.heat.max() if state.heat.max() >= 4.0 else np.zeros(rows, np.bool_)
    faulty = ((at >= begin) & (at < end)) | hot if fault is not None else hot
    return Run(kind, seed, at[kept] * 1000, values[kept], faulty[kept])


def _profile(rows: int, begin: int, end: int, rng: Random) -> FloatArray:
    """Return how much of a fault there is: it comes and goes at once or over up to a third of its length."""
    at = np.arange(rows, dtype=np.float64)
    rise, fall = (rng.choice([2.0, rng.uniform(2, (end - begin) / 3)]) for _ in range(2))
    return np.asarray(np.clip(np.minimum((at - begin) / rise, (end - at) / fall), 0.0, 1.0), np.float64)


def _remaining(fault: FloatArray, rows: int, greatest: float, rng: Random) -> FloatArray:
    """Return how much of a fault is left in the rows after it: a part of its middle, which fades away."""
    first = greatest * rng.uniform(0.0, 1.0) * (rng.random() < 0.6) * fault[(len(fault) - 1) // 2]
    return np.asarray(first * np.exp(-np.arange(rows) / rng.uniform(50, 400)), np.float64)


def _disturb(state: _State, conditions: Conditions, rng: Random) -> None:
    """Add what only some conditions have: a start below the operating point, and noise that changes."""
    rows = len(state.speed)
    state.speed -= conditions.settling * rng.uniform(0, 1) * np.exp(-np.arange(rows) / rng.uniform(20, 150))
    state.rough *= np.exp(conditions.uneven * _wandering(rows, rng.uniform(50, 400), rng))
    for level in (state.shake, state.second_shake):
        lengths = rng.integers(60, 400, rows // 60 + 1)
        steps = np.repeat(rng.normal(size=len(lengths)), lengths)[:rows]
        level += 0.02 * conditions.uneven * rng.uniform(0, 1) * steps


def _varying(rows: int, rng: Random) -> FloatArray:
    """Return a size between 0.2 and 1 that changes within some rows, every 40 to 120."""
    lengths = rng.integers(40, 120, rows // 40 + 1)
    return _lagging(np.repeat(rng.uniform(0.2, 1.0, len(lengths)), lengths)[:rows], 5.0)


def _normal(rows: int, wandering: float, rng: Random) -> _State:
    zero, one = np.zeros(rows), np.ones(rows)
    speed = one + wandering * rng.uniform(0.0, 0.006) * _wandering(rows, rng.uniform(5, 60), rng)
    shake = wandering * rng.uniform(0.0, 0.02) * _wandering(rows, rng.uniform(100, 600), rng)
    second = wandering * rng.uniform(0.0, 0.02) * _wandering(rows, rng.uniform(100, 600), rng)
    for level in (shake, second):  # it settles elsewhere by itself now and then
        for at in np.flatnonzero(rng.random(rows) < 1 / 1000):
            level[at:] += wandering * rng.normal(0, 0.02)
    return _State(speed, one.copy(), one.copy(), zero.copy(), shake, second, one.copy(), *(zero.copy() for _ in "1234"))


def _sensors(state: _State, conditions: Conditions, rng: Random) -> FloatArray:
    """Return the readings of the eight sensors, [rows, 8]."""
    rows, wandering = len(state.speed), conditions.wandering
    noise = rng.uniform(0.5, 1.5, 8)
    speed = state.speed * (1.0 - state.slip)
    froth = state.bubbles * rng.normal(size=rows)
    flow = 32.0 * speed * np.sqrt(np.clip(state.outlet, 0.05, 1) * np.clip(state.inlet, 0.05, 1))
    flow = flow * (1.0 - state.leak) * (1.0 - 0.03 * state.bubbles)
    head = speed**2 - 0.6 * (flow / 32.0) ** 2
    pressure = head - 0.8 * (1.0 - state.inlet) - 0.6 * state.leak + 0.05 * froth
    voltage = 230.0 + wandering * rng.uniform(0.2, 1.5) * _wandering(rows, rng.uniform(100, 500), rng)
    load = state.speed**3 * (0.5 + 0.5 * flow / 32.0) * (1.0 + state.friction)
    current = 1.2 * load * 230.0 / voltage
    sensed = [
        0.03 * (1.0 + state.shake + 0.2 * (load - 1)) * (1 + 0.03 * noise[0] * state.rough * rng.normal(size=rows)),
        0.04
        * (1.0 + state.second_shake + 0.4 * state.shake)
        * (1 + 0.03 * noise[1] * state.rough * rng.normal(size=rows)),
        current + 0.03 * noise[2] * _noise(rows, rng) + 0.02 * froth,
        pressure + 0.02 * noise[3] * state.rough * rng.normal(size=rows),
        _warming(68.0, 8.0 * conditions.heating * load, wandering, rng)
        + state.heat
        + 0.1 * noise[4] * _noise(rows, rng),
        _warming(25.0, 2.0 * conditions.heating * load, wandering, rng)
        + 0.3 * state.heat
        + 0.02 * noise[5] * _noise(rows, rng),
        voltage + 0.6 * noise[6] * _noise(rows, rng),
        flow + 0.25 * noise[7] * _noise(rows, rng) + 0.6 * froth,
    ]
    steps = [1e-5, 1e-5, 1e-4, rng.choice([0.001, 0.05]), 0.01, rng.choice([0.001, 0.06]), 0.01, rng.choice([0.1, 1.0])]
    if conditions.coarse:
        steps[3], steps[5], steps[7] = 0.1, 0.06, 1.0
    return np.stack([np.round(one / step) * step for one, step in zip(sensed, steps, strict=True)], axis=1)


def _warming(start: float, load: FloatArray, wandering: float, rng: Random) -> FloatArray:
    """Return a body's temperature: it nears start and load with a time constant, from wherever it is at first."""
    pace = 1.0 / rng.uniform(200, 2500)
    cold = rng.random() < 0.4
    first = rng.uniform(-0.3, 1.2) if cold else rng.uniform(0.95, 1.03)
    now = start + float(load[0]) * (wandering * first + (1.0 - wandering))
    warm = np.empty(len(load))
    for at, target in enumerate((start + load + wandering * 0.15 * _wandering(len(load), 60.0, rng)).tolist()):
        now += pace * (target - now)
        warm[at] = now
    return warm


def _lagging(values: FloatArray, memory: float) -> FloatArray:
    """Return ``values`` through a first-order lag with a time constant of ``memory`` rows."""
    now, out = 0.0, np.empty(len(values))
    for at, value in enumerate(values.tolist()):
        now += (value - now) / memory
        out[at] = now
    return out


def _wandering(rows: int, memory: float, rng: Random) -> FloatArray:
    """Return a process of unit variance that forgets over ``memory`` rows (Ornstein-Uhlenbeck)."""
    keep = np.exp(-1.0 / memory)
    push = rng.normal(size=rows) * np.sqrt(1 - keep**2)
    push[0] = rng.normal()
    for at in range(1, rows):
        push[at] += keep * push[at - 1]
    return np.asarray(push, np.float64)


def _noise(rows: int, rng: Random) -> FloatArray:
    """Return noise of unit variance with a little memory, and heavy tails at times."""
    keep = rng.uniform(0.0, 0.6)
    push = rng.standard_t(5, rows) / np.sqrt(5 / 3) * np.sqrt(1 - keep**2)
    for at in range(1, rows):
        push[at] += keep * push[at - 1]
    return np.asarray(push, np.float64)


def _outliers(values: FloatArray, rng: Random) -> None:
    """Put single wild readings into the current and one other channel."""
    for channel in (2, int(rng.integers(8))):
        rows = np.flatnonzero(rng.random(len(values)) < 1 / 300)
        values[rows, channel] *= rng.uniform(0.6, 1.6, len(rows))
