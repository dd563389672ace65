"""The way of changes from the logs of the tables to alerting: by messages of a queue, and by the timer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence

from azure.core.exceptions import AzureError
from azure.storage.queue import QueueClient

from cloud_functions.adapters.azure.table_changes import ChangeLog
from cloud_functions.core.changes import Change
from cloud_functions.core.errors import CloudError, StoreError

MAX_CHANGES = 200
"""Changes of a partition that are processed together."""

Process = Callable[[Sequence[Change]], Mapping[int, str]]
_LOG = logging.getLogger(__name__)


class Waker:
    """Sends a message that names a partition with changes; a lost one is covered by the timer."""

    def __init__(self, queue: QueueClient, table: str) -> None:
        self._queue, self._table = queue, table

    def __call__(self, pk: str) -> None:
        """Send the message."""
        try:
            self._queue.send_message(json.dumps({"table": self._table, "pk": pk}))
        except AzureError as error:
            _LOG.warning("alerting is not notified: %s", error)


class Relay:
    """Processes the changes of tables and removes them from their logs; ``logs`` are by table."""

    def __init__(self, logs: Mapping[str, ChangeLog], process: Process) -> None:
        self._logs, self._process = logs, process

    def on_message(self, body: str) -> int:
        """Process the changes that a message names; return their number. Raises CloudError if one failed."""
        try:
            message = json.loads(body)
            log, pk = self._logs[message["table"]], str(message["pk"])
        except (ValueError, KeyError, TypeError) as error:
            raise CloudError(f"not a message of a change: {body[:200]!r}") from error
        return self._partition(log, pk)

    def follow(self) -> int:
        """Process the changes of all partitions that were changed lately; return their number.

        Raises StoreError after the last one if some failed.
        """
        total, failures = 0, list[str]()
        for log in self._logs.values():
            for pk in log.partitions():
                try:
                    total += self._partition(log, pk)
                except CloudError as error:
                    _LOG.warning("changes of %s: %s", pk, error)
                    failures.append(str(error))
        if failures:
            raise StoreError(f"changes of {len(failures)} partitions failed: {failures[0]}")
        return total

    def _partition(self, log: ChangeLog, pk: str) -> int:
        changes = list(log.of(pk))
        failed: list[str] = []
        for at in range(0, len(changes), MAX_CHANGES):
            part = changes[at : at + MAX_CHANGES]
            problems = self._process([(change.old, change.new) for change in part])
            log.remove(change for n, change in enumerate(part) if n not in problems)
            failed += problems.values()
        if failed:
            raise CloudError(f"{len(failed)} of {len(changes)} changes failed: {failed[0][:500]}")
        return len(changes)
