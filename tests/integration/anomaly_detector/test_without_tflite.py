"""TFLite is optional on a gateway: without it the statistics work, and models are reported as not usable."""

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


def test_a_model_is_validated_once_a_runtime_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite_model, "_RUNTIMES", ABSENT)
    plant = Plant(tmp_path)
    plant.deploy("0.1.0")
    plant.settle()
    usual(plant, 3)
    health = plant.health()
    assert health["live"] == {}
    assert health["rejected"]["pump 0.1.0"].startswith("no TFLite runtime is installed")
    assert plant.runtime.counters["models_rejected"] == 1
    plant.detector.close()

    monkeypatch.undo()  # the package was installed, and the component restarted
    again = Plant(tmp_path)
    again.settle()
    assert again.version() == "0.1.0"
    assert again.health()["rejected"] == {}
    again.detector.close()


def test_the_statistics_score_without_a_runtime(tmp_path, without):
    plant = Plant(tmp_path)
    usual(plant, 60)
    assert plant.score([10.1, 60.0, 10.1])[1] >= 1.0
    plant.detector.close()


def test_the_detector_can_be_imported_without_a_runtime(tmp_path):
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
