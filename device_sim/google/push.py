"""Push requests in the form of Pub/Sub, signed by an issuer of our own, and a subscription that sends them."""

from __future__ import annotations

import base64
import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

from device_sim.google.pubsub import LocalPubSub, Message

KEY_ID = "local"
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0
_POLL_S, _STOP_S = 0.2, 30.0

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

    def headers(self) -> dict[str, str]:
        """Return the headers of a request with a token."""
        return {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}


@dataclass(slots=True)
class Envelope:
    """A message on its way to a subscriber; ``attempts`` is the number of requests so far."""

    id: str
    message: Message
    published: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )
    attempts: int = 0

    def content(self, subscription: str) -> bytes:
        """Return the content of the next request of a subscription."""
        self.attempts += 1
        data, attributes = self.message
        message = {
            "data": base64.b64encode(data).decode(),
            "attributes": attributes,
            "messageId": self.id,
            "publishTime": self.published,
        }
        request = {
            "message": message,
            "subscription": f"projects/local/subscriptions/{subscription}",
            "deliveryAttempt": self.attempts,
        }
        return json.dumps(request).encode()


class PushSubscription:
    """Sends the messages of a topic as push requests from a thread; a context manager.

    Like Pub/Sub it repeats a request that is answered by an error after a while, and sends others meanwhile, so the
    order is not that of publication. ``repeat`` is the part of messages that are delivered twice.
    """

    def __init__(self, pubsub: LocalPubSub, topic: str, push: Push, issuer: TokenIssuer, repeat: float = 0.0) -> None:
        self._pubsub, self._topic, self._push, self._issuer, self._repeat = pubsub, topic, push, issuer, repeat
        self._ids, self._rng = itertools.count(1), random.Random(3)  # noqa: S311 - no secret
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"push-{topic}", daemon=True)
        self.refused = 0
        """Requests that were answered by an error."""

    def _run(self) -> None:
        waiting: list[tuple[float, Envelope]] = []
        while not self._stopping.is_set():
            for message in self._pubsub.wait(self._topic, 0.0 if waiting else _POLL_S):
                times = 2 if self._rng.random() < self._repeat else 1
                identity = str(next(self._ids))
                waiting += [(0.0, Envelope(identity, message)) for _ in range(times)]
            now, later = time.monotonic(), list[tuple[float, Envelope]]()
            for due, envelope in waiting:
                if due > now or self._stopping.is_set():
                    later.append((due, envelope))
                elif self._push(self._issuer.headers(), envelope.content(self._topic)) // 100 != 2:
                    self.refused += 1
                    pause = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0**envelope.attempts)
                    later.append((time.monotonic() + pause, envelope))
            if later and len(later) == len(waiting):
                self._stopping.wait(FIRST_RETRY_S)
            waiting = later

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(_STOP_S)
