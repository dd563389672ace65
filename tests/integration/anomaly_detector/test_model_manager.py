"""Deployment, failure, replacement and removal of models while the detector scores, with real child processes."""

import json
import shutil
import time

import numpy as np
import pytest

from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime import in_flight_marker
from edge_components.anomaly_detector.model_runtime.live_forecast import LiveForecast
from edge_components.anomaly_detector.model_runtime.live_model import FIRST_CALLS
from edge_components.anomaly_detector.model_runtime.tflite_model import GroupModel
from edge_components.anomaly_detector.model_runtime.validation_process import ValidationProcess
from edge_components.common.config import load
from strandline.training.shipped_forecaster import files
from tests.unit.anomaly_detector.group_models import CHANNELS, endless, identity, offer
from tests.unit.anomaly_detector.model_site import TAILS, VALUES, Plant, usual, zeros


@pytest.fixture
def plant(tmp_path):
    made = Plant(tmp_path)
    yield made
    made.detector.close()


@pytest.fixture
def careful(tmp_path):
    """A plant that validates models in child processes; version 0.9 has a time limit of 3 s."""
    made = Plant(
        tmp_path, validate=lambda path: ValidationProcess(path, 3.0 if '"0.9.0"' in path.read_text() else 120.0)
    )
    yield made
    made.detector.close()


def test_a_deployed_model_scores_without_a_restart_and_its_scores_are_explained(plant):
    usual(plant)
    plant.deploy("0.1.0")
    plant.settle()
    assert plant.version() == "0.1.0"
    usual(plant, 3)
    score = plant.score([10.1, 16.0, 10.1])
    assert score[1] >= 1.0
    (onset,) = [report for report in plant.reports() if report.series == "pump1.y"]
    assert (onset.cause, onset.direction) == ("model", "up")
    assert onset.expected == pytest.approx(10.0)
    assert onset.lower < onset.expected < onset.upper < onset.observed
    assert onset.causes["model"] >= 1.0


def test_a_model_is_confirmed_after_its_first_calls_and_restored_after_a_restart(plant, tmp_path):
    plant.deploy("0.1.0")
    plant.settle()
    usual(plant, FIRST_CALLS)
    assert plant.health()["live"]["pump"]["state"] == "in its first calls"
    usual(plant, 5)
    assert plant.health()["live"]["pump"]["state"] == "live"
    assert plant.runtime.counters["models_confirmed"] == 1
    plant.detector.close()
    again = Plant(tmp_path)
    again.settle()
    assert again.health()["live"]["pump"]["state"] == "live"
    again.detector.close()


def test_a_new_version_replaces_the_old_one_and_the_previous_one_is_kept(plant):
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        plant.deploy(version, identity(VALUES))
        plant.settle()
        assert plant.version() == version
        usual(plant, FIRST_CALLS + 3)
    kept = [json.loads(path.read_text())["version"] for path in plant.work.glob("models/pump/*/manifest.json")]
    assert sorted(kept) == ["0.2.0", "0.3.0"]


