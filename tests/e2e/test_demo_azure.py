"""A short run of the demo on Azure as a command: gateways reach the functions through IoT Hub's stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_demo import DEVICES, Demo, _left_behind

pytestmark = pytest.mark.slow
pytest.importorskip("azure.functions", reason="the extra azure is not installed")
pytest.importorskip("azure.data.tables", reason="the extra azure is not installed")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    from device_sim.azure.azurite import installed
    from device_sim.azure.errors import AzuriteMissingError

    try:
        installed()
    except AzuriteMissingError as error:
        pytest.skip(str(error))
    started = Demo(tmp_path, "--cloud", "azure", "--duration", "20", "--seed", "7", "--json")
    yield started
    started.end()


def test_a_short_run_on_azure_proves_that_nothing_was_lost_or_duplicated_and_leaves_nothing(
    tmp_path: Path, demo: Demo
) -> None:
    assert demo.process.wait(300) == 0, demo.text()
    body = json.loads(demo.result.read_text())
    assert body["holds"]
    assert (body["lost"], body["duplicated"], body["counts"]["dropped"]) == (0, 0, 0)
    assert body["rows"]["made"] == body["rows"]["stored"] == body["aggregates"] > 24 * 20
    assert {machine: device["protocol"] for machine, device in body["devices"].items()} == DEVICES
    assert "cloud of azure, without a page, its MQTT on " in demo.text()
    assert _left_behind(tmp_path) == []
    assert list((tmp_path / ".strandline").iterdir()) == []
