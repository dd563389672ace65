"""Delivery of the messages of the channels' queues on Azure, with growing delays between attempts.

A queue trigger repeats a failed message after one fixed delay. So a message that failed is sent again with the delay of
its attempt, and the received one is completed; a function that stops in between leaves both, which is a repetition.
"""

from __future__ import annotations

import json
import logging

import azure.functions as func

from cloud_functions.adapters.azure.queues import BlobDeadLetterSink, QueueOutbox, read_delivery
from cloud_functions.adapters.azure.service import store_errors
from cloud_functions.adapters.azure.storage import Storage
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.adapters.channels.notifier import Notifier
from cloud_functions.adapters.channels.registry import Deliverers
from cloud_functions.core.configuration import Configuration
from cloud_functions.core.deliveries import retry_after_s
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import NowMs

MAX_ATTEMPTS = 10
_ATTEMPT = "strandline.attempt"
_DEAD_LETTERS = "dead-letters"


class NotifyHandler:
    """The function of all queues of deliveries."""

    def __init__(
        self, storage: Storage, deliverers: Deliverers, metrics: Metrics, now_ms: NowMs, log: logging.Logger
    ) -> None:
        self._storage, self._log, self.metrics = storage, log, metrics
        self._large = storage.container("large")
        self._dead_letters = storage.container(_DEAD_LETTERS)
        configuration = Configuration(AzureTable(storage.table("alerts")), now_ms, metrics)
        self._notifier = Notifier(configuration.channels, deliverers, metrics, log)

    def deliver(self, kind: str, message: func.QueueMessage) -> None:
        """Deliver a message of the queue of a type of channel.

        A failed one is sent again, and kept as a dead letter after MAX_ATTEMPTS. Raises StoreError if neither can be
        done: then the trigger repeats the message.
        """
        text = read_delivery(message.get_body().decode(), self._large)
        body, attempt = _read(text)
        if not (failed := self._notifier.deliver([body])):
            return
        about = {"message_id": message.id, "attempt": attempt}
        self._log.warning("not delivered: %s", failed[0], extra=about)
        if attempt >= MAX_ATTEMPTS:
            self.metrics.count("dead_deliveries")
            BlobDeadLetterSink(self._dead_letters).keep(body, {"reason": failed[0][:1000], "queue": f"channel-{kind}"})
            return
        queue = self._storage.queue(f"channel-{kind}")
        again = QueueOutbox({}, self._large).message_of(json.dumps({_ATTEMPT: attempt + 1, "body": body}))
        with store_errors(f"send to the queue of {kind}"):
            queue.send_message(again, visibility_timeout=retry_after_s(attempt))


def _read(text: str) -> tuple[str, int]:
    """Return the delivery of a message, and the number of its attempt from 1."""
    if not text.startswith(f'{{"{_ATTEMPT}"'):
        return text, 1
    found = json.loads(text)
    return str(found["body"]), int(found[_ATTEMPT])
