"""Wires the anomaly detector to the nucleus."""

from __future__ import annotations

import sys
from pathlib import Path

from edge_components.anomaly_detector.component import AnomalyDetector
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRefusedError
from edge_components.anomaly_detector.models import loading, tflite_model
from edge_components.anomaly_detector.statistics.forecaster import Forecast, plain_forecast
from edge_components.common.lifecycle import Runtime, run_component

NAME = "io.strandline.AnomalyDetector"


def build(config: Config, runtime: Runtime) -> AnomalyDetector:
    """Return the component; with the forecaster in NumPy where its model is refused."""
    forecast: Forecast = plain_forecast
    try:
        forecast = loading.load_forecast(Path(config.model) if config.model else tflite_model.SHIPPED)
    except ModelRefusedError as error:
        runtime.counters.add("model_refused")
        runtime.log.error("the forecaster runs without its model: %s", error)
    return AnomalyDetector(config, runtime, forecast)


if __name__ == "__main__":
    sys.exit(run_component(NAME, Config, build))
