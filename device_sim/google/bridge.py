"""Bridge from an MQTT broker to push requests of Pub/Sub, in place of a broker's integration and the service.

It subscribes with a persistent session and QoS 1 and confirms a publication to the broker only after the receiver of
the push requests has accepted it. Like Pub/Sub it repeats a request that is answered by an error, may deliver a message
again, and signs each request with a token of the subscription's service account.
"""

from __future__ import annotations

import itertools
import queue
import random
import threading
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.google.push import Envelope, Push, TokenIssuer
from device_sim.simulation.sensor_broker import HOST

SUBSCRIPTION = "ingest"
TOPICS = ("strandline/v1/+/urgent", "strandline/v1/+/bulk")
_AGAIN_S = 0.1
_STARTED_S = 30.0


class Bridge:
    """A running bridge; a context manager. ``repeat`` is the part of messages that are delivered twice."""

    def __init__(self, port: int, push: Push, issuer: TokenIssuer, repeat: float = 0.0) -> None:
        self._push, self._issuer, self._repeat, self._rng = push, issuer, repeat, random.Random(3)  # noqa: S311
        self._waiting: queue.SimpleQueue[paho.MQTTMessage | None] = queue.SimpleQueue()
        self._ids, self._subscribed = itertools.count(1), threading.Event()
        self.delivered = self.refused = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bridge", daemon=True)
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id="bridge",
            clean_session=False,
            protocol=paho.MQTTv311,
            manual_ack=True,
        )
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in TOPICS])
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._waiting.put(message)
        self._client.connect(HOST, port)

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            self._deliver(message)

    def _deliver(self, message: paho.MQTTMessage) -> None:
        envelope = Envelope(str(next(self._ids)), (bytes(message.payload), {"topic": message.topic}))
        times = 2 if self._rng.random() < self._repeat else 1
        while True:
            if self._push(self._issuer.headers(), envelope.content(SUBSCRIPTION)) // 100 == 2:
                self.delivered += 1
                times -= 1
            else:
                self.refused += 1
                self._stopping.wait(_AGAIN_S)
            if not times:
                self._client.ack(message.mid, message.qos)
            if not times or self._stopping.is_set():
                return

    def __enter__(self) -> Self:
        self._thread.start()
        self._client.loop_start()
        if not self._subscribed.wait(_STARTED_S):
            raise TimeoutError("the bridge could not subscribe")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._waiting.put(None)
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()
