"""A signal at the moment at which a process is started leaves none running: its handle is not lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_sim.aws import process as emulator
from device_sim.greengrass.process import NucleusProcess
from device_sim.interrupts import InterruptedRunError, Interrupts
from device_sim.simulation.sensor_broker import BrokerKind, SensorBroker, find_mosquitto


def _emulator(root: Path) -> None:
    emulator.start(root, None, None)


def _nucleus(root: Path) -> None:
    (root / "recipes").mkdir()
    NucleusProcess.start(root / "nucleus", "gw-test", root / "recipes", root / "recipes", {})


def _broker(root: Path) -> None:
    with SensorBroker(root):
        pass


def _mosquitto(root: Path) -> None:
    with SensorBroker(root, kind=BrokerKind.MOSQUITTO):
        pass


@pytest.mark.parametrize("start", [_emulator, _nucleus, _broker, _mosquitto])
def test_an_interrupted_start_ends_its_process(
    start: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if start is _mosquitto and find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    started: list[subprocess.Popen[Any]] = []
    real = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> subprocess.Popen[Any]:
        process = real(*arguments, **options)
        started.append(process)
        os.kill(os.getpid(), signal.SIGINT)
        return process

    monkeypatch.setattr(subprocess, "Popen", popen)
    try:
        with Interrupts(), pytest.raises(InterruptedRunError, match="SIGINT"):
            start(tmp_path)
        assert [process.poll() is not None for process in started] == [True]
    finally:
        for process in started:
            process.kill()
            process.wait()
