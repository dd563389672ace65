"""The way of changes from the logs of tables to alerting, where the tables of a cloud have no stream of changes."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from cloud_functions.core import changes
from cloud_functions.core.errors import CloudError, StoreError
from cloud_functions.core.ports import Item

MAX_CHANGES = 200
"""Changes of a partition that are processed together."""
KEPT_MS = 15 * 60_000
"""Age at which an announcement of a change is removed: longer than the longest run of a function."""

Captured = Callable[[Item | None, Item], bool]
"""Returns True for a change, as (old, new), that alerting processes."""
Process = Callable[[Sequence[changes.Change]], Mapping[int, str]]
_LOG = logging.getLogger(__name__)


class Change(NamedTuple):
    """A change of an item, as (old, new); ``address`` is where its log stores it."""

    address: Any
    old: Item | None
    new: Item


class ChangeLog(Protocol):
    """The changes of a table that were not processed yet. Every method raises StoreError when the service fails."""

    def of(self, pk: str) -> Iterator[Change]:
        """Yield the changes of a partition, those of each item in their order."""

    def remove(self, changes: Iterable[Change]) -> None:
        """Remove changes that were processed; a missing one is not an error."""

    def partitions(self) -> Iterator[str]:
        """Yield the partitions that may have changes."""


def anomalies(old: Item | None, new: Item) -> bool:
    """Return True for a new report of an anomaly."""
    return new.get("kind") == "anomaly" and old is None


def alerts(old: Item | None, new: Item) -> bool:
    """Return True for each change of an alert."""
    return new.get("kind") == "alert"


def to_plain(item: Item) -> dict[str, Any]:
    """Return an item as values of JSON."""
    return {
        name: {"b": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in item.items()
    }


def from_plain(plain: Mapping[str, Any]) -> Item:
    """Return the item of :func:`to_plain`."""
    return {name: base64.b64decode(value["b"]) if isinstance(value, dict) else value for name, value in plain.items()}


def message_of(table: str, pk: str) -> str:
    """Return the message that lets a relay process the changes of a partition."""
    return json.dumps({"table": table, "pk": pk})


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
        found = list(log.of(pk))
        failed: list[str] = []
        for at in range(0, len(found), MAX_CHANGES):
            part = found[at : at + MAX_CHANGES]
            problems = self._process([(change.old, change.new) for change in part])
            log.remove(change for n, change in enumerate(part) if n not in problems)
            failed += problems.values()
        if failed:
            raise CloudError(f"{len(failed)} of {len(found)} changes failed: {failed[0][:500]}")
        return len(found)
