"""A local Google Cloud: the functions over emulators, with a stand-in of Pub/Sub, in the threads of this process.

Each subscription and the scheduler have a thread with handlers of its own, as an instance of a function has.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Self

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from cloud_functions.adapters.functions import Options
from cloud_functions.adapters.google import application
from cloud_functions.adapters.google.application import Services, Topics
from cloud_functions.adapters.google.bigtable import Bigtable
from cloud_functions.adapters.google.channels import Destinations
from cloud_functions.adapters.google.handlers import Handlers
from cloud_functions.adapters.google.pubsub import Publisher
from cloud_functions.adapters.google.tokens import PushVerifier
from cloud_functions.clock import now_ms
from cloud_functions.core.channels import ChannelType
from device_sim.google.bigtable import PROJECT, BigtableEmulator
from device_sim.google.pubsub import LocalPubSub
from device_sim.google.push import PushSubscription, TokenIssuer
from device_sim.google.storage import CloudStorageEmulator

AUDIENCE, ACCOUNT = "https://functions.example", "callers@local.iam.gserviceaccount.com"
TABLES, BUCKET = ("telemetry", "alerts"), "archive"
BATCHES = "batches"
TOPICS = Topics(
    "changes",
    "dead-letters",
    {str(kind): f"channel-{kind}" for kind in ChannelType},
    Destinations("alerts", "events"),
)
ALL_TOPICS = (
    BATCHES,
    TOPICS.changes,
    TOPICS.dead_letters,
    *TOPICS.channels.values(),
    TOPICS.destinations.alerts,
    TOPICS.destinations.events,
)
REPEATED = 0.02
"""Part of the messages that Pub/Sub delivers twice."""
STOP_S = 30.0
LOG = logging.getLogger("strandline.google")

Deliver = Callable[[str, bytes], bool]
"""Publishes on an MQTT topic; returns False if the broker did not accept it."""


def _no_secret(name: str) -> str:
    """Refuse each secret: there is no Secret Manager here."""
    raise FileNotFoundError(f"secret {name}: the local Google Cloud has no secrets")


class _Broker:
    """The broker of the gateways."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish; raises OSError."""
        if not self._deliver(topic, payload):
            raise ConnectionError("the broker did not accept the publication")

    def close(self) -> None:
        """Do nothing: each publication is a request of its own."""


class LocalGoogle:
    """A running local Google Cloud; a context manager. ``deliver`` passes messages for gateways to the broker."""

    def __init__(self, deliver: Deliver, watch_every_s: float = 60.0) -> None:
        self._broker, self._watch_every_s = _Broker(deliver), watch_every_s
        self._stack, self._ended = contextlib.ExitStack(), threading.Event()
        self._issuer = TokenIssuer(AUDIENCE, ACCOUNT)
        self.pubsub = LocalPubSub(PROJECT, ALL_TOPICS)
        self._timer = threading.Thread(target=self._watch, name="google-watch", daemon=True)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._bigtable = stack.enter_context(BigtableEmulator())
            self._storage = stack.enter_context(CloudStorageEmulator())
            self._storage.create_bucket(BUCKET)
            for name in TABLES:
                self._bigtable.create_table(name)
            ingest, alerting, notify = self.handlers(), self.handlers(), self.handlers()
            self._watching = self.handlers()
            subscriptions = [(BATCHES, ingest.ingest), (TOPICS.changes, alerting.alerting)]
            subscriptions += [(topic, notify.notify) for topic in TOPICS.channels.values()]
            for topic, handle in subscriptions:
                stack.enter_context(self._subscription(topic, handle))
            self._stack = stack.pop_all()
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._timer.join(STOP_S)
        self._stack.close()

    def publish(self, topic: str, payload: bytes) -> None:
        """Accept a message of a gateway on an MQTT topic, as the bridge of a broker does."""
        self.pubsub.add(BATCHES, payload, {"topic": topic})

    def table(self, name: str) -> Bigtable:
        """Return a table with a client of its own."""
        return Bigtable(self._bigtable.table(name))

    def dead_letters(self) -> int:
        """Return the number of dead letters."""
        return self.pubsub.count(TOPICS.dead_letters)

    def handlers(self) -> Handlers:
        """Return handlers as a new instance of a function has them."""
        options = {"api_endpoint": self._storage.url}
        archive = storage.Client(PROJECT, credentials=AnonymousCredentials(), client_options=options)
        services = Services(
            telemetry=self._bigtable.table("telemetry"),
            alerts=self._bigtable.table("alerts"),
            archive=archive.bucket(BUCKET),
            publisher=Publisher(PROJECT, self.pubsub.post),
            broker=self._broker,
            secret=_no_secret,
        )
        verifier = PushVerifier(lambda: self._issuer.certificates, AUDIENCE, ACCOUNT, now_ms)
        return application.handlers(services, TOPICS, verifier, Options(), now_ms, LOG)

    def _subscription(self, topic: str, handle: Callable[[dict[str, str], bytes], tuple[str, int]]) -> PushSubscription:
        return PushSubscription(
            self.pubsub, topic, lambda headers, content: handle(headers, content)[1], self._issuer, REPEATED
        )

    def _watch(self) -> None:
        while not self._ended.wait(self._watch_every_s):
            text, status = self._watching.watch(self._issuer.headers())
            if status // 100 != 2:
                LOG.warning("watch failed: %s", text)
