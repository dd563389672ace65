"""Tests of the four components on an offline nucleus with daemon restarts: the same processes continue."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from device_sim.greengrass.process import NucleusProcess
from tests.integration.nucleus_site import Site
from tests.waiting import until

ROOT = Path(__file__).parents[2]
MODULES = {
    "io.strandline.SensorReader": "sensor_reader",
    "io.strandline.Aggregator": "aggregator",
    "io.strandline.AnomalyDetector": "anomaly_detector",
    "io.strandline.Forwarder": "forwarder",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "io.strandline.SensorReader": {"sources": [{"name": "host", "kind": "host", "interval_ms": 200}]},
    "io.strandline.Aggregator": {"window_ms": 500, "allowed_lateness_ms": 0},
}


class Gateway:
    """The components from the sources, with the access control of their recipes."""

    def __init__(self, folder: Path, profile: str) -> None:
        site = Site(folder)
        for name, module in MODULES.items():
            recipe = yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text())
            configuration = recipe["ComponentConfiguration"]["DefaultConfiguration"]
            access = configuration.pop("accessControl")
            script = f"exec env PYTHONPATH={ROOT} {sys.executable} -m edge_components.{module}.main"
            configuration |= SETTINGS.get(name, {})
            site.recipe(name, {"run": {"Script": script}}, configuration=configuration, access=access)
        self.nucleus: NucleusProcess = site.start(profile=profile)

    def counters(self, component: str) -> Mapping[str, int]:
        """Return the counters that a component logged last."""
        reports = [line for line in self._log(component) if line.get("message") == "counters"]
        return reports[-1]["counters"] if reports else {}

    def errors(self, component: str) -> list[str]:
        return [line["message"] for line in self._log(component) if "traceback" in line]

    def pids(self) -> dict[str, int | None]:
        return {name: self.nucleus.component_pid(name) for name in MODULES}

    def until_more(self, component: str, counter: str, amount: int, seconds: float) -> None:
        """Wait until a counter has grown by ``amount``."""
        before = self.counters(component).get(counter, 0)
        self.until(lambda: self.counters(component).get(counter, 0) >= before + amount, f"{counter} grows", seconds)

    def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        until(condition, f"{what}: {self.nucleus.states()}", seconds)

    def _log(self, component: str) -> list[dict[str, Any]]:
        path = self.nucleus.log(component)
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


@pytest.fixture(params=["lite", "java"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path, request.param)
    yield made
    made.nucleus.stop()


@pytest.mark.slow
def test_a_gateway_that_boots_offline_spools_readings_and_survives_its_daemons(
    gateway: Gateway, request: pytest.FixtureRequest
) -> None:
    gateway.until_more("io.strandline.Forwarder", "rows_taken_in_bulk", 10, seconds=90)
    pids = gateway.pids()
    assert None not in pids.values()
    assert gateway.counters("io.strandline.Forwarder").get("acknowledgements", 0) == 0
    if "lite" in request.node.name:
        gateway.nucleus.restart_daemon("ggpubsubd")
        gateway.until_more("io.strandline.Forwarder", "rows_taken_in_bulk", 20, seconds=180)
        gateway.until_more("io.strandline.SensorReader", "batches_acknowledged", 2, seconds=120)
    assert gateway.pids() == pids
    for component in MODULES:
        assert gateway.errors(component) == []
        if not component.endswith("Forwarder"):
            assert gateway.counters(component).get("subscriptions_failed", 0) == 0
    if "lite" in request.node.name:
        gateway.nucleus.restart_daemon("ggipcd")
        gateway.until_more("io.strandline.Forwarder", "rows_taken_in_bulk", 20, seconds=180)
        assert gateway.pids() == pids, "a component ended instead of connecting again"
