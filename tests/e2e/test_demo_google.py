"""A short run of the demo on Google Cloud as a command: functions over the emulator of Bigtable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_demo import DEVICES, Demo, _left_behind

pytestmark = pytest.mark.slow
pytest.importorskip("google.cloud.bigtable", reason="the extra google is not installed")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    from device_sim.google.bigtable import HELP, find_emulator

    if find_emulator() is None:
        pytest.skip(HELP)
    started = Demo(tmp_path, "--cloud", "google", "--duration", "20", "--seed", "7", "--json")
    yield started
    started.end()


def test_a_short_run_on_google_proves_that_nothing_was_lost_or_duplicated_and_leaves_nothing(
    tmp_path: Path, demo: Demo
) -> None:
    assert demo.process.wait(300) == 0, demo.text()
    body = json.loads(demo.result.read_text())
    assert body["holds"]
    assert (body["lost"], body["duplicated"], body["counts"]["dropped"]) == (0, 0, 0)
    assert body["rows"]["made"] == body["rows"]["stored"] == body["aggregates"] > 24 * 20
    assert {machine: device["protocol"] for machine, device in body["devices"].items()} == DEVICES
    assert _left_behind(tmp_path) == []
    assert list((tmp_path / ".strandline").iterdir()) == []


def test_without_the_emulator_the_command_that_installs_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GOBIN", "")
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "cbtemulator").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    demo = Demo(tmp_path, "--cloud", "google", "--duration", "20")
    try:
        assert demo.process.wait(120) == 1
        assert "go install cloud.google.com/go/bigtable/cmd/emulator" in demo.text()
    finally:
        demo.end()
