"""A short run of the demo as a command: the result is proven, and no processes or files remain."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.waiting import until

pytestmark = pytest.mark.slow
PROGRAM = [sys.executable, "-u", "-c", "from strandline.cli import main; main()", "demo"]
SENDING = "24 sensors send"


class Demo:
    """A running ``strandline demo`` with its output in a file, in a process group of its own as a shell gives it.

    With ``--json``, the output is that on standard error, and ``result`` is the file of standard output.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.output, self.result = folder, folder / "output", folder / "result.json"
        with self.output.open("wb") as err, self.result.open("wb") as result:
            self.process = subprocess.Popen(
                [*PROGRAM, *arguments],
                cwd=folder,
                stdout=result if "--json" in arguments else err,
                stderr=err,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str) -> None:
        until(lambda: text in self.text() or self.process.poll() is not None, repr(text), 300)
        assert text in self.text(), self.text()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> None:
        if self.process.poll() is None:
            left = self.descendants()
            self.process.kill()
            self.process.wait()
            for process in left:
                if process.is_running():
                    process.kill()


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.end()


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return the running processes, without zombies."""
    alive = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def _left_behind(folder: Path) -> list[str]:
    """Return the processes whose working directory or arguments are in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in words):
            found.append(f"{process.pid}: {' '.join(words)}")
    return found


def _alerts(demo: Demo) -> list[dict[str, Any]]:
    """Return what ``strandline alerts`` shows in another terminal, with the variables that the demo printed."""
    exports = [line.split(" ", 1)[1] for line in demo.text().splitlines() if line.startswith("export ")]
    result = subprocess.run(
        [sys.executable, "-c", "from strandline.cli import main; main()", "alerts", "--json"],
        env={**os.environ, **dict(export.split("=", 1) for export in exports)},
        capture_output=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    alerts: list[dict[str, Any]] = json.loads(result.stdout)
    return alerts


DEVICES = {"pump-3": "Modbus TCP", "coldroom-2": "OPC UA", "tank-2": "Sparkplug B"}


def test_a_short_run_proves_that_nothing_was_lost_or_duplicated_shows_its_alerts_and_leaves_nothing(
    tmp_path: Path, demos: list[Demo]
) -> None:
    demo = Demo(tmp_path, "--duration", "40", "--seed", "7", "--json", "--keep-running")
    demos.append(demo)
    demo.wait_for("running without faults")
    body = json.loads(demo.result.read_text())
    assert (body["lost"], body["duplicated"]) == (0, 0)
    assert body["faults"] == 9
    assert 0 < body["detected"] <= 9
    sent = body["counts"]["sent"]
    assert body["counts"]["dropped"] == 0
    assert sent == body["counts"]["stored"]
    _check_devices(demo, body["devices"])
    # 16 sensors publish at 5 Hz for 40 s, less what the dropouts removed.
    published = sent - sum(device["sent"] for device in body["devices"].values())
    assert 16 * 5 * 40 * 0.95 < published <= 16 * 5 * 40
    assert body["rows"]["made"] == body["rows"]["stored"] == body["aggregates"] > 24 * 40
    assert 0 < body["bytes"] < body["aggregates"] * 60
    assert body["usd_per_million_readings"] > 0
    assert "proven: no data lost or duplicated" in demo.text()
    alerts = _alerts(demo)
    assert {alert["gateway"] for alert in alerts} <= {"gw-demo"}
    assert len(alerts) >= demo.text().count("alert opened")
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(120) == 0, demo.text()
    assert _left_behind(tmp_path) == []
    assert list((tmp_path / ".strandline").iterdir()) == []


def _check_devices(demo: Demo, devices: dict[str, Any]) -> None:
    """Check that each machine with a protocol of its own was read, and that each reading served was stored once."""
    assert {machine: device["protocol"] for machine, device in devices.items()} == DEVICES
    for machine, device in devices.items():
        assert f"{machine} ({device['protocol']}) on " in demo.text()
        assert device["sent"] == device["stored"]
        assert (device["windows_over"], device["windows_under"], device["different"]) == (0, 0, 0)
    # The pump is polled five times a second, by a reader that skips polls on a busy machine; the cold room notifies of
    # changes; the tank reports each reading, and its last ones again at its death.
    assert 4 * 5 * 40 * 0.5 < devices["pump-3"]["sent"] <= 4 * 5 * 41
    assert 2 * 5 * 40 * 0.5 < devices["coldroom-2"]["sent"] <= 2 * 5 * 40
    assert 2 * 5 * 40 * 0.8 < devices["tank-2"]["sent"] <= 2 * 5 * 40 + 2


@pytest.mark.parametrize("moment", ["broker for the sensors", SENDING])
def test_ctrl_c_ends_every_process_that_was_started(tmp_path: Path, demos: list[Demo], moment: str) -> None:
    demo = Demo(tmp_path, "--duration", "60")
    demos.append(demo)
    demo.wait_for(moment)
    descendants = demo.descendants()
    if moment == SENDING:
        assert len(descendants) >= 7  # broker, emulator, nucleus and four components
    os.killpg(demo.process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    assert demo.process.wait(120) == 128 + signal.SIGINT, demo.text()
    assert _alive(descendants) == []
    assert _left_behind(tmp_path) == []
    assert "stopped by SIGINT" in demo.text()
    assert "Traceback" not in demo.text()


def test_sigterm_ends_every_process_too_and_a_second_one_does_not_cut_that_short(
    tmp_path: Path, demos: list[Demo]
) -> None:
    demo = Demo(tmp_path, "--duration", "60")
    demos.append(demo)
    demo.wait_for("waiting for the components")
    descendants = demo.descendants()
    demo.process.send_signal(signal.SIGTERM)
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(120) == 128 + signal.SIGTERM, demo.text()
    assert _alive(descendants) == []
    assert _left_behind(tmp_path) == []


def test_a_broker_port_that_is_taken_ends_the_demo_at_once_with_its_name(tmp_path: Path, demos: list[Demo]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = Demo(tmp_path, "--broker-port", str(port))
        demos.append(demo)
        assert demo.process.wait(120) == 1
    assert f"port {port} for the broker (--broker-port) cannot be used: Address already in use" in demo.text()
    assert _left_behind(tmp_path) == []


def test_the_demo_ends_with_the_path_of_the_logs_if_the_nucleus_has_ended(tmp_path: Path, demos: list[Demo]) -> None:
    demo = Demo(tmp_path, "--duration", "60")
    demos.append(demo)
    demo.wait_for(SENDING)
    descendants = demo.descendants()
    [nucleus] = [process for process in descendants if "device_sim.greengrass" in process.cmdline()]
    nucleus.kill()
    assert demo.process.wait(120) == 1, demo.text()
    assert "the nucleus has ended" in demo.text()
    logs = Path(demo.text().rsplit("logs: ", 1)[1].strip())
    assert (logs / "gateway" / "logs" / "io.strandline.Forwarder.log").is_file()
    until(lambda: not any(process.is_running() for process in descendants), "every process to end")
