"""A machine behind a gateway of the local cloud: it sends an hour of history, then a fault with its anomaly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.aws.local import LocalCloud
from wire import codec, topics
from wire.model import Aggregates, Anomalies, Anomaly, Batch, Notice, Phase, Series
from wire.topics import Lane

WIDTH_MS = 10_000
HISTORY_MS = 3_600_000
ROWS_A_BATCH = 90
EPOCH = 11
TEMPERATURE = "press-1/temperature"
LEVEL = "tank-3/level"
SERIES = (
    Series(TEMPERATURE, "Cel", 0.01),
    Series("press-1/pressure", "bar", 0.1),
    Series("pump-2/current", "A", 0.01),
    Series(LEVEL, "%", 0.01),
)
LEVELS = (61.0, 182.0, 14.2, 50.0)
RISE = 20.0
"""Rise of the tank's level within the hour of history, from its level at the begin of that hour."""
FAULT = 9.0


def now_ms() -> int:
    return int(time.time() * 1000)


class Machine:
    """Sends batches over MQTT with the certificate of its gateway."""

    def __init__(self, client: mqtt.Client, name: str) -> None:
        self._client, self.name, self._sequence = client, name, 0
        self.begin_ms = self._sent_ms = now_ms() // WIDTH_MS * WIDTH_MS - HISTORY_MS
        self.onset_ms = 0
        self.rows = 0

    def send_rows(self, shift: float = 0.0) -> None:
        """Send all windows up to now that were not sent; ``shift`` is added to the temperature."""
        end = now_ms() // WIDTH_MS * WIDTH_MS
        start = np.arange(self._sent_ms, end, WIDTH_MS, dtype=np.int64)
        self._sent_ms = end
        for at in range(0, len(start), ROWS_A_BATCH):
            self._send(_rows(start[at : at + ROWS_A_BATCH], self.begin_ms, shift), Lane.BULK)

    def begin_fault(self) -> None:
        """Raise the temperature for the last minute, and report the anomaly."""
        self.onset_ms = now_ms() // WIDTH_MS * WIDTH_MS - 6 * WIDTH_MS
        start = np.arange(self.onset_ms, self.onset_ms + 6 * WIDTH_MS, WIDTH_MS, dtype=np.int64)
        self._send(_rows(start, self.begin_ms, FAULT, revision=1), Lane.BULK)
        self._send(Anomalies((self._report(Phase.ONSET, self.onset_ms + WIDTH_MS),)), Lane.URGENT)

    def end_fault(self) -> None:
        """Report the end of the anomaly."""
        self._send(Anomalies((self._report(Phase.END, now_ms()),)), Lane.URGENT)

    def send_notice(self) -> None:
        """Send the counters of the components."""
        counters = {"Aggregator": {"rows_late": 3}, "Forwarder": {"batches_sent": 12}}
        self._send(Notice(now_ms(), counters, dict.fromkeys(counters, "0.2.0")), Lane.BULK)

    def _report(self, phase: Phase, time_ms: int) -> Anomaly:
        expected = LEVELS[0]
        return Anomaly(
            TEMPERATURE, phase, self.onset_ms, time_ms, 4.2, "level_shift", "up", expected + FAULT, expected,
            expected - 2.0, expected + 2.0, {"level_shift": 4.2, "spike": 2.1, "drift": 0.4}, "Cel",
            history=(60.8, 61.1, 60.9, 69.8, 70.1),
        )  # fmt: skip

    def _send(self, content: Any, lane: Lane) -> None:
        self._sequence += 1
        self.rows += len(content) if isinstance(content, Aggregates) else 0
        data = codec.encode(Batch(self.name, EPOCH, self._sequence, content))
        self._client.publish(topics.ingest(self.name, lane), data, qos=1).wait_for_publish(30)


def _rows(start: np.ndarray, begin_ms: int, shift: float, revision: int = 0) -> Aggregates:
    n, kinds = len(start), len(SERIES)
    index = np.tile(np.arange(kinds, dtype=np.int64), n)
    times = np.repeat(start, kinds)
    level = np.array(LEVELS)[index]
    mean = level * (1 + 0.01 * np.sin(times / 240_000 + index) + 0.003 * np.sin(times * 0.0137 + index))
    mean = mean + np.where(index == 0, shift, 0.0)
    rising = LEVELS[3] + RISE * (times - begin_ms) / HISTORY_MS + 0.2 * np.sin(times * 0.0137)
    mean = np.where(index == 3, rising, mean).round(2)
    ones = np.ones(n * kinds, np.int64)
    spread = level * 0.006
    return Aggregates(
        SERIES, index, times, ones * WIDTH_MS, ones * 100, mean, (mean - spread).round(2), (mean + spread).round(2),
        spread / 3, np.full(n * kinds, np.nan), ones * revision,
    )  # fmt: skip


@contextmanager
def running(cloud: LocalCloud, name: str) -> Iterator[Machine]:
    """Connect the gateway of a machine."""
    credentials = cloud.provision_gateway(name)
    connected = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.tls_set(str(credentials.ca), str(credentials.cert), str(credentials.key))
    client.connect_timeout = 30.0  # a busy machine
    client.on_connect = lambda *_: connected.set()
    client.connect(credentials.host, credentials.port)
    client.loop_start()
    try:
        assert connected.wait(30), "the gateway does not connect"
        yield Machine(client, name)
    finally:
        client.disconnect()
        client.loop_stop()
