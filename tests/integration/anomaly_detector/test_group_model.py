"""Validation of group models in a real child process."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from edge_components.anomaly_detector.model_runtime.tflite_model import interpreter_class
from edge_components.anomaly_detector.model_runtime.validation_process import ValidationProcess
from strandline.training.loading import load_group
from strandline.training.model_writer import Graph, Operator, dense_network, write
from tests.unit.anomaly_detector.group_models import CHANNELS, WINDOW, endless, identity, offer

VALUES = WINDOW * len(CHANNELS)
MLPERF = Path(os.environ.get("STRANDLINE_MLPERF_MODELS", "mlperf-tiny"))
"""Folder of the MLPerf Tiny models, which are not part of the project."""


def test_a_valid_model_passes_validation_and_runs_for_any_number_of_rows(tmp_path):
    model = load_group(offer(tmp_path))
    for rows in (1, 7, 2, 300, 3):
        windows = np.random.default_rng(rows).normal(size=(rows, WINDOW, len(CHANNELS))).astype(np.float32)
        assert model(windows).reshape(windows.shape) == pytest.approx(windows, abs=1e-5)


def test_a_model_for_one_row_runs_for_many(tmp_path):
    port = {"name": "w", "shape": [1, VALUES], "dtype": "float32"}
    model = load_group(offer(tmp_path, inputs=[port], outputs=[port]))
    windows = np.random.default_rng(1).normal(size=(5, WINDOW, len(CHANNELS))).astype(np.float32)
    assert model(windows).reshape(windows.shape) == pytest.approx(windows, abs=1e-5)


def rejection(path, seconds=120.0):
    with pytest.raises(ModelRejectedError) as refused:
        load_group(path, seconds)
    return str(refused.value)


def test_a_model_of_another_size_or_with_other_bytes_is_rejected(tmp_path):
    assert "bytes, the manifest has" in rejection(offer(tmp_path / "a", size=VALUES))
    path = offer(tmp_path / "b")
    file = path.with_name("model.tflite")
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert "SHA-256" in rejection(path)


def test_a_truncated_model_is_rejected_even_if_the_child_crashes(tmp_path):
    whole = identity(VALUES)
    for part in (1 / 4, 1 / 2, 3 / 4):
        assert rejection(offer(tmp_path / str(part), whole[: int(part * len(whole))]))


def test_the_rejection_of_a_model_that_crashes_the_child_names_the_signal(tmp_path):
    # An operator with an input tensor that the graph does not have.
    graph = Graph("wild")
    graph.inputs, graph.outputs = [graph.tensor("in", (-1, VALUES))], [graph.tensor("out", (-1, VALUES))]
    graph.operators.append(Operator(101, 1, (0,), (1,)))
    content = bytearray(write(graph))
    killed = []
    for at in range(40, len(content), 24):
        broken = bytearray(content)
        broken[at : at + 4] = b"\xff\xff\xff\x7f"
        path = offer(tmp_path / str(at), bytes(broken))
        validation = ValidationProcess(path, 120.0)
        try:
            validation.wait()
        except ModelRejectedError as error:
            killed.append("signal" in str(error))
            if killed[-1]:
                break
    if not any(killed) and "ai_edge_litert" in interpreter_class().__module__:
        pytest.skip("LiteRT verifies the files, so none of them crashes it; all were rejected")
    assert any(killed)


def test_a_model_that_returns_nan_is_rejected(tmp_path):
    assert "is not finite" in rejection(offer(tmp_path, identity(VALUES, np.nan)))


def test_a_model_of_another_shape_is_rejected(tmp_path):
    assert "inputs are" in rejection(offer(tmp_path, identity(VALUES + 1)))
    narrow = dense_network([(np.zeros((VALUES, 2)), np.zeros(2))])
    assert "outputs are" in rejection(offer(tmp_path, narrow))


def test_the_validation_of_an_endless_model_is_terminated(tmp_path):
    began = time.monotonic()
    assert "no result in 1.5 s" in rejection(offer(tmp_path, endless(VALUES)), 1.5)
    assert time.monotonic() - began < 10


def test_a_validation_that_takes_too_much_memory_is_rejected(tmp_path):
    code = """
        import sys
        import numpy as np
        from edge_components.anomaly_detector.model_runtime import validation
        validation.MAX_MEMORY = 256 * 1024 * 1024
        validation.run_model = lambda path: np.ones(2**27).sum()
        sys.exit(validation.main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (1, "it needs more than 256 MB")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other/1"}, "format"),
        ({"kind": "oracle"}, "kind is 'oracle'"),
        ({"window": 0}, "window is '0', allowed is a whole number from 1"),
        ({"window": 3}, "inputs"),
        ({"channels": []}, "channels"),
        ({"channels": [{"name": "x", "unit": "", "centre": 0, "scale": 0}]}, r"channels\[\].scale is '0'"),
        ({"channels": [{"name": "x", "unit": "", "centre": float("nan"), "scale": 1}]}, r"channels\[\].centre"),
        ({"file": "../../etc/passwd"}, "file"),
        ({"group": ".."}, "group"),
        ({"size": -1}, "size"),
        ({"sha256": "x"}, "sha256"),
        ({"interval_ms": 0.5}, "interval_ms"),
        ({"calibration": {"threshold": [1], "excess": [1], "share": [1]}}, "calibration.threshold"),
        ({"inputs": [{"name": "w", "shape": [-1, 10**9], "dtype": "float32"}]}, r"inputs\[\].shape"),
        ({"inputs": [{"name": "w", "shape": [-1, VALUES], "dtype": "complex64"}]}, r"inputs\[0\].dtype"),
    ],
)
def test_an_invalid_value_in_a_manifest_is_rejected_by_its_key(tmp_path, changes, message):
    with pytest.raises(ModelRejectedError, match=message):
        GroupManifest.read(offer(tmp_path, **changes))


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_the_mlperf_tiny_autoencoders_run(tmp_path, kind):
    name = {"float32": "model_ToyCar.tflite", "int8": "model_ToyCar_quant_fullint_micro_intio.tflite"}[kind]
    if not (MLPERF / name).is_file():
        pytest.skip(f"{MLPERF / name} is not there: the MLPerf Tiny models are not part of the project")
    port = [{"name": "frames", "shape": [-1, 640], "dtype": kind}]
    bins = [f"bin{k}" for k in range(128)]
    path = offer(tmp_path, (MLPERF / name).read_bytes(), names=bins, window=5, inputs=port, outputs=port, clip=None)
    body = json.loads(path.read_text())
    body["channels"] = [{"name": name, "unit": "dB", "centre": 0.0, "scale": 1.0} for name in bins]
    path.write_text(json.dumps(body))
    model = load_group(path)
    usual = np.random.default_rng(1).uniform(-30, 10, size=(4, 5, 128)).astype(np.float32)
    given = model(usual)
    assert given.shape == (4, 640)
    assert -80 < given.mean() < 30
    assert (given.std(axis=1) > 1).all()


def test_the_int8_model_approximates_the_float_model(tmp_path):
    files = [MLPERF / "model_ToyCar.tflite", MLPERF / "model_ToyCar_quant_fullint_micro_intio.tflite"]
    if not all(file.is_file() for file in files):
        pytest.skip(f"{MLPERF}: the MLPerf Tiny models are not part of the project")
    usual = np.random.default_rng(2).uniform(-25, 0, size=(3, 5, 128)).astype(np.float32)
    outputs = []
    for file, kind in zip(files, ("float32", "int8"), strict=True):
        port = [{"name": "frames", "shape": [-1, 640], "dtype": kind}]
        names = [f"bin{k}" for k in range(128)]
        path = offer(tmp_path / kind, file.read_bytes(), names=names, window=5, inputs=port, outputs=port, clip=None)
        outputs.append(load_group(path)(usual))
    assert np.abs(outputs[0] - outputs[1]).mean() < 2.0
