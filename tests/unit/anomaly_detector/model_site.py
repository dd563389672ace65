"""A detector on fakes with model components: real files, real interpreters, a fake clock."""

import numpy as np

from edge_components.anomaly_detector.component import AnomalyDetector
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.model_runtime.calls import Watchdog
from edge_components.anomaly_detector.model_runtime.model_manager import ModelManager
from edge_components.anomaly_detector.model_runtime.tflite_model import GroupModel
from edge_components.anomaly_detector.univariate.forecaster import plain_forecast
from edge_components.common import aggregates_message
from edge_components.common.config import load
from strandline.training.model_writer import dense_network
from tests.fakes import fake_runtime
from tests.unit.anomaly_detector.group_models import CHANNELS, WINDOW, offer
from tests.waiting import pause, until
from wire import topics
from wire.codec import encode
from wire.model import Aggregates, Anomalies, Batch, Series

START_MS = 1_700_000_000_000
VALUES = WINDOW * len(CHANNELS)
TAILS = {"threshold": [0.3] * 3 + [1.0], "excess": [0.05] * 3 + [0.1], "share": [0.1] * 4}
SERIES = tuple(Series(f"pump1.{name}", "bar", 0.01) for name in CHANNELS)


def zeros():
    """Return an auto-encoder whose output is always the centre."""
    return dense_network([(np.zeros((VALUES, VALUES)), np.zeros(VALUES))])


class PassedValidation:
    """A validation that has already passed."""

    def __init__(self, path):
        assert path.is_file()

    def is_finished(self):
        return True

    def wait(self):
        return self.outcome()

    def outcome(self):
        return 1e-4

    def cancel(self):
        pass


class Plant:
    """A detector on fakes in a work folder, and model components with work folders of their own."""

    def __init__(self, root, load_model=None, validate=PassedValidation, crash="", build=None, **config):
        self.root, self.work = root, root / "work" / "io.strandline.AnomalyDetector"
        self.work.mkdir(parents=True, exist_ok=True)
        self.config = load(Config, {"calibration_windows": 20, **config})
        self.runtime, self.bus, self.clock = fake_runtime(self.work)
        if build is None:
            models = ModelManager(self.config, self.runtime, load_model or GroupModel, validate, Watchdog(), crash)
            self.detector = AnomalyDetector(self.config, self.runtime, plain_forecast, models)
        else:
            self.detector = build(self.config, self.runtime)
        self.manager = self.detector._models
        self.detector.start()
        self.second = 0

    def deploy(self, version, model=None, component="io.strandline.model.Pump", **changes):
        """Link the artifact into the work folder, as the model component's run step does."""
        folder = self.root / "packages" / component / version / "model"
        offer(folder, zeros() if model is None else model, version, **{"calibration": TAILS, **changes})
        link = self.root / "work" / component / "model"
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name("model.new")
        fresh.symlink_to(folder)
        fresh.replace(link)

    def until(self, condition, what, seconds=150.0):
        """Advance the clock until a condition holds."""

        def advance():
            self.clock.advance(0.5)
            self.detector.tick()
            pause(0.005)

        until(condition, lambda: f"{what}: {self.health()}", seconds, advance)

    def settle(self):
        """Advance the clock until all validations have finished."""
        for _ in range(6):
            self.clock.advance(2.5)
            self.detector.tick()
            self.until(lambda: self.manager._validation is None, "the validation ends")

    def health(self):
        return self.detector.health()["models"]

    def version(self):
        live = self.health()["live"]
        return live["pump"]["version"] if live else None

    def score(self, values, times=1):
        """Send windows of one second; returns the last batch that was forwarded."""
        for _ in range(times):
            n, start = len(values), START_MS + 1000 * self.second
            mean = np.array(values, np.float64)
            rows = Aggregates(
                SERIES,
                np.arange(n),
                np.full(n, start),
                np.full(n, 1000),
                np.full(n, 5),
                mean,
                mean - 0.1,
                mean + 0.1,
                np.full(n, 0.05),
                np.full(n, np.nan),
            )
            self.second += 1
            self.bus.deliver(topics.AGGREGATES, encode(Batch("gw-test", 7, self.second, rows)))
            self.detector.tick()
        scored = [
            b.rows for b in map(aggregates_message.decode, self.bus.on(topics.SCORED)) if isinstance(b.rows, Aggregates)
        ]
        return scored[-1].score

    def reports(self):
        batches = [aggregates_message.decode(payload) for payload in self.bus.on(topics.SCORED)]
        return [r for b in batches if isinstance(b.rows, Anomalies) for r in b.rows.reports]


def usual(plant, times=1):
    return plant.score([10.1, 10.1, 10.1], times)
