"""Ports of the core. ``adapters`` implements them, tests use fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from wire.model import Aggregates

Value = str | int | bytes
Item = dict[str, Value]
"""Item of a table: a flat mapping that includes ``pk`` and ``sk``."""

NowMs = Callable[[], int]
"""Returns milliseconds since the epoch, UTC."""


class Key(NamedTuple):
    """The primary key of an item."""

    pk: str
    sk: str


class Table(Protocol):
    """A table with optimistic writes. Every method raises StoreError when the service fails."""

    def get(self, key: Key) -> Item | None:
        """Return the item; a consistent read."""

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return the items of those keys that exist; they may be older than the last write by about a second."""

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items unconditionally, in any order; returns when all are written."""

    def put_new(self, item: Item) -> Item | None:
        """Write the item if its key is free and return None, else return the existing item."""

    def replace(self, item: Item, version: int) -> bool:
        """Write the item with ``version`` + 1 if the existing one has ``version`` (0: absent); True if written."""

    def delete(self, key: Key, version: int) -> bool:
        """Delete the item if it has ``version``; return True if it was deleted."""

    def add(
        self, key: Key, amounts: Mapping[str, int], values: Mapping[str, Value], first: Mapping[str, Value]
    ) -> None:
        """Add to numbers, set ``values``, and set ``first`` if absent."""

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items whose sort key lies in [first, last], in order, fetched lazily."""

    def query_index(
        self, index: str, value: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False
    ) -> Iterator[Item]:
        """Yield the items under ``value`` of an index whose sort key there lies in [first, last], in order."""


class ErasableTable(Table, Protocol):
    """A table from which items can be removed with any content."""

    def remove(self, found: Iterable[Key]) -> None:
        """Remove items; a missing one is not an error. Returns when all are removed."""


class ArchiveFile(NamedTuple):
    """A file of the archive: rows of one shard of gateways in one hour (0 to 23) of a day, or in the whole day.

    ``staging`` marks a file that readers of the archive do not see.
    """

    day_ms: int
    hour: int | None
    shard: int
    staging: bool = False


class Archive(Protocol):
    """Files of rows for long storage and analysis. Every method raises StoreError when the service fails."""

    def exists(self, file: ArchiveFile) -> bool:
        """Return True if the file exists."""

    def size(self, file: ArchiveFile) -> int:
        """Return the size of a file in bytes, 0 if it does not exist."""

    def rows(self, file: ArchiveFile) -> Iterator[tuple[str, Aggregates]]:
        """Yield the rows of a file by gateway, in the order of gateways."""

    def replace(self, file: ArchiveFile, rows: Iterable[tuple[str, Aggregates]]) -> None:
        """Write a file at once as a whole; without rows remove it. ``rows`` come in the order of gateways."""

    def remove(self, file: ArchiveFile) -> None:
        """Remove the file if it exists."""

    def rename(self, file: ArchiveFile, to: ArchiveFile) -> None:
        """Give a file another name, replacing a file of that name; repeatable after a crash."""


class SeriesFiles(Protocol):
    """The archive's files, read by series. Every method raises StoreError when the service fails."""

    def exists(self, file: ArchiveFile) -> bool:
        """Return True if the file exists."""

    def series(self, file: ArchiveFile, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return the rows of a series in a file that start in [from_ms, to_ms); none if the file does not exist."""


class ArchiveReader(Protocol):
    """Rows of the archive by series, of a range within one day UTC. Every method raises StoreError on failure."""

    def raw(self, gateway: str, series: str, from_ms: int, to_ms: int, limit: int) -> tuple[Aggregates, int]:
        """Return unmodified rows that start in [from_ms, to_ms), and the time before which they are complete.

        There may be more than ``limit`` rows: all those of the hour in which it is reached.
        """

    def rolled_up(self, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return rows of 15 minutes that combine the rows that start in [from_ms, to_ms)."""


class ErasableArchive(Archive, Protocol):
    """An archive whose files can be listed and searched."""

    def list_files(self) -> Iterator[ArchiveFile]:
        """Yield all files, also those that readers do not see."""

    def contains(self, file: ArchiveFile, gateway: str, series: str | None) -> bool:
        """Return True if a file has rows of a gateway, and of the series if one is named."""


class Acknowledger(Protocol):
    """Sends acknowledgements of stored batches to gateways."""

    def send(self, gateway: str, payload: bytes) -> None:
        """Publish an acknowledgement; raises StoreError when it was not accepted."""


class DeadLetterSink(Protocol):
    """Stores messages that cannot be processed, for operators."""

    def keep(self, body: str, attributes: Mapping[str, str]) -> None:
        """Store the unchanged text with attributes; raises StoreError when it is not stored."""


class DeadLetter(NamedTuple):
    """A dead letter as received from its queue; ``handle`` deletes or releases it.

    ``attributes`` may have a ``reason`` with ``detail`` and ``gateway``, and the ``problem`` of a body that cannot be
    used. ``source`` is the name of the queue that the body came from, empty if it did not come from a queue.
    """

    id: str
    handle: str
    body: str
    attributes: Mapping[str, str]
    sent_ms: int
    source: str


class DeadLetterQueue(Protocol):
    """A dead-letter queue. Every method raises StoreError when the service fails."""

    def receive(self, hide_s: int) -> list[DeadLetter]:
        """Return a few letters, hidden from other receivers for ``hide_s`` seconds; an empty list when none is left."""

    def release(self, handles: Sequence[str]) -> None:
        """Make letters visible again."""

    def delete(self, handle: str) -> None:
        """Delete a letter."""


class Queue(NamedTuple):
    """A queue of batches: its name in dead letters, and its address for a sender."""

    name: str
    address: str


class Sender(Protocol):
    """Sends a text to a queue."""

    def send(self, address: str, body: str) -> None:
        """Send the text to the queue at ``address``; raises StoreError when delivery is not certain."""


class Replay(Protocol):
    """Processes a range of a change stream again."""

    def replay(self, reference: str) -> None:
        """Process the range to which a dead letter refers; raises NoRedriveTargetError or StoreError."""


class Outbox(Protocol):
    """Queues of deliveries, one for each type of channel."""

    def put(self, channel_type: str, bodies: Sequence[str]) -> None:
        """Put deliveries into the queue of a type of channel; raises StoreError unless all are accepted."""
