"""Entry point of the anomaly detector: connects it to the nucleus."""

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
    """Return the component; a model that ended the previous process is rejected, and a watchdog is started."""
    watchdog, crash = Watchdog(), crash_log.begin(runtime.work / "crash_log.txt", runtime.log)
    WatchdogThread(watchdog, runtime.log).start()
    forecasters = ForecasterManager(config, runtime, watchdog=watchdog, crash=crash)
    models = ModelManager(config, runtime, watchdog=watchdog, crash=crash)
    return AnomalyDetector(config, runtime, forecasters.first(), models, forecasters)


if __name__ == "__main__":
    sys.exit(run_component(NAME, Config, build))
