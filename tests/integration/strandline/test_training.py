"""Tests of training from recorded tables: results, packaging, and rejected input."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from device_sim.greengrass.profile import PROFILES
from device_sim.greengrass.recipe import Platform
from device_sim.greengrass.recipes import load
from edge_components.anomaly_detector.model_runtime.error_levels import Tails
from edge_components.anomaly_detector.model_runtime.manifest import GroupManifest
from strandline.errors import StrandlineError, TrainingError
from strandline.training import dataset, dense
from strandline.training.loading import load_group
from strandline.training.model_component import copy_newest_models
from strandline.training.train import Request, Trained, train
from tests.command_line import invoke

NAMES = ("pressure", "flow", "current", "speed")
START_S = 1_700_000_000


def plant(rows: int, seed: int = 1, gap: int | None = None) -> str:
    """A table of four channels that follow two hidden loads, one row a second."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(rows) + (0 if gap is None else np.where(np.arange(rows) >= gap, 100, 0))
    loads = np.sin(seconds[:, None] / np.array([37.0, 11.0])) + 0.05 * rng.normal(size=(rows, 2))
    mixed = loads @ np.array([[1.0, 0.5, -1.0, 0.3], [0.2, -1.0, 0.4, 1.0]]) + 0.02 * rng.normal(size=(rows, 4))
    lines = [
        f"{START_S + s},{','.join(f'{50 + 4 * v:.5f}' for v in row)}" for s, row in zip(seconds, mixed, strict=True)
    ]
    return "\n".join(["time," + ",".join(NAMES), *lines]) + "\n"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pump.csv"
    path.write_text(plant(1500))
    return path


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "EPOCHS", 120)


def unpacked(trained: Trained, folder: Path) -> Path:
    with zipfile.ZipFile(trained.packed.artifact) as archive:
        archive.extractall(folder)
    return folder / "manifest.json"


@pytest.mark.parametrize("kind", ["autoencoder", "forecaster"])
def test_a_trained_model_fits_the_plant_and_its_manifest_has_the_figures(
    table: Path, tmp_path: Path, kind: str
) -> None:
    trained = train(Request(table, "pump", tmp_path / "out", kind=kind, window=4))
    figures = trained.manifest["metrics"]
    assert figures["explained"] > 0.9
    assert figures["held_out_windows"] > 250
    assert all(one["shifts_seen"] > 0.9 for one in figures["channels"].values())
    model = load_group(unpacked(trained, tmp_path / "model"))
    parts = dataset.split(dataset.read(table, "", (), None))
    windows = dataset.windows(parts.held_out, 5)
    outcome = model(windows[:, :4].astype(np.float32))
    if kind == "forecaster":
        errors = np.abs(outcome - windows[:, 4])
    else:
        errors = np.sqrt(np.square(outcome.reshape(-1, 4, 4) - windows[:, :4]).mean(axis=1))
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(figures["rms_error"], rel=0.05)
    defaults = model.manifest.defaults
    assert defaults is not None
    level = Tails(defaults.threshold[None], defaults.excess[None], defaults.share[None]).levels(1e-4)[0, :4]
    assert (errors < level).mean() > 0.995


@pytest.mark.slow
def test_the_same_data_and_seed_give_the_same_bytes_and_another_seed_others(table: Path, tmp_path: Path) -> None:
    def bytes_of(name: str, **more: Any) -> bytes:
        return train(Request(table, "pump", tmp_path / name, window=2, **more)).packed.artifact.read_bytes()

    assert bytes_of("one") == bytes_of("two")
    assert bytes_of("three", seed=2) != bytes_of("one2")


