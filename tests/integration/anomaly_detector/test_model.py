"""The shipped model, and models that are rejected."""

import hashlib
import json

import numpy as np
import pytest

from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.univariate.forecaster import TERMS, plain_forecast
from strandline.training import loading
from strandline.training import shipped_forecaster as shipped
from tests.unit.anomaly_detector.plant import watch


@pytest.fixture(scope="module")
def forecast():
    return loading.load_forecast()


def copy_of_shipped(folder, **changes):
    """Copy the shipped model into a folder and change keys of its manifest."""
    for name, content in shipped.files().items():
        (folder / name).write_bytes(content)
    manifest = folder / "forecaster.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))
    return manifest


@pytest.mark.parametrize("name", ["forecaster.tflite", "forecaster.json"])
def test_the_writer_reproduces_the_committed_files(name):
    assert (shipped.FOLDER / name).read_bytes() == shipped.files()[name]


def test_the_model_forecasts_as_numpy_does(forecast):
    rng = np.random.default_rng(1)
    for n in (1, 5, 40, 3, 200):
        terms, weights = rng.normal(size=(n, TERMS)), rng.normal(size=(n, TERMS)) / 10
        assert forecast(terms, weights) == pytest.approx(plain_forecast(terms, weights), abs=1e-4)


def test_the_detector_has_the_same_results_with_the_model_and_with_numpy(forecast):
    by_model, by_numpy = watch(5, forecast=forecast), watch(5)
    assert by_model.onsets == by_numpy.onsets
    assert np.array(by_model.scores) == pytest.approx(np.array(by_numpy.scores), abs=1e-2, nan_ok=True)


def test_a_model_of_another_size_is_rejected(tmp_path):
    path = copy_of_shipped(tmp_path, size=719)
    with pytest.raises(ModelRejectedError, match="has 720 bytes, the manifest has 719"):
        loading.load(path)


def test_a_model_with_other_bytes_is_rejected(tmp_path):
    path = copy_of_shipped(tmp_path)
    file = tmp_path / "forecaster.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelRejectedError, match="SHA-256"):
        loading.load(path)


def test_a_truncated_model_with_a_matching_manifest_is_rejected_by_the_child(tmp_path):
    path = copy_of_shipped(tmp_path)
    file = tmp_path / "forecaster.tflite"
    cut = file.read_bytes()[:300]
    file.write_bytes(cut)
    body = json.loads(path.read_text()) | {"size": len(cut), "sha256": hashlib.sha256(cut).hexdigest()}
    path.write_text(json.dumps(body))
    with pytest.raises(ModelRejectedError):
        loading.load(path)


def test_a_model_with_another_shape_than_its_manifest_is_rejected(tmp_path):
    port = {"name": "terms", "shape": [-1, 12], "dtype": "float32"}
    path = copy_of_shipped(tmp_path, inputs=[port, port])
    with pytest.raises(ModelRejectedError, match=r"inputs are .*97.*12"):
        loading.load(path)


def test_a_forecaster_with_more_than_one_value_for_each_row_is_rejected(tmp_path):
    port = {"name": "forecast", "shape": [-1, 1], "dtype": "float32"}
    with pytest.raises(ModelRejectedError, match=r"outputs are \[\(\(\), 'float32'\)\]"):
        loading.load_forecast(copy_of_shipped(tmp_path, outputs=[port]))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x"}'])
def test_an_invalid_manifest_file_is_rejected(tmp_path, text):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(ModelRejectedError, match=r"manifest .*m\.json"):
        loading.load(path)
