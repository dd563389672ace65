"""Process in which a detector scores with a model that ends the process; run by test_after_validation.

``python -m tests.unit.anomaly_detector.ending FOLDER HOW`` deploys a valid model, then one that passes its validation
and its first calls, and sends input on which the second model hangs (``hang``), crashes the process (``abort``) or is
killed by a signal (``kill``). With ``again`` no model is deployed, and the same input is sent. Prints the state of the
models as JSON.
"""

import json
import logging
import os
import resource
import signal
import sys
from pathlib import Path

from edge_components.anomaly_detector.main import build
from edge_components.anomaly_detector.model_runtime import calls, watchdog_thread
from edge_components.anomaly_detector.model_runtime.live_model import FIRST_CALLS
from edge_components.anomaly_detector.model_runtime.tflite_model import GroupModel
from tests.unit.anomaly_detector.group_models import identity, sometimes_endless
from tests.unit.anomaly_detector.model_site import VALUES, Plant, usual

ROW = [{"name": "row", "shape": [1, VALUES], "dtype": "float32"}]
BAD = [14.5, 14.5, 14.5]
"""Nine scales from the centre: a validation does not use such input."""


def patch_model(how):
    """Let the second version's calls end the process on such input."""
    usual_call = GroupModel.__call__

    def call(self, windows):
        if self.manifest.version == "0.2.0" and abs(windows.max() - 9.0) < 3.0:
            if how == "abort":
                os.abort()
            os.kill(os.getpid(), signal.SIGKILL)
        return usual_call(self, windows)

    GroupModel.__call__ = call


def print_now(**values):
    """Print values as JSON, unbuffered, because the process can end."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def main(folder, how):
    """Deploy the models and score."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    calls.HANG_TIMEOUT_S, watchdog_thread.CHECK_SECONDS = 0.2, 0.02
    if how in ("abort", "kill"):
        patch_model(how)
    plant = Plant(Path(folder), build=build)
    if how != "again":
        models = {"0.1.0": {}, "0.2.0": {"model": sometimes_endless(VALUES, 9.0, 3.0), "inputs": ROW, "outputs": ROW}}
        for version, changes in models.items():
            plant.deploy(version, **{"model": identity(VALUES), **changes})
            plant.settle()
            usual(plant, FIRST_CALLS + 3)
    plant.settle()
    before = plant.health()["live"]
    print_now(before=before)
    usual(plant, 3)
    plant.score(BAD, 3)
    usual(plant, 3)
    print_now(after=plant.detector.health(), counters=plant.runtime.counters.snapshot())
    plant.detector.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