def test_the_component_is_one_that_both_kinds_of_nucleus_take(table: Path, tmp_path: Path) -> None:
    request = Request(table, "pump", tmp_path, kind="forecaster", units=("bar", "l/s", "A", "1/s"), devices="pump*")
    trained = train(request)
    recipe = yaml.safe_load(trained.packed.recipe.read_text())
    assert (recipe["ComponentName"], recipe["ComponentVersion"]) == ("io.strandline.model.Pump", "0.1.0")
    assert "ComponentDependencies" not in recipe
    assert trained.packed.recipe == tmp_path / "recipes" / "io.strandline.model.Pump-0.1.0.yaml"
    assert trained.packed.artifact == tmp_path / "artifacts" / "io.strandline.model.Pump" / "0.1.0" / "model.zip"
    for profile in PROFILES.values():
        loaded = load(trained.packed.recipe, profile, Platform("linux", "aarch64"))
        assert set(loaded.steps) == {"run"}
        assert [(a.file, a.unzip) for a in loaded.artifacts] == [("model.zip", True)]
    manifest = GroupManifest.read(unpacked(trained, tmp_path / "model"))
    assert manifest.channels == NAMES
    assert manifest.units == ("bar", "l/s", "A", "1/s")
    assert (manifest.devices, manifest.interval_ms, manifest.window) == ("pump*", 1000, 8)
    body = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert body["training"]["windows"] == 1500
    assert body["training"]["from"] == "2023-11-14T22:13:20+00:00"
    assert len(body["training"]["data_sha256"]) == 64


def test_each_training_is_the_next_version_and_none_is_overwritten(table: Path, tmp_path: Path) -> None:
    request = Request(table, "pump", tmp_path, kind="forecaster", window=1)
    assert [train(request).packed.version for _ in range(3)] == ["0.1.0", "0.2.0", "0.3.0"]
    with pytest.raises(TrainingError, match=r"0\.2\.0 already exists in"):
        train(Request(table, "pump", tmp_path, kind="forecaster", window=1, version="0.2.0"))


def test_a_gateway_deploys_the_newest_version_of_each_model(table: Path, tmp_path: Path) -> None:
    out, recipes, artifacts = tmp_path / "out", tmp_path / "site/recipes", tmp_path / "site/artifacts"
    recipes.mkdir(parents=True)
    for group, version in (("pump", "0.9.0"), ("pump", "0.10.0"), ("fan", "1.0.0")):
        train(Request(table, group, out, kind="forecaster", window=1, version=version))
    deploy = copy_newest_models(out, recipes, artifacts)
    assert deploy == {"io.strandline.model.Fan": "1.0.0", "io.strandline.model.Pump": "0.10.0"}
    assert len(list(recipes.iterdir())) == len(list(artifacts.rglob("model.zip"))) == 2
    with pytest.raises(TrainingError, match="no model components"):
        copy_newest_models(tmp_path, recipes, artifacts)


def test_wider_windows_are_the_means_that_an_aggregator_would_form(table: Path) -> None:
    rows, wide = dataset.read(table, "time", ("flow",), None), dataset.read(table, "time", ("flow",), 10_000)
    assert (rows.interval_ms, wide.interval_ms) == (1000, 10_000)
    assert wide.windows == 150
    assert wide.sections[0].values[3] == pytest.approx(rows.sections[0].values[30:40].mean())
    assert wide.sections[0].time_ms[0] % 10_000 == 0


def test_no_window_crosses_a_gap_a_missing_value_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(plant(200, gap=120))
    lines = plant(100, seed=2).splitlines()
    lines[50] = lines[50].rsplit(",", 1)[0] + ","
    (tmp_path / "b.csv").write_text("\n".join(lines))
    found = dataset.read(tmp_path, "", (), None)
    assert [len(section.time_ms) for section in found.sections] == [120, 80, 49, 50]
    assert len(dataset.windows([section.values for section in found.sections], 10)) == 299 - 4 * 9