BAD = {
    "truncated": ({"model": zeros()[:300]}, None),
    "of another size": ({"size": 12}, "bytes, the manifest has 12"),
    "with other bytes": ({"sha256": "0" * 64}, "SHA-256"),
    "of another shape": ({"model": identity(VALUES + 1)}, "inputs are"),
    "that returns NaN": ({"model": identity(VALUES, np.nan)}, "is not finite"),
    "with a wrong manifest": ({"window": "two"}, "window is 'two'"),
    "without its calibration's keys": ({"calibration": {}}, "calibration.threshold"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_old_model_stays_if_the_new_one_is(careful, name):
    plant, (changes, reason) = careful, BAD[name]
    plant.deploy("0.1.0")
    plant.settle()
    usual(plant, FIRST_CALLS + 3)
    plant.deploy("0.2.0", **changes)
    plant.settle()
    assert plant.version() == "0.1.0"
    assert plant.runtime.counters["models_rejected"] == 1
    (reported,) = plant.health()["rejected"].values()
    assert reason is None or reason in reported
    usual(plant, 2)
    assert plant.score([10.1, 16.0, 10.1])[1] >= 1.0
    assert plant.version() == "0.1.0"


def test_scoring_continues_while_an_endless_model_is_validated_and_rejected(careful):
    plant = careful
    plant.deploy("0.1.0")
    plant.settle()
    plant.deploy("0.9.0", endless(VALUES))
    plant.clock.advance(3)
    plant.detector.tick()
    assert plant.health()["validating"] == "pump 0.9.0"
    began = time.monotonic()
    usual(plant)
    assert time.monotonic() - began < 2.5  # scoring does not wait for the validation
    usual(plant, 30)  # and the old model is confirmed meanwhile
    plant.until(lambda: plant.runtime.counters["models_rejected"] == 1, "the endless model is rejected")
    assert "no result in 3 s" in plant.health()["rejected"]["pump 0.9.0"]
    assert plant.version() == "0.1.0"


def failing_after(calls, how, version="0.2.0"):
    """Return a loader of models of which one version fails after a number of calls, after its validation."""

    def load_model(manifest, content):
        model, made = GroupModel(manifest, content), 0

        def run(windows):
            nonlocal made
            made += 1
            return how(model, windows) if manifest.version == version and made > calls else model(windows)

        return run

    return load_model


def returns_nan(model, windows):
    raise ModelRejectedError(f"model {model.manifest.name}: output is not finite")


def other_shape(model, windows):
    return model(windows)[:, :2]


def slow(model, windows):
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    return model(windows)


@pytest.mark.parametrize(
    ("how", "reason"),
    [(returns_nan, "not finite"), (other_shape, "output is (1, 2)"), (slow, "took more than 10 ms")],
)
def test_a_model_that_fails_in_its_first_calls_is_rolled_back(tmp_path, how, reason):
    plant = Plant(tmp_path, failing_after(5, how), model_milliseconds=10)
    plant.deploy("0.1.0")
    plant.settle()
    usual(plant, FIRST_CALLS + 3)
    plant.deploy("0.2.0", identity(VALUES))
    plant.settle()
    assert plant.version() == "0.2.0"
    usual(plant, FIRST_CALLS)
    assert plant.version() == "0.1.0"
    assert plant.runtime.counters["models_rolled_back"] == 1
    assert reason in plant.health()["rejected"]["pump 0.2.0"]
    usual(plant, 3)
    assert plant.score([10.1, 16.0, 10.1])[1] >= 1.0
    plant.settle()
    assert plant.version() == "0.1.0"  # it is not validated again
    plant.detector.close()
    again = Plant(tmp_path)
    again.settle()
    assert again.version() == "0.1.0"  # also not after a restart
    assert reason in again.health()["rejected"]["pump 0.2.0"]
    again.detector.close()


def test_a_slow_model_is_validated_again_when_the_allowed_time_grows(tmp_path):
    plant = Plant(tmp_path, failing_after(0, slow), model_milliseconds=10)
    plant.deploy("0.2.0")
    plant.settle()
    usual(plant, FIRST_CALLS)
    assert plant.version() is None
    plant.detector.reconfigure(load(Config, {"calibration_windows": 20, "model_milliseconds": 1000}))
    plant.settle()
    usual(plant, FIRST_CALLS + 3)
    assert plant.health() == {"live": plant.health()["live"], "rejected": {}}
    assert plant.health()["live"]["pump"]["state"] == "live"
    plant.detector.close()


def test_an_unexpected_exception_of_a_model_does_not_stop_scoring(tmp_path):
    def surprise(model, windows):
        raise ZeroDivisionError("a surprise")

    plant = Plant(tmp_path, failing_after(5, surprise))
    plant.deploy("0.2.0")
    plant.settle()
    usual(plant, FIRST_CALLS)
    assert plant.runtime.counters["scoring_failed"] == 0
    assert "a surprise" in plant.health()["rejected"]["pump 0.2.0"]
    plant.detector.close()


def test_the_previous_model_is_the_last_confirmed_one(tmp_path):
    plant = Plant(tmp_path, failing_after(1, returns_nan, "0.3.0"))
    plant.deploy("0.1.0")
    plant.settle()
    usual(plant, FIRST_CALLS + 3)
    plant.deploy("0.2.0", identity(VALUES))
    plant.settle()
    usual(plant, 3)
    plant.deploy("0.3.0", identity(VALUES))
    plant.settle()
    assert plant.version() == "0.3.0"
    usual(plant, 3)
    assert plant.version() == "0.1.0"
    plant.detector.close()


def test_a_model_is_withdrawn_with_its_component(plant, tmp_path):
    fan = tuple(f"fan.{name}" for name in CHANNELS)
    plant.deploy("0.1.0")
    plant.deploy("0.1.0", component="io.strandline.model.Fan", group="fan", devices=None, names=fan)
    plant.settle()
    assert set(plant.health()["live"]) == {"pump", "fan"}
    shutil.rmtree(tmp_path / "packages" / "io.strandline.model.Fan")
    plant.settle()
    assert set(plant.health()["live"]) == {"pump"}
    assert plant.runtime.counters["models_withdrawn"] == 1


def test_a_second_component_with_the_same_group_is_rejected(plant):
    plant.deploy("0.1.0")
    plant.deploy("0.9.0", component="io.strandline.model.Other")
    plant.settle()
    assert plant.runtime.counters["models_swapped_in"] == 1
    assert any("group pump has a model in" in why for why in plant.health()["rejected"].values())


def test_a_configuration_update_changes_the_folders_of_models(plant, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    offer(elsewhere, zeros(), "0.7.0", calibration=TAILS)
    plant.deploy("0.1.0")
    plant.settle()
    plant.detector.reconfigure(load(Config, {"calibration_windows": 20, "models": [str(elsewhere)]}))
    plant.settle()
    assert plant.version() == "0.7.0"
    plant.detector.reconfigure(load(Config, {"calibration_windows": 20, "models": []}))
    plant.settle()
    assert plant.health()["live"] == {}


def test_a_forecaster_is_swapped_in_and_an_invalid_one_is_rejected(plant, tmp_path):
    for name, content in files().items():
        (tmp_path / name).write_bytes(content)
    changed = {"calibration_windows": 20, "model": str(tmp_path / "forecaster.json")}
    plant.detector.reconfigure(load(Config, changed))
    plant.until(lambda: plant.runtime.counters["models_swapped_in"] == 1, "the forecaster is swapped")
    assert isinstance(plant.detector._scoring.ensemble.forecast, LiveForecast)
    plant.detector.reconfigure(load(Config, changed | {"model": str(tmp_path / "none.json")}))
    assert plant.runtime.counters["models_rejected"] == 1
    assert isinstance(plant.detector._scoring.ensemble.forecast, LiveForecast)


def test_a_model_is_rejected_after_two_processes_that_ended_in_its_first_calls(tmp_path):
    first = Plant(tmp_path)
    first.deploy("0.1.0")
    first.settle()
    assert first.version() == "0.1.0"
    second = Plant(tmp_path)  # the first process was never closed
    second.settle()
    assert second.version() == "0.1.0"
    third = Plant(tmp_path)
    third.settle()
    assert third.version() is None
    assert "2 times" in third.health()["rejected"]["pump 0.1.0"]
    third.detector.close()


def test_a_graceful_stop_in_the_first_calls_is_not_counted_against_the_model(tmp_path):
    for _ in range(3):
        plant = Plant(tmp_path)
        plant.deploy("0.1.0")
        plant.settle()
        assert plant.version() == "0.1.0"
        plant.detector.close()


def two_confirmed_models(tmp_path, **how):
    """Return a plant whose second version is confirmed, with the first one as the previous version."""
    plant = Plant(tmp_path, **how)
    for version in ("0.1.0", "0.2.0"):
        plant.deploy(version, identity(VALUES))
        plant.settle()
        usual(plant, FIRST_CALLS + 3)
    assert plant.health()["live"]["pump"]["state"] == "live"
    return plant


def interrupt_call(plant, hung_s=0.0):
    """Restore on disk the state that a process leaves when it ends during a call."""
    marker = plant.manager._live["pump"].calls.marker
    marker.toggle()
    marker.record_hang(hung_s)


@pytest.mark.parametrize(
    ("hung_s", "crash", "counter", "reason"),
    [
        (20.0, "", "models_hung", "a call hung after 22 calls, for 20 s"),
        (0.0, "Fatal Python error: Aborted", "models_crashed", "crashed in a call of it, after 22: Fatal Python error"),
    ],
)
def test_a_model_that_ended_the_process_is_rejected_and_the_previous_one_is_used(
    tmp_path, hung_s, crash, counter, reason
):
    plant = two_confirmed_models(tmp_path)
    interrupt_call(plant, hung_s)
    again = Plant(tmp_path, crash=crash)
    again.settle()
    assert again.health()["live"]["pump"] | {"version": "0.1.0", "state": "live"} == again.health()["live"]["pump"]
    assert reason in again.health()["rejected"]["pump 0.2.0"]
    assert (again.runtime.counters[counter], again.runtime.counters["models_rejected"]) == (1, 1)
    usual(again, 3)
    assert again.score([10.1, 16.0, 10.1])[1] is not None
    interrupt_call(again, 20.0)
    third = Plant(tmp_path)
    third.settle()
    assert third.version() is None  # no model is left, and the component continues
    assert set(third.health()["rejected"]) == {"pump 0.1.0", "pump 0.2.0"}
    usual(third, 3)
    third.detector.close()


def test_a_model_is_rejected_after_two_processes_that_were_killed_in_its_calls(tmp_path):
    plant = two_confirmed_models(tmp_path)
    interrupt_call(plant)
    again = Plant(tmp_path)
    again.settle()
    assert again.version() == "0.2.0"
    assert again.health()["live"]["pump"]["state"] == "in its first calls"
    assert again.runtime.counters["models_rejected"] == 0
    interrupt_call(again)
    third = Plant(tmp_path)
    third.settle()
    assert third.version() == "0.1.0"
    assert "killed in a call of it, 2 times" in third.health()["rejected"]["pump 0.2.0"]
    third.detector.close()


def test_a_suspected_model_is_confirmed_again_after_successful_calls(tmp_path):
    for _ in range(3):  # each of which would be the second interrupted call
        plant = Plant(tmp_path)
        plant.deploy("0.2.0", identity(VALUES))
        plant.settle()
        usual(plant, FIRST_CALLS + 3)
        assert plant.health()["live"]["pump"]["state"] == "live"
        interrupt_call(plant)


def test_a_crash_between_calls_is_not_attributed_to_a_model(tmp_path):
    two_confirmed_models(tmp_path)
    again = Plant(tmp_path, crash="Fatal Python error: Segmentation fault")
    again.settle()
    assert again.health()["live"]["pump"]["state"] == "live"
    again.detector.close()


def test_a_marker_from_before_a_reboot_is_ignored(tmp_path, monkeypatch):
    plant = two_confirmed_models(tmp_path)
    interrupt_call(plant, 20.0)
    monkeypatch.setattr(in_flight_marker, "_boot", lambda: b"another boot, 16")
    again = Plant(tmp_path)
    again.settle()
    assert again.health()["live"]["pump"]["state"] == "live"
    again.detector.close()


def test_a_confirmed_model_that_returns_nan_is_rolled_back(tmp_path):
    plant = two_confirmed_models(tmp_path, load_model=failing_after(40, returns_nan))
    usual(plant, 40)
    assert plant.runtime.counters["models_rolled_back"] == 1
    plant.settle()
    assert plant.health()["live"]["pump"] | {"version": "0.1.0", "state": "live"} == plant.health()["live"]["pump"]
    plant.detector.close()


def test_a_confirmed_model_that_becomes_slow_is_rolled_back(tmp_path):
    plant = two_confirmed_models(tmp_path, load_model=failing_after(40, slow), model_milliseconds=10)
    usual(plant, 100)
    plant.settle()
    assert plant.version() == "0.1.0"
    assert "of its " in plant.health()["rejected"]["pump 0.2.0"]
    assert "calls took more than 10 ms" in plant.health()["rejected"]["pump 0.2.0"]
    plant.detector.close()


def test_a_model_without_a_marker_file_scores(plant, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(in_flight_marker, "_mapped", full)
    plant.deploy("0.1.0")
    plant.settle()
    assert plant.version() == "0.1.0"
    assert plant.runtime.counters["models_not_saved"] == 1


def test_an_unreadable_record_of_models_is_replaced(tmp_path):
    (tmp_path / "work" / "io.strandline.AnomalyDetector" / "models").mkdir(parents=True)
    (tmp_path / "work" / "io.strandline.AnomalyDetector" / "models" / "state.json").write_text("[1]")
    plant = Plant(tmp_path)
    assert plant.runtime.counters["models_state_rejected"] == 1
    plant.deploy("0.1.0")
    plant.settle()
    assert plant.version() == "0.1.0"
    plant.detector.close()


def test_scoring_continues_if_the_disk_is_not_writable(tmp_path):
    place = tmp_path / "work" / "io.strandline.AnomalyDetector"
    place.mkdir(parents=True)
    (place / "models").write_text("a file where a folder must be")
    plant = Plant(tmp_path)
    plant.deploy("0.1.0")
    plant.settle()
    assert plant.runtime.counters["models_not_saved"] > 0
    assert plant.version() is None
    assert np.isnan(usual(plant)).all()
    plant.detector.close()


def test_calibration_of_a_model_survives_a_restart(tmp_path):
    plant = Plant(tmp_path)
    plant.deploy("0.1.0")
    plant.settle()
    usual(plant, 30)
    assert plant.health()["live"]["pump"]["calibrated"] == 1
    plant.detector.close()
    again = Plant(tmp_path)
    again.settle()
    assert again.health()["live"]["pump"]["calibrated"] == 1
    kept = next(again.work.glob("models/pump/*/levels.npz")).stat().st_mtime_ns
    usual(again, 30)
    again.manager.save()
    assert next(again.work.glob("models/pump/*/levels.npz")).stat().st_mtime_ns == kept  # without a change
    again.detector.close()


def test_windows_of_another_width_are_logged_once(plant, caplog):
    plant.deploy("0.1.0", interval_ms=5000)
    plant.settle()
    usual(plant, 3)
    plant.settle()
    plant.settle()
    reported = [record.message for record in caplog.records if "windows of 5000 ms" in record.message]
    assert len(reported) == 1
    assert plant.health()["live"]["pump"]["windows_of_other_width"] == 9


def test_the_health_report_fits_a_message(plant):
    for k in range(20):
        names = tuple(f"d{k}.{name}" for name in CHANNELS)
        plant.deploy("0.1.0", component=f"io.strandline.model.G{k}", group=f"g{k}", devices=None, names=names)
        plant.deploy("0.1.0", component=f"io.strandline.model.B{k}", group=f"b{k}", kind="x" * 500)
    for _ in range(60):
        plant.clock.advance(2.5)
        plant.detector.tick()
    assert plant.runtime.counters["models_swapped_in"] == 20
    assert len(plant.health()["rejected"]) == len(plant.health()["live"]) == 12
    assert len(json.dumps(plant.detector.health())) < 6_000
