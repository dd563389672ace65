"""The demo's plant with faults and a host's readings, as windows for the detector; shared by tests."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from device_sim.simulation.faults import Fault, readings, schedule
from device_sim.simulation.signals import demo_plant
from edge_components.anomaly_detector.univariate.ensemble import Ensemble, Step
from edge_components.anomaly_detector.univariate.forecaster import Forecast, plain_forecast
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows
from wire.model import Phase, Series

RATE_HZ = 5
WIDTH_MS = 1000


@dataclass
class Watch:
    """The result of one run: onsets as (second, series, cause), and scores [windows, series]."""

    series: tuple[Series, ...]
    faults: tuple[Fault, ...]
    onsets: list[tuple[int, str, str]] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)

    def detected(self) -> set[tuple[str, str]]:
        """Return the faults that have a matching onset, by series and kind."""
        return {(f.series, str(f.kind)) for f in self.faults if any(_matches(onset, f) for onset in self.onsets)}

    def false_alarms(self) -> list[tuple[int, str, str]]:
        """Return the onsets that match no fault."""
        return [onset for onset in self.onsets if not any(_matches(onset, f) for f in self.faults)]


def _matches(onset: tuple[int, str, str], fault: Fault) -> bool:
    return onset[1] == fault.series and fault.start_ms / 1000 - 1 <= onset[0] <= fault.end_ms / 1000 + 10


def host_readings(seed: int, seconds: int) -> tuple[list[Series], np.ndarray]:
    """Return metrics of a computer: CPU with bursts, memory as a random walk, constant disk, correlated load."""
    rng = np.random.default_rng(seed)
    cpu = np.clip(rng.normal(30, 8, seconds) + 60 * (rng.random(seconds) < 0.01), 0, 100)
    memory = 35 + np.cumsum(rng.normal(0, 0.05, seconds))
    load = np.convolve(rng.exponential(1.0, seconds + 9), np.ones(10) / 10, "valid")
    values = np.stack([cpu.round(1), memory.round(1), np.full(seconds, 41.3), load.round(2)])
    names = ("host.cpu", "host.memory", "host.disk", "host.load")
    return [Series(name, "%", 0.1) for name in names], np.repeat(values, RATE_HZ, axis=1)


def watch(
    seed: int, seconds: int = 90, calibration: int = 25, faulty: bool = True, forecast: Forecast = plain_forecast
) -> Watch:
    """Run the detector over the demo's plant and a host."""
    plant = demo_plant(seed)
    faults = schedule(plant, seconds, seed) if faulty else ()
    hosts, host_values = host_readings(seed, seconds)
    values = np.vstack((readings(plant, faults, np.arange(seconds * RATE_HZ)), host_values))
    seen = Watch((*plant.series, *hosts), faults)
    ensemble = Ensemble(Settings(calibration=calibration), forecast)
    ensemble.add_series([series.resolution for series in seen.series])
    per_window = values.reshape(len(values), seconds, RATE_HZ)
    for second in range(seconds):
        rows, windows = to_windows(per_window[:, second], second)
        step = ensemble.step(rows, second * WIDTH_MS, WIDTH_MS, windows)
        score = np.full(len(values), np.nan)
        score[rows] = step.score
        seen.scores.append(score)
        for result in (step, ensemble.silent(second * WIDTH_MS)):
            _collect(seen, result, ensemble.experts.causes, second)
    return seen


def to_windows(values: np.ndarray, slot: int) -> tuple[np.ndarray, Windows]:
    """Return the aggregates of one window of readings [series, readings]; series without readings are omitted."""
    rows = np.flatnonzero(np.isfinite(values).any(axis=1))
    kept = values[rows]
    count = np.isfinite(kept).sum(axis=1).astype(np.float64)
    mean, low, high = np.nanmean(kept, axis=1), np.nanmin(kept, axis=1), np.nanmax(kept, axis=1)
    return rows, Windows(mean, low, high, np.nanstd(kept, axis=1), count, np.full(len(rows), float(slot)))


def _collect(seen: Watch, step: Step | None, causes: tuple[str, ...], second: int) -> None:
    if step is None:
        return
    for change in step.changes:
        if change.phase is Phase.ONSET:
            name = seen.series[int(step.series_ids[change.row])].name
            seen.onsets.append((second, name, causes[int(step.cause[change.row])]))
