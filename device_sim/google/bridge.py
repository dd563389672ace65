"""Bridge from an MQTT broker to push requests of Pub/Sub, in place of a broker's integration and the service.

It subscribes with a persistent session and QoS 1 and confirms a publication to the broker only after the receiver of
the push requests has accepted it. Like Pub/Sub it repeats a request that is answered by an error, may deliver a message
again, and signs each request with a token of the subscription's service account.
"""

from __future__ import annotations

import base64
import itertools
import json
import queue
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt
from paho.mqtt.enums import CallbackAPIVersion

from device_sim.simulation.sensor_broker import HOST

SUBSCRIPTION = "projects/local/subscriptions/ingest"
TOPICS = ("strandline/v1/+/urgent", "strandline/v1/+/bulk")
KEY_ID = "local"
_AGAIN_S = 0.1
_STARTED_S = 30.0

Push = Callable[[dict[str, str], bytes], int]
"""Sends a push request, given headers and content, and returns the HTTP status."""


class TokenIssuer:
    """Issuer of OpenID Connect tokens with a key of its own in place of Google's."""

    def __init__(self, audience: str, service_account: str) -> None:
        self._audience, self._service_account = audience, service_account
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._signer = crypt.RSASigner.from_string(private, KEY_ID)
        self.certificates = {KEY_ID: public.decode()}
        """Public keys by key id, as Google publishes its certificates."""

    def token(self, **changes: Any) -> str:
        """Return a token that is valid for an hour; ``changes`` replace its claims."""
        now_s = int(time.time())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": self._audience,
            "sub": "1",
            "email": self._service_account,
            "email_verified": True,
            "iat": now_s,
            "exp": now_s + 3600,
        }
        token: bytes = jwt.encode(self._signer, claims | changes)
        return token.decode()


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
        identity = str(next(self._ids))
        published = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        attributes = {"topic": message.topic}
        data = base64.b64encode(message.payload).decode()
        content = {"data": data, "attributes": attributes, "messageId": identity, "publishTime": published}
        times = 2 if self._rng.random() < self._repeat else 1
        for attempt in itertools.count(1):
            request = {"message": content, "subscription": SUBSCRIPTION, "deliveryAttempt": attempt}
            headers = {"Authorization": f"Bearer {self._issuer.token()}", "Content-Type": "application/json"}
            if self._push(headers, json.dumps(request).encode()) // 100 == 2:
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
