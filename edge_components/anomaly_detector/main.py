"""Wires the anomaly detector to the nucleus."""

from __future__ import annotations

import sys

from edge_components.anomaly_detector.component import AnomalyDetector
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.models import last_words
from edge_components.anomaly_detector.models.calls import Watchdog
from edge_components.anomaly_detector.models.forecasters import Forecasters
from edge_components.anomaly_detector.models.model_keeper import ModelKeeper
from edge_components.anomaly_detector.models.watch_thread import WatchThread
from edge_components.common.lifecycle import Runtime, run_component

NAME = "io.strandline.AnomalyDetector"


def build(config: Config, runtime: Runtime) -> AnomalyDetector:
    """Return the component; a model that ended the process before this one is refused, and this one is watched."""
    dog, words = Watchdog(), last_words.begin(runtime.work / "last_words.txt", runtime.log)
    WatchThread(dog, runtime.log).start()
    forecasters = Forecasters(config, runtime, dog=dog, last_words=words)
    models = ModelKeeper(config, runtime, dog=dog, last_words=words)
    return AnomalyDetector(config, runtime, forecasters.first(), models, forecasters)


if __name__ == "__main__":
    sys.exit(run_component(NAME, Config, build))
