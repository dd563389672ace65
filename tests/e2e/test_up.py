"""``strandline up`` with a real broker and payloads of two families: topics, page, API, and data over a restart."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.process_group import alive
from device_sim.simulation.sensor_broker import find_mosquitto
from strandline.api.client import ApiClient
from strandline.api.transport import with_token
from tests.integration.test_mqtt_source import mosquitto
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"),
]
PROGRAM = [sys.executable, "-u", "-c", "from strandline.cli import main; main()", "up", "--broker"]
OPTIONS = ("--learn", "2", "--window", "1")
PAYLOADS = {
    "tele/boiler/SENSOR": b'{"Time":"2026-11-27T10:00:00","DS18B20":{"Temperature":%d.5},"TempUnit":"C"}',
    "hall/pump-1/flow": b"%d.25",
    "hall/pump-2/flow": b"%d.75",
    "hall/camera/image": b"\x89PNG%d",
}
SERIES = {"pump-1.flow", "pump-2.flow"}


@contextmanager
def publishing(port: int) -> Iterator[None]:
    """Publish on all topics five times a second."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    ended = threading.Event()

    def publish() -> None:
        number = 0
        while not ended.wait(0.2):
            number += 1
            for topic, payload in PAYLOADS.items():
                client.publish(topic, payload % (number % 10), 1)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        client.disconnect()
        client.loop_stop()


class Up:
    """A running ``strandline up`` in a folder whose name has a space."""

    def __init__(self, folder: Path, port: int, name: str) -> None:
        self.folder, self.output = folder, folder / name
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [*PROGRAM, f"127.0.0.1:{port}", *OPTIONS], cwd=folder, stdout=out, stderr=out, start_new_session=True
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, pattern: str) -> None:
        until(lambda: re.search(pattern, self.text()) or self.process.poll() is not None, repr(pattern), 420)
        assert re.search(pattern, self.text()), self.text()

    def client(self) -> ApiClient:
        self.wait_for("STRANDLINE_TOKEN=.*\n")
        (url,) = re.findall("export STRANDLINE_URL=(.*)", self.text())
        (token,) = re.findall("export STRANDLINE_TOKEN=(.*)", self.text())
        return ApiClient(url, with_token(token))

    def series(self, client: ApiClient) -> set[str]:
        return {one["series"] for one in client.series("local")}

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)


@contextmanager
def up(folder: Path, port: int, name: str) -> Iterator[Up]:
    started = Up(folder, port, name)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.end(signal.SIGTERM)


def test_readings_of_an_own_broker_reach_the_api_and_survive_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "my sensors"
    folder.mkdir()
    with mosquitto(tmp_path / "broker", "allow_anonymous true") as port, publishing(port):
        with up(folder, port, "first") as run:
            client = run.client()
            assert "accepted  hall/{level2}/{level3}" in run.text()
            assert "preset tasmota" in run.text()
            assert "rejected  hall/camera/image: no payload format reads" in run.text()
            until(lambda: run.series(client) >= SERIES, "series in the API", 240)
            until(lambda: any(name.startswith("boiler.") for name in run.series(client)), "the other family", 120)
            run.wait_for("batches stored [1-9]")
            assert run.end(signal.SIGINT) == 0
            assert "the same command continues" in run.text() or "all processes have ended" in run.text()
            assert not alive(run.process.pid)
        before = (folder / ".strandline/saved/tables.jsonl.gz").stat().st_size
        assert before > 0
        with up(folder, port, "second") as run:
            client = run.client()
            assert re.search("cloud started with [1-9][0-9,]* saved items", run.text())
            assert run.series(client) >= SERIES
            assert run.end(signal.SIGTERM) == 0
