"""TFLite is optional on a gateway: without it the statistics work, and models report why they do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_components.anomaly_detector.model_runtime import tflite_model
from tests.unit.anomaly_detector.model_site import Plant, usual

REPO = Path(__file__).parents[3]
ABSENT = ("absent_litert.interpreter", "absent_tflite.interpreter")


@pytest.fixture
def without(monkeypatch):
    monkeypatch.setattr(tflite_model, "_RUNTIMES", ABSENT)


def test_a_model_waits_for_a_runtime_and_is_not_rejected_for_good(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite_model, "_RUNTIMES", ABSENT)
    plant = Plant(tmp_path)
    plant.deploy("0.1.0")
    plant.settle()
    usual(plant, 3)
    health = plant.health()
    assert health["live"] == {}
    assert health["refused"]["pump 0.1.0"].startswith("no TFLite runtime is installed")
    assert plant.runtime.counters["model_refused"] == 1
    plant.detector.close()

    monkeypatch.undo()  # the package was installed, and the component restarted
    again = Plant(tmp_path)
    again.settle()
    assert again.version() == "0.1.0"
    assert again.health()["refused"] == {}
    again.detector.close()


def test_the_statistics_score_without_a_runtime(tmp_path, without):
    plant = Plant(tmp_path)
    usual(plant, 60)
    assert plant.score([10.1, 60.0, 10.1])[1] >= 1.0
    plant.detector.close()


def test_no_module_of_the_detector_needs_a_runtime_when_it_is_imported(tmp_path):
    for name in ("tflite_runtime", "ai_edge_litert"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('absent')\n")
    code = "import edge_components.anomaly_detector.main as m; m.build; print('imported')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPO}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "imported\n"), done.stderr
