"""What scoring costs: the whole detector a window, and the TFLite forecaster beside its bare interpreter.

``python benchmarks/inference.py [--series 10 100 200 1000 10000] [--json FILE]``. One thread. ``ratio`` is the
forecaster's call (with its copies and conversions) over one bare set, invoke and get for the whole batch.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_components.anomaly_detector import loading, tflite_model
from edge_components.anomaly_detector.ensemble import Ensemble
from edge_components.anomaly_detector.experts import Windows
from edge_components.anomaly_detector.forecaster import TERMS, Forecast
from edge_components.anomaly_detector.manifest import Manifest
from edge_components.anomaly_detector.spans import Settings

CALIBRATION = 60


def median_us(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Return the median time of a call in microseconds, over about ``seconds``."""
    call()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 10:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)) * 1e6


def bare(series: int) -> Callable[[], object]:
    """Return one set, invoke and get on the interpreter itself, for all series at once."""
    manifest = Manifest.read(tflite_model.SHIPPED)
    interpreter = tflite_model.interpreter_class()(model_content=manifest.content(), num_threads=1)
    inputs, (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    for detail in inputs:
        interpreter.resize_tensor_input(detail["index"], [series, TERMS])
    interpreter.allocate_tensors()
    values = np.random.default_rng(0).normal(size=(series, TERMS)).astype(np.float32)

    def call() -> object:
        for detail in inputs:
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return call


def whole(series: int, forecast: Forecast) -> Callable[[], object]:
    """Return the scoring of one window of calibrated series."""
    ensemble = Ensemble(Settings(calibration=CALIBRATION), forecast)
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

    while not ensemble.collected.calibrated.all():
        call()
    return call


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, nargs="+", default=[10, 100, 200, 1_000, 10_000])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    forecast = loading.load_forecast()
    rng = np.random.default_rng(1)
    rows = []
    print(f"{'series':>8}{'bare us':>10}{'call us':>10}{'ratio':>8}{'window us':>12}{'us/series':>11}{'core %':>9}")
    for series in options.series:
        terms, weights = rng.normal(size=(series, TERMS)), rng.normal(size=(series, TERMS))
        bare_us = median_us(bare(series))
        call_us = median_us(lambda terms=terms, weights=weights: forecast(terms, weights))  # type: ignore[misc]
        window_us = median_us(whole(series, forecast))
        row = {
            "series": series,
            "bare_us": round(bare_us, 1),
            "call_us": round(call_us, 1),
            "ratio": round(call_us / bare_us, 2),
            "window_us": round(window_us, 1),
            "us_a_series": round(window_us / series, 2),
            "core_percent_at_one_window_a_second": round(window_us / 1e4, 2),
        }
        rows.append(row)
        print("{:8}{:10.1f}{:10.1f}{:8.2f}{:12.1f}{:11.2f}{:9.2f}".format(*row.values()))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"most memory: {memory} MB")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "memory_mb": memory}, indent=2) + "\n")


if __name__ == "__main__":
    main()
