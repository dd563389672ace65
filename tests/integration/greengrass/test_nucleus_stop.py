"""The end of a nucleus: a busy one receives a second signal, on which it kills its components, before it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from device_sim import process_group
from device_sim.greengrass.process import NucleusProcess
from tests.waiting import until

BUSY = """
import signal, sys
count = [0]
def on_signal(*_):
    count[0] += 1
    if count[0] == {signals}:
        sys.exit(0)
signal.signal(signal.SIGTERM, on_signal)
print('{{"type": "nucleus"}}', flush=True)
while True:
    signal.pause()
"""


def _start(root: Path, signals: int) -> NucleusProcess:
    program = [sys.executable, "-c", BUSY.format(signals=signals)]
    nucleus = NucleusProcess(root, {}, subprocess.Popen(program, stdout=subprocess.PIPE, text=True))
    until(lambda: nucleus.lines, "the handler of signals")
    return nucleus


@pytest.mark.parametrize(("signals", "first_s", "second_s", "code"), [(1, 30, 30, 0), (2, 2, 30, 0), (3, 0.1, 0.1, -9)])
def test_a_nucleus_is_killed_only_after_a_second_signal(
    signals: int, first_s: float, second_s: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_sim.greengrass.process.KILL_SECONDS", second_s)
    assert _start(tmp_path, signals).stop(first_s) == code


def test_a_killed_group_has_ended_when_none_of_its_processes_runs() -> None:
    script = f"{sys.executable} -c 'import signal; signal.pause()' & wait"
    process = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True)
    try:
        assert process_group.alive(process.pid)
        assert not process_group.wait_until_ended(process.pid, 0.05)
        os.killpg(process.pid, 9)
        assert process_group.wait_until_ended(process.pid, 30.0)
    finally:
        process.kill()
        process.wait()
