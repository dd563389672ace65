"""Handlers of the functions on Google Cloud. ``cloud_functions/google/main.py`` binds them to HTTP requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from cloud_functions.adapters.google.push import InvalidPushError, PushVerifier, UnauthorizedPushError, read_push
from cloud_functions.clock import DAY_MS
from cloud_functions.core.errors import CloudError, StoreError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Acknowledger, Archive, DeadLetterSink, NowMs, Table
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.storing import Storer

Answer = tuple[str, int]
"""Text and HTTP status."""
DONE, INVALID, UNAUTHORIZED, AGAIN = 204, 400, 401, 503


COMPACTION_MS = 300_000
"""Longest run of a compaction."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The adapters that the functions use."""

    telemetry: Table
    archive: Archive
    acknowledger: Acknowledger
    dead_letters: DeadLetterSink


class Handlers:
    """The functions of a service."""

    def __init__(
        self,
        stores: Stores,
        verifier: PushVerifier,
        now_ms: NowMs,
        log: logging.Logger,
        raw_days: int = 7,
        retention_days: int = 90,
    ) -> None:
        self._stores, self._verifier = stores, verifier
        self._raw_ms, self._retention_ms = raw_days * DAY_MS, retention_days * DAY_MS
        self._storer = Storer(stores.telemetry, now_ms, self._raw_ms, self._retention_ms)
        self._now_ms, self._log = now_ms, log
        self._lock = threading.Lock()
        self.metrics = Metrics()

    def ingest(self, headers: Mapping[str, str], content: bytes) -> Answer:
        """Store and acknowledge the batch of a push request; Pub/Sub repeats one that is answered by an error."""
        if (refusal := self._refusal(headers)) is not None:
            return refusal
        try:
            message = read_push(content, self._now_ms())
        except InvalidPushError as error:
            self._log.error("push request rejected: %s", error)
            self.metrics.count("invalid_requests")
            return "not a push request", INVALID
        with self._lock:  # the connection to the broker is of one thread
            return self._store(message.id, message.body)

    def compact(self, headers: Mapping[str, str]) -> Answer:
        """Compact the hours that ended, one after the other, as long as time is left; a scheduler sends the request."""
        from cloud_functions.core.compaction import Compactor
        from cloud_functions.core.compaction_plan import Planner

        if (refusal := self._refusal(headers)) is not None:
            return refusal
        end = time.monotonic() + COMPACTION_MS / 1000
        stores, failed = self._stores, 0
        compactor = Compactor(
            stores.telemetry,
            stores.archive,
            Profiles(stores.telemetry, self._now_ms, self._raw_ms).find,
            stores.dead_letters,
            self._now_ms,
            self._retention_ms,
            lambda: "compact",
            lambda: round((end - time.monotonic()) * 1000),
        )
        for task in Planner(stores.telemetry, self._now_ms, 1).plan():
            if end - time.monotonic() < COMPACTION_MS / 2000:
                break
            try:
                self.metrics.count(f"tasks_{compactor.run(task)}")
            except CloudError:
                self._log.exception("task failed", extra={"task": task.encode()})
                self.metrics.count("tasks_failed")
                failed += 1
        return ("tasks failed", AGAIN) if failed else ("", DONE)

    def _refusal(self, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a request that does not have a valid token, None for an authorized one."""
        try:
            self._verifier.verify(headers.get("Authorization", ""))
        except UnauthorizedPushError as error:
            self._log.warning("request rejected: %s", error)
            self.metrics.count("unauthorized")
            return "unauthorized", UNAUTHORIZED
        except OSError as error:
            self._log.warning("the certificates of Google are not available: %s", error)
            return "try again", AGAIN
        return None

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
