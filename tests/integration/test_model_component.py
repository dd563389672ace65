"""Tests of a trained model as a separate component, beside the unmodified detector on the local nucleus."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from awsiot.greengrasscoreipc import model as ipc

from device_sim.greengrass.process import NucleusProcess
from device_sim.paths import SOURCE_TREE
from edge_components.common import aggregates_message
from strandline.packaging.components import build
from strandline.training.train import Request, train
from tests.integration.nucleus_site import Listener
from tests.waiting import until
from wire import topics
from wire.codec import encode
from wire.errors import WireError
from wire.model import Aggregates, Anomalies, Anomaly, Batch, Series

DETECTOR, MODEL = "io.strandline.AnomalyDetector", "io.strandline.model.Pump"
NAMES = ("pressure", "flow", "speed")
START_S = 1_700_000_000


def plant(second: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Three channels that follow one load."""
    load = np.sin(second / 7.0)
    return np.array([10 + load, 5 - 2 * load, 100 + 30 * load]) + np.random.default_rng(second).normal(0, 0.02, 3)


def recorded(folder: Path) -> Path:
    path = folder / "pump.csv"
    rows = [f"{START_S + s},{','.join(f'{v:.5f}' for v in plant(s))}" for s in range(800)]
    path.write_text("\n".join(["time," + ",".join(NAMES), *rows]) + "\n")
    return path


class Gateway:
    """Test environment of the detector: an aggregator that sends windows, and listeners for its output."""

    def __init__(self, nucleus: NucleusProcess, listener: Listener) -> None:
        self.nucleus, self.listener, self.second = nucleus, listener, 0
        self.received: list[tuple[str, bytes]] = []
        for topic in (topics.HEALTH, topics.SCORED):
            listener.client.subscribe_to_topic(topic=topic, on_stream_event=self._keep)

    def _keep(self, event: Any) -> None:
        if (message := event.binary_message) is not None:
            self.received.append((message.context.topic, bytes(message.message or b"")))

    def windows(self, count: int, shift: float = 0.0) -> None:
        """Send windows of one second; ``shift`` is added to the flow alone."""
        series = tuple(Series(f"pump.{name}") for name in NAMES)
        for _ in range(count):
            self.second += 1
            mean = plant(self.second) + np.array([0.0, shift, 0.0])
            start_ms, width_ms, readings = (
                np.full(3, value) for value in (1000 * (START_S + 5000 + self.second), 1000, 5)
            )
            std, score = np.full(3, 0.01), np.full(3, np.nan)
            rows = Aggregates(series, np.arange(3), start_ms, width_ms, readings, mean, mean, mean, std, score)
            payload = encode(Batch("gw-test", 9, self.second, rows))
            message = ipc.PublishMessage(binary_message=ipc.BinaryMessage(message=payload))
            self.listener.client.publish_to_topic(topic=topics.AGGREGATES, publish_message=message)

    def anomalies(self) -> list[Anomaly]:
        found = []
        for topic, payload in list(self.received):
            with contextlib.suppress(WireError):
                if topic == topics.SCORED and isinstance(rows := aggregates_message.decode(payload).rows, Anomalies):
                    found += rows.reports
        return found

    def models(self) -> dict[str, Any]:
        """Return the entries about models in the detector's newest health report."""
        reports = [json.loads(payload) for topic, payload in list(self.received) if topic == topics.HEALTH]
        ours = [report["state"]["models"] for report in reports if report["component"] == DETECTOR]
        return dict(ours[-1]) if ours else {"live": {}, "rejected": {}}

    def deploy(self, out: Path, version: str) -> None:
        """As greengrass-cli deployment create --recipeDir --artifactDir --merge does."""
        self.listener.client.create_local_deployment(
            recipe_directory_path=str(out / "recipes"),
            artifacts_directory_path=str(out / "artifacts"),
            root_component_versions_to_add={MODEL: version},
        )
        offered = self.nucleus.root / "work" / MODEL / "model"
        until(lambda: version in str(offered.resolve()), f"{MODEL} {version} is offered", 120)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    built = build(SOURCE_TREE, tmp_path)
    nucleus = NucleusProcess.start(
        tmp_path / "gg", "gw-test", built.recipes, built.artifacts, {DETECTOR: "0.1.0"}, options=("--stop-seconds", "3")
    )
    with nucleus, contextlib.ExitStack() as stack:
        nucleus.wait_running(90)
        listener = Listener(nucleus, "test/none")
        stack.callback(listener.close)
        yield Gateway(nucleus, listener)


def spoil(out: Path, version: str) -> None:
    """Cut the model's file short, as a transfer that broke off would."""
    archive = out / "artifacts" / MODEL / version / "model.zip"
    with zipfile.ZipFile(archive) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("manifest.json", parts["manifest.json"])
        packed.writestr("model.tflite", parts["model.tflite"][:400])


def test_a_deployed_model_scores_and_is_kept_after_an_invalid_successor(gateway: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "models"
    request = Request(recorded(tmp_path), "pump", out, window=2)
    assert [train(request).packed.version for _ in range(2)] == ["0.1.0", "0.2.0"]
    spoil(out, "0.2.0")
    detector = gateway.nucleus.component_pid(DETECTOR)
    gateway.deploy(out, "0.1.0")
    until(lambda: "pump" in gateway.models()["live"], "the model is live", 120)
    gateway.windows(30)
    gateway.windows(5, shift=4.0)
    until(lambda: any("model" in one.causes for one in gateway.anomalies()), "an anomaly that the model sees", 20)
    onset = next(one for one in gateway.anomalies() if one.cause == "model")
    assert (onset.series, onset.direction) == ("pump.flow", "up")
    gateway.deploy(out, "0.2.0")
    until(lambda: bool(gateway.models()["rejected"]), "the broken model is refused", 120)
    models = gateway.models()
    assert models["live"]["pump"]["version"] == "0.1.0"
    assert models["live"]["pump"]["state"] == "live"
    assert "the manifest has" in models["rejected"]["pump 0.2.0"]
    before = len(gateway.anomalies())
    gateway.windows(30)
    gateway.windows(5, shift=-4.0)
    until(lambda: any("model" in one.causes for one in gateway.anomalies()[before:]), "the old model scores", 20)
    assert gateway.nucleus.component_pid(DETECTOR) == detector
    gateway.listener.client.create_local_deployment(root_components_to_remove=[MODEL])
    log = gateway.nucleus.log(DETECTOR)
    until(
        lambda: "group pump has no model any more" in log.read_text(), "the model is withdrawn with its component", 40
    )