def test_the_newest_windows_are_held_out_and_the_scale_is_that_of_the_oldest(tmp_path: Path) -> None:
    path = tmp_path / "ramp.csv"
    path.write_text("t,x\n" + "\n".join(f"{START_S + s},{s}" for s in range(1000)))
    parts = dataset.split(dataset.read(path, "", (), None))
    assert [sum(map(len, part)) for part in (parts.fitted, parts.stopped_on, parts.held_out)] == [700, 100, 200]
    assert parts.centre[0] == pytest.approx(349.5)
    assert parts.held_out[0].min() > parts.stopped_on[0].max() > parts.fitted[0].max()


def test_gradients_are_those_of_the_loss() -> None:
    rng = np.random.default_rng(1)
    layers = [(rng.normal(size=(3, 5)), rng.normal(size=5)), (rng.normal(size=(5, 3)), rng.normal(size=3))]
    inputs = rng.normal(size=(7, 3))
    exact = dense._gradients(layers, inputs, inputs)
    for (weights, _), (slope, _) in zip(layers, exact, strict=True):
        weights[1, 2] += 1e-6
        more = dense._loss(layers, inputs)
        weights[1, 2] -= 2e-6
        less = dense._loss(layers, inputs)
        weights[1, 2] += 1e-6
        assert (more - less) / 2e-6 == pytest.approx(slope[1, 2], rel=1e-4)


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ("", "a header"),
        ("time,x\n", "no column except time contains numbers"),
        ("time,x\n1700000000,1\n", "fewer than two rows"),
        ("time,x\n" + "".join(f"{START_S + s},1\n" for s in range(100)), "channel x is constant"),
        ("time,x\n" + "".join(f"{START_S + s},{s}\n" for s in range(50)), "at least 60 must"),
        ("time,x\nnoon,1\n", "is not a time"),
    ],
)
def test_unusable_training_data_are_rejected_with_the_reason(tmp_path: Path, content: str, outcome: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(StrandlineError, match=outcome):
        train(Request(path, "x", tmp_path))


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"window": 0}, "--window 0"),
        ({"window_ms": 0}, "--window-ms 0"),
        ({"kind": "oracle"}, "--kind oracle"),
        ({"units": ("bar",)}, "--units: 1 for 4 channels"),
        ({"window": 9000}, "the longest section"),
        ({"channels": ("nothing",), "time": "time"}, "no column 'nothing'"),
    ],
)
def test_an_invalid_option_is_rejected_by_its_name(
    table: Path, tmp_path: Path, more: dict[str, Any], outcome: str
) -> None:
    with pytest.raises(StrandlineError, match=outcome):
        train(Request(table, "pump", tmp_path, **more))


def test_the_command_trains_and_prints_the_command_of_the_deployment(table: Path, tmp_path: Path) -> None:
    arguments = ["train", "--data", str(table), "--group", "pump", "--kind", "forecaster", "--out", str(tmp_path)]
    done = invoke(arguments)
    assert done.exit_code == 0, done.output
    assert "--merge io.strandline.model.Pump=0.1.0" in done.output
    assert "pressure" in done.output
    wrong = invoke([*arguments[:4], "../x"])
    assert isinstance(wrong.exception, TrainingError)


@pytest.mark.parametrize("more", [{"kind": "convolutional"}, {"int8": True}, {"kind": "convolutional", "int8": True}])
def test_models_made_by_tensorflow_run(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed: it is a gigabyte, in the extra train-tensorflow")
    from strandline.training import keras_models

    monkeypatch.setattr(keras_models, "EPOCHS", 5)
    trained = train(Request(table, "pump", tmp_path / "out", window=8, **more))
    model = load_group(unpacked(trained, tmp_path / "model"))
    windows = np.random.default_rng(1).normal(size=(9, 8, 4)).astype(np.float32)
    outcome = model(windows)
    assert outcome.shape == (9, 32)
    assert outcome == pytest.approx(np.concatenate([model(one[None]) for one in windows]), abs=1e-5)
    assert model.manifest.inputs[0].dtype == ("int8" if more.get("int8") else "float32")
    assert trained.manifest["metrics"]["explained"] > 0.2
