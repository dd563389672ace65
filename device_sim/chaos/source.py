"""Source of numbered readings over MQTT with QoS 1, each kept until the broker has it on disk."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from device_sim.chaos.errors import ChaosError
from device_sim.chaos.numbering import Numbering
from wire.model import IntArray

SAVE_MARGIN_SECONDS = 0.5
"""A save that began before a reading was acknowledged may have ended after it."""

IDLE_SERIES = "chaos.idle"
"""Series sent while the run drains, so that the gateway does not treat the source as idle; not in the proof."""


class DurablePublisher:
    """Publisher that resends readings a killed broker may not have saved; a context manager."""

    def __init__(self, host: str, port: int, saved_at: Callable[[], float]) -> None:
        self._saved_at = saved_at
        self._lock = threading.Condition()
        self._unacknowledged: dict[int, tuple[str, bytes]] = {}
        self._early: set[int] = set()
        self._unsaved: list[tuple[float, str, bytes]] = []
        self.republished = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="chaos-source", clean_session=False)
        self._client.reconnect_delay_set(1, 2)
        self._client.max_inflight_messages_set(200)
        self._client.on_publish = self._on_publish
        self._client.connect_async(host, port, keepalive=5)

    def __enter__(self) -> DurablePublisher:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a reading; raises ChaosError when the client cannot queue it."""
        info = self._client.publish(topic, payload, qos=1)
        if info.rc not in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_NO_CONN):
            raise ChaosError(f"publish to {topic}: {paho.error_string(info.rc)}")
        with self._lock:
            if info.mid in self._early:  # acknowledged before it was recorded
                self._early.discard(info.mid)
                self._unsaved.append((time.time(), topic, payload))
            else:
                self._unacknowledged[info.mid] = (topic, payload)

    def forget_saved(self) -> None:
        """Drop the readings that the broker has on disk."""
        saved = self._saved_at() - SAVE_MARGIN_SECONDS
        with self._lock:
            self._unsaved = [kept for kept in self._unsaved if kept[0] >= saved]
            self._lock.notify_all()

    def publish_unsaved(self) -> int:
        """Resend acknowledged readings that a killed broker may not have saved, and return their number."""
        with self._lock:
            again, self._unsaved = self._unsaved, []
        for _, topic, payload in again:
            self.publish(topic, payload)
        self.republished += len(again)
        return len(again)

    def waiting(self) -> int:
        """Return the number of unacknowledged readings."""
        with self._lock:
            return len(self._unacknowledged)

    def _on_publish(self, _client: paho.Client, _data: object, mid: int, _code: ReasonCode, _props: object) -> None:
        with self._lock:
            kept = self._unacknowledged.pop(mid, None)
            if kept is None:
                self._early.add(mid)
            else:
                self._unsaved.append((time.time(), *kept))


class Source:
    """Thread that sends the readings of every series when they are due; :meth:`sent` is the reference."""

    def __init__(self, publisher: DurablePublisher, numbering: Numbering, series: int) -> None:
        self._publisher, self._numbering = publisher, numbering
        self.names = tuple(f"chaos.{number}" for number in range(series))
        self._first: int | None = None
        self._next = 0
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._idle_number = 0

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sending at the end of a window; raises the error that ended the thread, if any."""
        self._stop.set()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise the error that ended the thread, if any."""
        if self._error is not None:
            raise ChaosError(f"the source ended: {self._error}") from self._error

    @property
    def number(self) -> int:
        """Number of readings sent."""
        return 0 if self._first is None else (self._next - self._first) * len(self.names)

    def sent(self) -> dict[str, IntArray]:
        """Return the numbers sent, by series."""
        numbers = np.arange(self._first or 0, self._next, dtype=np.int64)
        return dict.fromkeys(self.names, numbers)

    def send_idle(self) -> None:
        """Send a reading of the idle series, which is not in the proof."""
        self._idle_number += 1
        self._publisher.publish(_topic(IDLE_SERIES), _payload(self._idle_number, time.time_ns() // 1_000_000))

    def _run(self) -> None:
        numbering = self._numbering
        per_window = numbering.width_ms // numbering.period_ms
        now = numbering.number(time.time_ns() // 1_000_000)
        self._next = self._first = now - now % per_window + per_window
        began_s, began_ms = time.monotonic(), time.time_ns() / 1e6
        try:
            while not (self._stop.is_set() and self._next % per_window == 0):
                due_s = began_s + (numbering.time_ms(self._next) - began_ms) / 1000
                # Sent when due, also during a stop: a window is always complete.
                time.sleep(max(0.0, due_s - time.monotonic()))
                for name in self.names:
                    self._publisher.publish(
                        _topic(name), _payload(numbering.value(self._next), numbering.time_ms(self._next))
                    )
                self._next += 1
                if self._next % per_window == 0:
                    self._publisher.forget_saved()
        except Exception as error:  # noqa: BLE001 # outermost edge of the thread; check() raises it again
            self._error = error


def _topic(series: str) -> str:
    return "sensors/" + series.replace(".", "/", 1)


def _payload(value: int, time_ms: int) -> bytes:
    return json.dumps({"value": value, "time": time_ms}, separators=(",", ":")).encode()
