"""Wires the anomaly detector to the nucleus."""

from __future__ import annotations

import sys

from edge_components.anomaly_detector.component import AnomalyDetector
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.model_runtime import crash_log
from edge_components.anomaly_detector.model_runtime.calls import Watchdog
from edge_components.anomaly_detector.model_runtime.forecaster_manager import ForecasterManager
from edge_components.anomaly_detector.model_runtime.model_manager import ModelManager
from edge_components.anomaly_detector.model_runtime.watchdog_thread import WatchdogThread
from edge_components.common.lifecycle import Runtime, run_component

NAME = "io.strandline.AnomalyDetector"


def build(config: Config, runtime: Runtime) -> AnomalyDetector:
    """Return the component; a model that ended the process before this one is refused, and this one is watched."""
    watchdog, words = Watchdog(), crash_log.begin(runtime.work / "last_words.txt", runtime.log)
    WatchdogThread(watchdog, runtime.log).start()
    forecasters = ForecasterManager(config, runtime, watchdog=watchdog, crash=words)
    models = ModelManager(config, runtime, watchdog=watchdog, crash=words)
    return AnomalyDetector(config, runtime, forecasters.first(), models, forecasters)


if __name__ == "__main__":
    sys.exit(run_component(NAME, Config, build))
