"""Simulated sensors on real MQTT: one JSON object per reading, in real time, and a ledger of the sent readings.

A reading has the time at which it was due, even if the simulation was late. The ledger is the ground truth for the
counts in the cloud; it covers a reading up to the broker's acknowledgement.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from device_sim.errors import BrokerError
from device_sim.simulation.faults import Fault, readings
from device_sim.simulation.signals import Plant
from edge_components.common.ports import Clock
from wire.model import FloatArray, IntArray, Series

QOS = 1
CONNECT_SECONDS = 10.0
FLUSH_SECONDS = 60.0
"""Time for the acknowledgements after the last reading; a busy machine needs more than a few seconds."""


class Publisher(Protocol):
    """Destination of readings."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a reading; raises BrokerError on failure."""

    def flush(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for acknowledgements and return the number that are still missing."""


class Ledger:
    """Number of readings sent, by series and epoch-aligned window of ``width_ms``."""

    def __init__(self, series: Sequence[Series], width_ms: int) -> None:
        self.series, self.width_ms = tuple(series), width_ms
        self._windows: dict[int, IntArray] = {}

    def record(self, rows: npt.NDArray[np.intp], time_ms: int) -> None:
        """Record one reading for each of these distinct rows at this time."""
        start = time_ms - time_ms % self.width_ms
        self._windows.setdefault(start, np.zeros(len(self.series), np.int64))[rows] += 1

    def __len__(self) -> int:
        return sum(int(counts.sum()) for counts in self._windows.values())

    def counts(self) -> dict[tuple[str, int], int]:
        """Return the readings sent by (series, start of the window), without empty windows."""
        return {
            (self.series[row].name, start): int(counts[row])
            for start, counts in self._windows.items()
            for row in np.flatnonzero(counts).tolist()
        }


@dataclass(frozen=True, slots=True)
class Pace:
    """Clock of the sensors and a wait function: takes seconds, returns True on a stop request."""

    clock: Clock
    wait: Callable[[float], bool]


class Sensors:
    """Sensors of a plant with injected faults.

    ``origin_ms`` is the event time of the first tick, ``end_ms`` the time at which the next one is due.
    """

    def __init__(
        self, plant: Plant, faults: Sequence[Fault], publisher: Publisher, pace: Pace, width_ms: int = 1000
    ) -> None:
        self.plant, self.faults = plant, tuple(faults)
        self.ledger = Ledger(plant.series, width_ms)
        self.origin_ms = self.end_ms = 0
        self._publisher, self._pace = publisher, pace
        self._topics = ["sensors/" + series.name.replace(".", "/", 1) for series in plant.series]

    def labels(self) -> tuple[Fault, ...]:
        """Return the faults with their times since the epoch; valid once :meth:`run` has begun."""
        return tuple(fault.shifted(self.origin_ms) for fault in self.faults)

    def run(self, duration_s: float) -> int:
        """Send for ``duration_s`` seconds or until a stop request; then wait for the broker's acknowledgements.

        Returns the number of readings sent; raises BrokerError if some are not acknowledged.
        """
        clock, period = self._pace.clock, 1.0 / self.plant.rate_hz
        started, self.origin_ms = clock.monotonic(), clock.wall_ms()
        total = max(1, round(duration_s * self.plant.rate_hz))
        for first in range(0, total, CHUNK):
            ticks = np.arange(first, min(total, first + CHUNK), dtype=np.int64)
            values, times = readings(self.plant, self.faults, ticks), self.plant.time_ms(ticks)
            for column, tick in enumerate(ticks.tolist()):
                if self._pace.wait(max(0.0, started + tick * period - clock.monotonic())):
                    return self._finish()
                self._send(values[:, column], self.origin_ms + int(times[column]))
                self.end_ms = self.origin_ms + round((tick + 1) * 1000 * period)
        return self._finish()

    def _send(self, values: FloatArray, time_ms: int) -> None:
        rows = np.flatnonzero(~np.isnan(values))
        for row in rows.tolist():
            payload = json.dumps({"value": float(values[row]), "time": time_ms}, separators=(",", ":"))
            self._publisher.publish(self._topics[row], payload.encode())
        self.ledger.record(rows, time_ms)

    def _finish(self) -> int:
        left = self._publisher.flush(FLUSH_SECONDS)
        if left:
            raise BrokerError(f"the broker has not acknowledged {left} of {len(self.ledger)} readings")
        return len(self.ledger)


CHUNK = 256
"""Ticks computed at once; what comes out does not depend on it."""


class MqttPublisher:
    """Publishes with QoS 1 over one paho client with its own network thread; a context manager."""

    def __init__(self, host: str, port: int, client_id: str = "") -> None:
        self._where = f"{host}:{port}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        self._client.max_inflight_messages_set(64)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._answered = threading.Event()
        self._refused = ""
        self._lock = threading.Condition()
        self._sent = self._confirmed = 0
        try:
            self._client.connect(host, port, keepalive=30)
        except OSError as error:
            raise BrokerError(f"no MQTT broker at {self._where}: {error}") from error
        self._client.loop_start()
        if not self._answered.wait(CONNECT_SECONDS) or self._refused:
            self.close()
            raise BrokerError(f"the MQTT broker at {self._where} {self._refused or 'does not answer'}")

    def __enter__(self) -> MqttPublisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """See :class:`Publisher`; while the broker is away the client keeps the reading and sends it afterwards."""
        info = self._client.publish(topic, payload, qos=QOS)
        if info.rc not in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN):
            raise BrokerError(f"publish to {topic} at {self._where}: {mqtt.error_string(info.rc)}")
        with self._lock:
            self._sent += 1

    def flush(self, timeout: float) -> int:
        """See :class:`Publisher`."""
        with self._lock:
            self._lock.wait_for(lambda: self._confirmed >= self._sent, timeout)
            return self._sent - self._confirmed

    def _on_connect(
        self, _client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        self._refused = f"refuses the connection: {code}" if code.is_failure else ""
        self._answered.set()

    def _on_publish(self, _client: mqtt.Client, _data: object, _mid: int, _code: ReasonCode, _props: object) -> None:
        with self._lock:
            self._confirmed += 1
            self._lock.notify_all()
