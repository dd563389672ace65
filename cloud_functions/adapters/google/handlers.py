"""Handlers of the functions on Google Cloud. ``cloud_functions/google/main.py`` binds them to HTTP requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from cloud_functions.adapters.google.push import InvalidPushError, PushVerifier, UnauthorizedPushError, read_push
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Acknowledger, DeadLetterSink, NowMs, Table
from cloud_functions.core.storing import Storer

Answer = tuple[str, int]
"""Text and HTTP status."""
DONE, INVALID, UNAUTHORIZED, AGAIN = 204, 400, 401, 503


@dataclass(frozen=True, slots=True)
class Stores:
    """The adapters that the functions use."""

    telemetry: Table
    acknowledger: Acknowledger
    dead_letters: DeadLetterSink


class Handlers:
    """The functions of a service."""

    def __init__(
        self,
        stores: Stores,
        storer: Storer,
        verifier: PushVerifier,
        now_ms: NowMs,
        log: logging.Logger,
    ) -> None:
        self._stores, self._storer, self._verifier = stores, storer, verifier
        self._now_ms, self._log = now_ms, log
        self._lock = threading.Lock()
        self.metrics = Metrics()

    def ingest(self, headers: Mapping[str, str], content: bytes) -> Answer:
        """Store and acknowledge the batch of a push request; Pub/Sub repeats one that is answered by an error."""
        try:
            self._verifier.verify(headers.get("Authorization", ""))
            message = read_push(content, self._now_ms())
        except UnauthorizedPushError as error:
            self._log.warning("push request rejected: %s", error)
            self.metrics.count("unauthorized")
            return "unauthorized", UNAUTHORIZED
        except InvalidPushError as error:
            self._log.error("push request rejected: %s", error)
            self.metrics.count("invalid_requests")
            return "not a push request", INVALID
        except OSError as error:
            self._log.warning("the certificates of Google are not available: %s", error)
            return "try again", AGAIN
        with self._lock:  # the connection to the broker is of one thread
            return self._store(message.id, message.body)

    def _store(self, identity: str, body: str) -> Answer:
        stores = self._stores
        ingest = Ingest(
            stores.telemetry,
            self._storer,
            stores.acknowledger,
            stores.dead_letters,
            self._now_ms,
            self._log,
            # The client id of the publisher is not part of a message; the broker compares it with the topic.
            check_client=False,
            metrics=self.metrics,
        )
        ingest.recognize([body])
        try:
            ingest.accept(identity, body)
        except StoreError as error:
            self._log.warning("not stored: %s", error, extra={"message_id": identity})
            self.metrics.count("not_stored")
            ingest.finish()
            return "not stored", AGAIN
        return ("not stored", AGAIN) if ingest.finish() else ("", DONE)
