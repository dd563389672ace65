"""Cost of scoring: the whole detector a window, its models beside their bare interpreters, and memory.

``python -m benchmarks.inference [--series 10 100 200 1000 10000] [--calibration 60] [--seconds 1] [--json FILE]``. One
thread, as the launcher starts the component. ``bare`` is one set, invoke and get on the interpreter itself for the
whole batch, ``call`` the same work as the detector does it, with its conversions and checks, its mark on disk and, for
groups, its look at the processor's time; the two take turns, so that a busy machine affects both alike. ``window`` is
the scoring of one window of calibrated series by the whole ensemble: the median, or after a long calibration, which is
followed by repeated fits of some series in each window, the mean.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.one_thread import ensure_one_thread
from edge_components.anomaly_detector.model_runtime import forecaster_manager, tflite_model
from edge_components.anomaly_detector.model_runtime.calls import Calls
from edge_components.anomaly_detector.model_runtime.group_scorer import GroupScorer, Run
from edge_components.anomaly_detector.model_runtime.in_flight_marker import InFlightMarker
from edge_components.anomaly_detector.model_runtime.live_forecast import LiveForecast
from edge_components.anomaly_detector.model_runtime.manifest import FORMAT, GroupManifest, Manifest
from edge_components.anomaly_detector.univariate.ensemble import Ensemble
from edge_components.anomaly_detector.univariate.forecaster import TERMS, Forecast
from edge_components.anomaly_detector.univariate.settings import Settings
from edge_components.anomaly_detector.univariate.windows import Windows
from strandline.training import loading

CALIBRATION = 60
CHANNELS, WINDOW = 8, 8
"""Of the group's model: 64 values, as ``strandline train`` makes them by default for eight channels."""
MEMORY_SERIES = 1_000
Call = Callable[[], object]


def in_turn(calls: tuple[Call, ...], seconds: float) -> tuple[float, ...]:
    """Return the median times of calls in microseconds; they are called in turns for about ``seconds``."""
    for call in calls:
        call()
    taken: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken[0]) < 10:
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return tuple(float(np.median(times)) * 1e6 for times in taken)


