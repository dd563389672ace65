"""Notification of the function of alerting: by messages of a queue."""

from __future__ import annotations

import logging

from azure.core.exceptions import AzureError
from azure.storage.queue import QueueClient

from cloud_functions.adapters.change_relay import message_of

_LOG = logging.getLogger(__name__)


class Waker:
    """Sends a message that names a partition with changes; a lost one is covered by the timer."""

    def __init__(self, queue: QueueClient, table: str) -> None:
        self._queue, self._table = queue, table

    def __call__(self, pk: str) -> None:
        """Send the message."""
        try:
            self._queue.send_message(message_of(self._table, pk))
        except AzureError as error:
            _LOG.warning("alerting is not notified: %s", error)
