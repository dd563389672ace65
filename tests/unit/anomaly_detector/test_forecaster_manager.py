"""Forecaster models: a model that fails is replaced by NumPy, also after a restart."""

import json

import numpy as np
import pytest

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime import forecaster_manager
from edge_components.anomaly_detector.model_runtime.forecaster_manager import ForecasterManager
from edge_components.anomaly_detector.univariate.forecaster import TERMS, plain_forecast
from edge_components.common.config import load
from strandline.training import shipped_forecaster as shipped
from tests.fakes import fake_runtime
from tests.unit.anomaly_detector.model_site import PassedValidation

RNG = np.random.default_rng(1)
TERMS_OF, WEIGHTS = RNG.normal(size=(5, TERMS)), RNG.normal(size=(5, TERMS)).astype(np.float32)


class Site:
    """A ForecasterManager on fakes in a work folder, as in one process of the component."""

    def __init__(self, work, model="", how=forecaster_manager.load, crash="", **config):
        self.config = load(Config, {"model": str(model), **config})
        self.runtime, _, _ = fake_runtime(work)
        self.all = ForecasterManager(self.config, self.runtime, how, PassedValidation, crash=crash)
        self.forecast = self.all.first()

    def call(self, terms=TERMS_OF):
        return self.forecast(terms, WEIGHTS[: len(terms)])

    def interrupt_call(self, hung_s=0.0):
        """Leave the files of a process that ended during a call."""
        assert self.all._live is not None
        marker = self.all._live.calls.marker
        marker.toggle()
        marker.record_hang(hung_s)

    @property
    def by(self):
        return self.all.health()["by"]


@pytest.fixture
def outside(tmp_path):
    """A deployed forecaster: a copy of the shipped one with another name."""
    folder = tmp_path / "outside"
    folder.mkdir()
    for name, content in shipped.files().items():
        (folder / name).write_bytes(content)
    manifest = folder / "forecaster.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": "theirs"}))
    return manifest


CAUSES = pytest.mark.parametrize(
    ("hung_s", "crash", "counter", "reason"),
    [
        (20.0, "", "models_hung", "a call hung after 1 calls, for 20 s"),
        (0.0, "Fatal Python error: Aborted", "models_crashed", "in a call of it, after 1: Fatal Python error: Aborted"),
    ],
)


@CAUSES
def test_a_deployed_forecaster_that_ended_the_process_is_rejected(tmp_path, outside, hung_s, crash, counter, reason):
    site = Site(tmp_path, outside)
    site.call()
    assert site.by == "model theirs"
    site.interrupt_call(hung_s)
    for log, times in ((crash, 1), ("", 0)):
        again = Site(tmp_path, outside, crash=log)
        assert again.by == "NumPy"
        assert reason in again.all.health()["rejected"]
        assert again.runtime.counters[counter] == times
        assert again.call() == pytest.approx(plain_forecast(TERMS_OF, WEIGHTS))
        again.all.close()
    live = Site(tmp_path)
    live.all.reconfigure(load(Config, {"model": str(outside)}))
    assert live.all.tick() is None
    assert live.by == "model linear-forecaster"
    assert reason in live.all.health()["rejected"]


@CAUSES
def test_the_shipped_forecaster_that_ended_the_process_is_disabled_once(tmp_path, hung_s, crash, counter, reason):
    site = Site(tmp_path)
    site.call()
    site.interrupt_call(hung_s)
    again = Site(tmp_path, crash=crash)
    assert (again.by, again.runtime.counters[counter]) == ("NumPy", 1)
    assert reason in again.all.health()["rejected"]
    assert again.call() == pytest.approx(plain_forecast(TERMS_OF, WEIGHTS))
    third = Site(tmp_path)
    assert third.all.health() == {"by": "model linear-forecaster"}


def test_a_model_is_rejected_after_the_second_process_that_was_killed_in_its_call(tmp_path, outside):
    Site(tmp_path, outside).interrupt_call()
    again = Site(tmp_path, outside)
    assert again.by == "model theirs"
    again.interrupt_call()
    third = Site(tmp_path, outside)
    assert third.by == "NumPy"
    assert "killed in a call of it, 2 times" in third.all.health()["rejected"]


def test_a_graceful_stop_clears_the_suspicion(tmp_path, outside):
    for _ in range(3):
        Site(tmp_path, outside).interrupt_call()
        again = Site(tmp_path, outside)
        assert again.by == "model theirs"
        again.all.close()


def nan(terms, weights):
    return np.full(len(terms), np.nan)


def fails(terms, weights):
    raise ModelRejectedError("model theirs: the interpreter failed")


@pytest.mark.parametrize(("how", "reason"), [(nan, "not finite"), (fails, "the interpreter failed")])
def test_a_deployed_forecaster_that_fails_is_replaced_immediately_and_permanently(tmp_path, outside, how, reason):
    site = Site(tmp_path, outside, lambda manifest, content: how)
    for _ in range(3):
        assert site.call() == pytest.approx(plain_forecast(TERMS_OF, WEIGHTS))
    assert reason in site.all.health()["rejected"]
    assert (site.runtime.counters["models_rolled_back"], site.runtime.counters["models_rejected"]) == (1, 1)
    assert Site(tmp_path, outside).by == "NumPy"


def test_a_slow_forecaster_is_replaced_and_validated_again_when_the_allowed_time_grows(tmp_path, outside):
    site = Site(tmp_path, outside, model_milliseconds=10)
    assert site.all._live is not None
    site.all._live.calls.overrun_s, site.all._live.calls.allowed_s = 1.0, 0.0
    assert site.call() == pytest.approx(plain_forecast(TERMS_OF, WEIGHTS))
    assert "1 of its 1 calls took more than 0 ms" in site.all.health()["rejected"]
    again = Site(tmp_path, outside, model_milliseconds=10)
    assert again.by == "NumPy"
    again.all.reconfigure(load(Config, {"model": str(outside), "model_milliseconds": 100}))
    assert again.all.tick() is not None
    assert again.all.health() == {"by": "model theirs"}


def test_nan_in_the_input_does_not_reject_the_model(tmp_path, outside):
    site = Site(tmp_path, outside)
    terms = TERMS_OF.copy()
    terms[2, 3] = np.nan
    assert np.isnan(site.call(terms)).tolist() == [False, False, True, False, False]
    assert site.by == "model theirs"


def test_the_shipped_forecaster_that_failed_is_used_again_after_the_next_start(tmp_path):
    site = Site(tmp_path, "", lambda manifest, content: nan, model_milliseconds=1)
    site.call()
    assert "not finite" in site.all.health()["rejected"]
    assert site.by == "NumPy"
    assert Site(tmp_path).by == "model linear-forecaster"


def test_the_forecaster_runs_if_the_disk_is_not_writable(tmp_path):
    (tmp_path / "forecasters").write_text("a file where a folder must be")
    site = Site(tmp_path)
    assert site.by == "model linear-forecaster"
    assert site.runtime.counters["models_not_saved"] > 0
    site.all.close()
