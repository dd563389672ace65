"""A stop of the component also stops the validation of a model, which is not counted as a failure of the model."""

from __future__ import annotations

import signal

import pytest

from edge_components.anomaly_detector.errors import ValidationInterruptedError
from edge_components.anomaly_detector.model_runtime.forecaster_manager import ForecasterManager
from edge_components.anomaly_detector.model_runtime.model_manager import MAX_INTERRUPTIONS
from edge_components.anomaly_detector.model_runtime.validation_process import ValidationProcess
from edge_components.anomaly_detector.univariate.forecaster import plain_forecast
from tests.fakes import fake_runtime
from tests.unit.anomaly_detector.group_models import endless, offer
from tests.unit.anomaly_detector.model_site import PassedValidation, Plant
from tests.unit.anomaly_detector.test_component import CONFIG


class Interrupted(PassedValidation):
    """A validation that receives a stop signal, ``times`` times."""

    times = 0
    begun = 0

    def __init__(self, path):
        super().__init__(path)
        type(self).begun += 1

    def outcome(self):
        if type(self).times > 0:
            type(self).times -= 1
            raise ValidationInterruptedError("its validation was asked to stop")
        return super().outcome()


@pytest.fixture
def interrupted():
    return type("Fresh", (Interrupted,), {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_validation_that_is_signalled_to_stop_is_interrupted(tmp_path, number):
    # A shell starts background jobs with SIGINT ignored, and children inherit that.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        trial = ValidationProcess(offer(tmp_path, endless(2)), 20.0)
    finally:
        signal.signal(number, before)
    trial._child.send_signal(number)
    with pytest.raises(ValidationInterruptedError):
        trial.wait()


def test_an_interrupted_validation_is_repeated_without_a_rejection(tmp_path, interrupted):
    interrupted.times = MAX_INTERRUPTIONS - 1
    plant = Plant(tmp_path, validate=interrupted)
    plant.deploy("1.0.0")
    plant.settle()
    assert plant.version() == "1.0.0"
    assert plant.health()["rejected"] == {}
    assert interrupted.begun == MAX_INTERRUPTIONS
    assert plant.runtime.counters["validations_interrupted"] == MAX_INTERRUPTIONS - 1


def test_a_restart_after_an_interrupted_validation_validates_the_model_again(tmp_path, interrupted):
    interrupted.times = 1
    plant = Plant(tmp_path, validate=interrupted)
    plant.deploy("1.0.0")
    plant.clock.advance(2.5)
    plant.detector.tick()
    plant.detector.tick()
    plant.detector.close()
    plant = Plant(tmp_path, validate=interrupted)
    plant.settle()
    assert plant.version() == "1.0.0"


def test_a_model_whose_validation_is_always_interrupted_is_rejected(tmp_path, interrupted):
    interrupted.times = 100
    plant = Plant(tmp_path, validate=interrupted)
    plant.deploy("1.0.0")
    plant.settle()
    assert f"{MAX_INTERRUPTIONS} times" in str(plant.health()["rejected"])
    assert interrupted.begun == MAX_INTERRUPTIONS


def test_the_forecaster_starts_without_its_model_and_validates_it_again(tmp_path, interrupted):
    interrupted.times = 1
    runtime, _bus, _clock = fake_runtime(tmp_path)
    forecasters = ForecasterManager(CONFIG, runtime, validate=interrupted)
    assert forecasters.first() is plain_forecast
    assert "rejected" not in forecasters.health()
    forecast = forecasters.tick() or forecasters.tick()
    assert forecast is not None
    assert runtime.counters["models_rejected"] == 0


def test_the_forecaster_stops_validating_after_a_few_interruptions(tmp_path, interrupted):
    interrupted.times = 100
    runtime, _bus, _clock = fake_runtime(tmp_path)
    forecasters = ForecasterManager(CONFIG, runtime, validate=interrupted)
    forecasters.first()
    for _ in range(20):
        forecasters.tick()
    assert interrupted.begun == MAX_INTERRUPTIONS
