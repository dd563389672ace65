"""The ports of the core: what it needs of AWS, and no more. ``adapters`` has the real ones, tests have fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

Value = str | int | bytes
Item = dict[str, Value]
"""What the table keeps under a key: flat, with ``pk`` and ``sk`` among its attributes."""

NowMs = Callable[[], int]
"""Returns milliseconds since the epoch, UTC."""


class Key(NamedTuple):
    """The primary key of an item."""

    pk: str
    sk: str


class Table(Protocol):
    """A table with optimistic writes. Every method raises StoreError when the service does not do it."""

    def get(self, key: Key) -> Item | None:
        """Return the item as it is after every write that succeeded before."""

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Return the items that exist."""

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items over whatever is there, in no order; returns when all are written."""

    def put_new(self, item: Item) -> Item | None:
        """Write the item if its key is free and return None, else return what is there."""

    def put_newest(self, item: Item, by: str) -> bool:
        """Write the item unless the one there has a greater or equal number ``by``; return whether it was written."""

    def replace(self, item: Item, version: int) -> bool:
        """Write the item with ``version`` + 1 if the one there has ``version`` (0: none); return whether it was."""

    def add(
        self,
        key: Key,
        amounts: Mapping[str, int],
        values: Mapping[str, Value],
        first: Mapping[str, Value],
        newest: tuple[str, int] | None = None,
    ) -> Item:
        """Add to numbers, set ``values``, set ``first`` where absent; return the item.

        ``newest`` names a number and its value, set unless the one there is greater.
        """

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items whose sort key lies in [first, last], in its order, fetched as they are needed."""

    def query_index(self, index: str, attribute: str, value: str, *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items that a secondary index has under ``attribute`` = ``value``, in the order of its sort key."""


class Acknowledger(Protocol):
    """Tells a gateway which of its batches are stored."""

    def send(self, gateway: str, payload: bytes) -> None:
        """Publish an acknowledgement; raises StoreError when it could not be handed over."""


class DeadLetters(Protocol):
    """Keeps what cannot be processed, for people to look at."""

    def keep(self, body: str, attributes: Mapping[str, str]) -> None:
        """Keep the text as it came, with attributes; raises StoreError when it is not kept."""


class Letter(NamedTuple):
    """A dead letter as its queue gives it; ``handle`` is what the queue wants to hear to delete or release it.

    ``source`` is the ARN of the queue that gave up on it, empty where it was not a queue that moved it.
    """

    id: str
    handle: str
    body: str
    attributes: Mapping[str, str]
    sent_ms: int
    source: str


class LetterBox(Protocol):
    """A queue of dead letters. Every method raises StoreError when the service does not do it."""

    def receive(self, hide_s: int) -> list[Letter]:
        """Return a few letters, hidden from others for ``hide_s`` seconds; none when no more are found."""

    def release(self, handles: Sequence[str]) -> None:
        """Show letters to others again."""

    def delete(self, handle: str) -> None:
        """Delete a letter for good."""


class Sender(Protocol):
    """Puts a text into a queue."""

    def send(self, url: str, body: str) -> None:
        """Return when the queue at ``url`` has the text; raises StoreError when that is not certain."""


class Stretch(NamedTuple):
    """Some changes in a row of a table's stream: the first's and the last's sequence numbers in a shard."""

    stream: str
    shard: str
    first: str
    last: str


class Replay(Protocol):
    """Hands a stretch of a stream to its function again."""

    def replay(self, stretch: Stretch) -> None:
        """Return when the function has taken it; raises NoWayBackError or StoreError."""


class Publisher(Protocol):
    """Takes an alert's CloudEvent to those who want to know."""

    def publish(self, gateway: str, envelope: Mapping[str, object]) -> None:
        """Publish the envelope; raises StoreError when it could not be handed over."""
