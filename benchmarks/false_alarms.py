"""False alarms against the setting on data without faults: simulated processes, groups, and recorded stretches.

Part of ``benchmarks/detection.py``. The ratio is false alarms over those that the setting allows; 1/3 to 3 is kept.
By itself: ``python benchmarks/false_alarms.py [--calibration 300] [--every 43200] [--rows 43200] [--groups 12 |
--series 60] [--kinds normal laplace ...]``; one in 43,200 windows of a minute is one a month.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_components.anomaly_detector.multivariate.groups import Groups, GroupSettings
from edge_components.anomaly_detector.univariate.ensemble import MONTH_MS, Ensemble
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows
from strandline.recorded.offline import DAY_MS
from wire.model import Phase, Series

FloatArray = npt.NDArray[np.float64]
WIDTH_MS = 60_000
KINDS = ("normal", "autoregressive", "laplace", "daily swing", "wandering")
CASES = ((60, 1_000), (300, 1_000), (300, 5_000), (60, 43_200), (300, 43_200))
"""Lengths of calibration, and numbers of windows between two false alarms."""
GROUPED = ((300, 1_000), (300, 5_000), (1_200, 1_000))
"""The same of groups."""


def noise(kind: str, rows: int, series: int, seed: int) -> FloatArray:
    """Return [rows, series] of a process without faults."""
    rng = np.random.default_rng(seed)
    values = rng.laplace(size=(rows, series)) if kind == "laplace" else rng.normal(size=(rows, series))
    keep = {"autoregressive": 0.8, "wandering": 0.99}.get(kind, 0.0)
    for row in range(1, rows if keep else 1):
        values[row] += keep * values[row - 1]
    if kind == "daily swing":
        values += 3.0 * np.sin(np.arange(rows) * (2 * np.pi / 96))[:, None]
    return np.asarray(values, np.float64)


def simulated(kind: str, calibration: int, every: int, rows: int, series: int) -> dict[str, Any]:
    """Score single series without faults."""
    values = noise(kind, rows, series, seed=1)
    onsets = _onsets(values, np.arange(1, rows + 1) * WIDTH_MS, calibration, every)
    return _row(kind, calibration, every, WIDTH_MS, len(onsets), series * (rows - calibration))


def grouped(kind: str, calibration: int, every: int, rows: int, groups: int) -> dict[str, Any]:
    """Score groups of six correlated channels."""
    rng = np.random.default_rng(2)
    shared = np.repeat(noise(kind, rows, groups, seed=3), 6, axis=1)
    values = shared + 0.3 * rng.normal(size=shared.shape)
    found = Groups(GroupSettings(calibration, false_alarms_per_month=MONTH_MS / WIDTH_MS / every))
    found.add([Series(f"m{at // 6}.c{at % 6}") for at in range(values.shape[1])])
    series_ids, alarms = np.arange(values.shape[1]), 0
    for row, value in enumerate(values, start=1):
        reports = found.window(series_ids, row * WIDTH_MS, WIDTH_MS, value)
        alarms += sum(report.phase is Phase.ONSET for report in reports)
    return _row(f"groups, {kind}", calibration, every, WIDTH_MS, alarms, groups * (rows - calibration))


def recorded(
    name: str,
    files: Sequence[tuple[npt.NDArray[np.int64], FloatArray, int, Sequence[tuple[int, int]]]],
    every: int,
    rows: int,
) -> dict[str, Any]:
    """Score the first ``rows`` of recordings (times, values, calibration, labelled windows) and count the alarms that
    begin outside of the labelled windows."""
    alarms = quiet = 0
    for time_ms, values, calibration, windows in files:
        time_ms, values = time_ms[:rows], values[:rows]
        normal = np.ones(len(time_ms), np.bool_)
        for first, last in windows:
            normal &= (time_ms < first) | (time_ms > last)
        normal[:calibration] = False
        onsets = _onsets(values[:, None], time_ms, calibration, every)
        alarms += int(normal[onsets].sum())
        quiet += int(normal.sum())
    width_ms = int(np.median(np.diff(files[0][0])))
    return _row(name, files[0][2], every, width_ms, alarms, quiet)


def _onsets(values: FloatArray, time_ms: npt.NDArray[np.int64], calibration: int, every: int) -> list[int]:
    """Return the rows at which anomalies begin, a row for each."""
    width_ms = max(1, int(np.median(np.diff(time_ms))))
    day = round(DAY_MS / width_ms)
    settings = Settings(
        calibration=calibration,
        false_alarms_per_month=MONTH_MS / width_ms / every,
        season=day if 4 <= day <= calibration - 24 else 0,
        drift_windows=2 * calibration,
    )
    series = values.shape[1]
    ensemble = Ensemble(settings)
    ensemble.add_series([None] * series)
    none, one = np.zeros(series), np.ones(series)
    onsets: list[int] = []
    for row, value in enumerate(values):
        slot = one * round(int(time_ms[row]) / width_ms)
        step = ensemble.step(slice(None), (row + 1) * width_ms, width_ms, Windows(value, value, value, none, one, slot))
        onsets += [row for change in step.changes if change.phase is Phase.ONSET]
    return onsets


def _row(name: str, calibration: int, every: int, width_ms: int, alarms: int, windows: int) -> dict[str, Any]:
    setting, allowed = MONTH_MS / width_ms / every, windows / every
    return {
        "process": name,
        "calibration": calibration,
        "set_a_month": round(setting, 2),
        "measured_a_month": round(alarms / allowed * setting, 2),
        "alarms": alarms,
        "ratio": round(alarms / allowed, 2),
    }


def main() -> None:
    """Run groups, or single series, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=int, default=300)
    parser.add_argument("--every", type=int, default=43_200, help="windows between two false alarms")
    parser.add_argument("--rows", type=int, default=43_200, help="windows after the calibration")
    parser.add_argument("--groups", type=int, default=12)
    parser.add_argument("--series", type=int, default=0, help="number of single series, instead of groups")
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    options = parser.parse_args()
    for kind in options.kinds:
        rows = options.calibration + options.rows
        score, many = (simulated, options.series) if options.series else (grouped, options.groups)
        found = score(kind, options.calibration, options.every, rows, many)
        allowed = many * options.rows / options.every
        print(f"{found['process']:24} {found['alarms']} alarms, {allowed:.1f} allowed: {found['ratio']}", flush=True)


if __name__ == "__main__":
    main()
