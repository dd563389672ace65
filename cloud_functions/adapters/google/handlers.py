"""Handlers of the functions on Google Cloud. ``cloud_functions/google/main.py`` binds them to HTTP requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from cloud_functions.adapters.change_relay import ChangeLog, Relay
from cloud_functions.adapters.channels.notifier import Notifier
from cloud_functions.adapters.channels.registry import Deliverers
from cloud_functions.adapters.functions import Functions, Options, Stores, left_of
from cloud_functions.adapters.google.push import InvalidPushError, PushedMessage, read_batch, read_text
from cloud_functions.adapters.google.tokens import PushVerifier, UnauthorizedError
from cloud_functions.core.errors import CloudError
from cloud_functions.core.ingest_run import Message
from cloud_functions.core.ports import NowMs

Answer = tuple[str, int]
"""Text and HTTP status."""
DONE, INVALID, UNAUTHORIZED, AGAIN = 204, 400, 401, 503
REQUEST_MS, TIMER_MS = 60_000, 300_000
"""Longest run of a function that a message starts, and of one that the scheduler starts."""


class Handlers:
    """The functions of a service; ``logs`` are those of the changes of the tables, by table.

    Requests are answered one after the other: the functions and the connection to the broker are of one thread.
    """

    def __init__(
        self,
        stores: Stores,
        logs: Mapping[str, ChangeLog],
        deliverers: Deliverers,
        verifier: PushVerifier,
        options: Options,
        now_ms: NowMs,
        log: logging.Logger,
    ) -> None:
        self._verifier, self._now_ms, self._log = verifier, now_ms, log
        # The client id of the publisher is not part of a message; the broker compares it with the topic.
        self._functions = Functions(stores, options, now_ms, log, check_client=False)
        self._relay = Relay(logs, self._functions.process)
        self.metrics = self._functions.metrics
        self._notifier = Notifier(self._functions.configuration.channels, deliverers, self.metrics, log)
        self._lock = threading.Lock()

    def ingest(self, headers: Mapping[str, str], content: bytes) -> Answer:
        """Store and acknowledge the batch of a push request; Pub/Sub repeats one that is answered by an error."""

        def store(message: PushedMessage) -> Answer:
            again = self._functions.ingest([Message(message.id, message.body, "")], left_of(REQUEST_MS))
            return ("not stored", AGAIN) if again else ("", DONE)

        return self._pushed(headers, lambda: read_batch(content, self._now_ms()), store)

    def alerting(self, headers: Mapping[str, str], content: bytes) -> Answer:
        """Process the changes that the message of a push request names."""

        def process(message: PushedMessage) -> Answer:
            self._relay.on_message(message.body)
            return "", DONE

        return self._pushed(headers, lambda: read_text(content), process)

    def notify(self, headers: Mapping[str, str], content: bytes) -> Answer:
        """Deliver the message of a push request to its channel; Pub/Sub repeats one that failed after a while."""

        def deliver(message: PushedMessage) -> Answer:
            if failed := self._notifier.deliver([message.body]):
                about = {"message_id": message.id, "attempt": message.attempt}
                self._log.warning("not delivered: %s", failed[0], extra=about)
                return "not delivered", AGAIN
            return "", DONE

        return self._pushed(headers, lambda: read_text(content), deliver)

    def watch(self, headers: Mapping[str, str]) -> Answer:
        """Process changes of which no message arrived, and do what becomes due without a message."""

        def run() -> Answer:
            self._functions.follow_and_watch(self._relay, left_of(TIMER_MS))
            return "", DONE

        return self._authorized(headers, run)

    def compact(self, headers: Mapping[str, str]) -> Answer:
        """Compact the hours that ended, one after the other, as long as time is left; a scheduler sends the request."""

        def run() -> Answer:
            failed = self._functions.compact(left_of(TIMER_MS), TIMER_MS // 2)
            return ("tasks failed", AGAIN) if failed else ("", DONE)

        return self._authorized(headers, run)

    def _pushed(
        self,
        headers: Mapping[str, str],
        read: Callable[[], PushedMessage],
        work: Callable[[PushedMessage], Answer],
    ) -> Answer:
        """Answer a push request of Pub/Sub."""

        def run() -> Answer:
            try:
                message = read()
            except InvalidPushError as error:
                self._log.error("push request rejected: %s", error)
                self.metrics.count("invalid_requests")
                return "not a push request", INVALID
            return work(message)

        return self._authorized(headers, run)

    def _authorized(self, headers: Mapping[str, str], work: Callable[[], Answer]) -> Answer:
        """Answer a request that has a valid token; one that fails is answered so that the caller repeats it."""
        with self._lock:
            if (refusal := self._refusal(headers)) is not None:
                return refusal
            try:
                return work()
            except CloudError as error:
                self._log.warning("request failed: %s", error)
                self.metrics.count("failed_requests")
                return "failed", AGAIN

    def _refusal(self, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a request that does not have a valid token, None for an authorized one."""
        try:
            self._verifier.verify(headers.get("Authorization", ""))
        except UnauthorizedError as error:
            self._log.warning("request rejected: %s", error)
            self.metrics.count("unauthorized")
            return "unauthorized", UNAUTHORIZED
        except OSError as error:
            self._log.warning("the certificates of Google are not available: %s", error)
            return "try again", AGAIN
        return None
