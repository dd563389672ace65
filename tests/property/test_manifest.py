"""Any manifest is read or rejected with an error message."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_components.anomaly_detector.errors import ModelRejectedError
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from tests.unit.anomaly_detector.group_models import offer

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner))
with tempfile.TemporaryDirectory() as _folder:
    GOOD = json.loads(offer(Path(_folder)).read_text())


def read(text: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.json"
        path.write_bytes(text)
        return GroupManifest.read(path)


def read_or_rejected(text: bytes) -> None:
    try:
        manifest = read(text)
    except ModelRejectedError:
        return
    # A manifest that was read can be used for scoring.
    assert len(manifest.channels) == len(manifest.centre) == len(manifest.scale) == len(manifest.units) > 0
    assert np.isfinite(manifest.centre).all()
    assert (manifest.scale > 0).all()
    assert manifest.inputs[0].values == manifest.window * len(manifest.channels)
    assert manifest.file.parent.is_absolute()


def test_the_valid_manifest_is_read():
    assert read(json.dumps(GOOD).encode()).group == "pump"


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(sorted(GOOD)), VALUES)
def test_any_value_of_a_key_is_read_or_rejected(key, value):
    read_or_rejected(json.dumps(GOOD | {key: value}).encode())


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(["channels", "inputs", "outputs"]), st.sampled_from(["name", "scale", "shape", "dtype"]), VALUES)
def test_any_value_within_a_list_is_read_or_rejected(key, inner, value):
    changed = [one | {inner: value} for one in GOOD[key]]
    read_or_rejected(json.dumps(GOOD | {key: changed}).encode())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_rejected(text):
    read_or_rejected(text)