def bare(content: bytes, rows: int, values: int) -> Call:
    """Return one set, invoke and get on the interpreter itself, for all rows at once."""
    interpreter = tflite_model.interpreter_class()(model_content=content, num_threads=1)
    inputs, (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    for detail in inputs:
        interpreter.resize_tensor_input(detail["index"], [rows, values])
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    given = [(detail["index"], rng.normal(size=(rows, values)).astype(np.float32)) for detail in inputs]

    def call() -> object:
        for index, array in given:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return call


def mean_time(call: Call, calls: int) -> float:
    """Return the mean time of a number of calls in microseconds."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls * 1e6


def whole(series: int, forecast: Forecast, settings: Settings) -> Call:
    """Return the scoring of one window of calibrated series, each of which has been fitted again if that occurs."""
    ensemble = Ensemble(settings, forecast)
    ensemble.add_series([None] * series)
    rng, at = np.random.default_rng(0), 0

    def call() -> object:
        nonlocal at
        at += 1
        value = rng.normal(size=series)
        windows = Windows(
            value, value - 0.1, value + 0.1, np.full(series, 0.05), np.full(series, 5.0), np.full(series, float(at))
        )
        return ensemble.step(slice(None), at * 1000, 1000, windows)

    while not ensemble.windows.calibrated.all():
        call()
    for _ in range(settings.calibration if settings.is_long else 0):
        call()
    return call


def calibrated_forecast(folder: Path) -> LiveForecast:
    """Return the shipped forecaster as the detector uses it."""
    calls = Calls("shipped", 1.0, InFlightMarker(folder / "forecaster"), cpu=forecaster_manager.untimed)
    return LiveForecast(loading.load_forecast(), calls, print)


def scored(devices: int, manifest: GroupManifest, run: Run) -> Call:
    """Return the scoring of one window of all channels of calibrated devices."""
    scorer = GroupScorer(manifest, run, CALIBRATION, 1e-6, 10**9, devices)
    names = [f"d{device}.c{channel}" for device in range(devices) for channel in range(CHANNELS)]
    series_ids, rng, at = np.arange(len(names)), np.random.default_rng(0), 0

    def call() -> object:
        nonlocal at
        at += 1
        return scorer(names, series_ids, at * 1000, 1000, rng.normal(size=len(names)))

    for _ in range(CALIBRATION + WINDOW):
        call()
    return call


def group_files(folder: Path) -> Path:
    """Write a dense auto-encoder of a group, untrained, and return its manifest's path; needs the train extra."""
    from strandline.training.dense import sizes_for
    from strandline.training.model_writer import dense_network

    rng, sizes = np.random.default_rng(0), sizes_for(CHANNELS * WINDOW, None)
    layers = [(rng.normal(0, 0.1, (a, b)), np.zeros(b)) for a, b in itertools.pairwise(sizes)]
    content = dense_network(layers)
    port = [{"name": "windows", "shape": [-1, CHANNELS * WINDOW], "dtype": "float32"}]
    manifest = {
        "format": FORMAT,
        "name": "bench",
        "version": "0.1.0",
        "kind": "autoencoder",
        "group": "bench",
        "devices": "*",
        "window": WINDOW,
        "interval_ms": 1000,
        "channels": [{"name": f"c{k}", "unit": "", "centre": 0.0, "scale": 1.0} for k in range(CHANNELS)],
        "inputs": port,
        "outputs": port,
        "file": "model.tflite",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "model.tflite").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder / "manifest.json"


def resident_kb(what: str) -> int:
    """Return the resident memory of a process of its own that does one of the two for a thousand series."""
    done = subprocess.run(  # noqa: S603 # ourselves
        [sys.executable, "-m", "benchmarks.inference", "--memory-of", what],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    return int(done.stdout)


def print_memory(what: str) -> None:
    """Print this process' resident memory in KB after some windows."""
    if what == "bare":
        interpreter = bare(Manifest.read(tflite_model.SHIPPED).content(), MEMORY_SERIES, TERMS)
        calls = [interpreter]
    else:
        with tempfile.TemporaryDirectory() as folder:
            calls = [whole(MEMORY_SERIES, calibrated_forecast(Path(folder)), Settings(calibration=CALIBRATION))]
    for _ in range(20):
        calls[0]()
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def _row(rows: dict[str, int], series: int, bare_us: float, call_us: float, window_us: float) -> dict[str, Any]:
    """Print a row of a table and return it."""
    row = {
        **rows,
        "bare_us": round(bare_us, 1),
        "call_us": round(call_us, 1),
        "ratio": round(call_us / bare_us, 2),
        "window_us": round(window_us, 1),
        "us_a_series": round(window_us / series, 2),
        "core_percent_at_one_window_a_second": round(window_us / 1e4, 2),
    }
    print("{:8}{:10.1f}{:10.1f}{:8.2f}{:12.1f}{:11.2f}{:9.2f}".format(*row.values()))
    return row


def compare(series: list[int], calibration: int, seconds: float, group: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the two tables, printed as they are measured."""
    forecast, content = calibrated_forecast(group.parent), Manifest.read(tflite_model.SHIPPED).content()
    settings, rng, rows = Settings(calibration=calibration), np.random.default_rng(1), []
    print(f"{'series':>8}{'bare us':>10}{'call us':>10}{'ratio':>8}{'window us':>12}{'us/series':>11}{'core %':>9}")
    for n in series:
        terms, weights = rng.normal(size=(n, TERMS)), rng.normal(size=(n, TERMS)).astype(np.float32)
        one, other = in_turn((bare(content, n, TERMS), lambda t=terms, w=weights: forecast(t, w)), seconds)  # type: ignore[misc]
        call = whole(n, forecast, settings)
        window = mean_time(call, calibration) if settings.is_long else in_turn((call,), seconds)[0]
        rows.append(_row({"series": n}, n, one, other, window))
    model, groups = loading.load_group(group), []
    manifest, calls = model.manifest, Calls("group", 1.0, InFlightMarker(group.parent / "group"))

    def run(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return calls.make(model, windows)

    print(f"\na group's auto-encoder, {CHANNELS} channels a device, {WINDOW} windows")
    print(f"{'devices':>8}{'bare us':>10}{'call us':>10}{'ratio':>8}{'window us':>12}{'us/series':>11}{'core %':>9}")
    for n in series:
        windows = rng.normal(size=(n, WINDOW, CHANNELS)).astype(np.float32)
        one, other = in_turn(
            (bare(manifest.content(), n, WINDOW * CHANNELS), lambda w=windows: run(w)),  # type: ignore[misc]
            seconds,
        )
        (window,) = in_turn((scored(n, manifest, run),), seconds)
        groups.append(_row({"devices": n}, n * CHANNELS, one, other, window))
    return {"rows": rows, "groups": groups}


def main() -> None:
    """Run and print."""
    ensure_one_thread()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, nargs="+", default=[10, 100, 200, 1_000, 10_000])
    parser.add_argument("--calibration", type=int, default=CALIBRATION, help="windows of the ensemble's calibration")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each figure is measured")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", choices=["bare", "scoring"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print_memory(options.memory_of)
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] = compare(options.series, options.calibration, options.seconds, group_files(Path(folder)))
    memory = {what: resident_kb(what) for what in ("bare", "scoring")}
    print(f"\nresident memory for {MEMORY_SERIES} series: bare interpreter {memory['bare'] / 1024:.0f} MB,", end=" ")
    print(f"scoring {memory['scoring'] / 1024:.0f} MB; load of the machine before: {load:.1f}")
    if options.json:
        report = {**found, "memory_kb": memory, "load": load}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
