"""Form of an item in Bigtable: its row, the columns of its attributes, and the rows of the indexes. Pure.

Row keys are ``i!<pk>|<sk>`` of an item, ``t!<pk>|<at>|<sk>`` in the index by time and ``s!<listed>|<sk>|<pk>`` in the
index by state, where ``|`` stands for a zero byte. A column is one attribute, and its value begins with a letter for
the type. Each write replaces the whole row and gives it a new revision, the condition of the next write.

An item with ``expires_at`` is in the column family ``x``, whose cells are removed by age: the time of its cells is the
one at which it expires. Other items are in the family ``p``. Changes that were not processed yet are cells of the
family ``c`` (see bigtable_changes), and ``c!<pk>|<sk>|<change>`` is the row that marks one.
"""

from __future__ import annotations

from typing import NamedTuple

from cloud_functions.core import keys
from cloud_functions.core.ports import Item, Key, Value

PERMANENT, EXPIRING, CHANGES = "p", "x", "c"
"""Column families; ``x`` needs the garbage collection policy of a maximum age of one second."""
ITEM_FAMILIES = f"[{PERMANENT}{EXPIRING}]"
"""Expression for the families of an item's attributes."""
REVISION = b"~revision"
SEPARATOR, LAST = b"\0", b"\xff"
PERMANENT_MICROS = 1_000


class Place(NamedTuple):
    """Column family and time of an item's cells."""

    family: str
    micros: int


def place_of(item: Item) -> Place:
    """Return the place of an item's cells."""
    expires_at = item.get("expires_at")
    if isinstance(expires_at, int):
        return Place(EXPIRING, expires_at * 1_000_000)
    return Place(PERMANENT, PERMANENT_MICROS)


def row_of(key: Key) -> bytes:
    """Return the row key of an item."""
    return b"i!" + SEPARATOR.join((key.pk.encode(), key.sk.encode()))


def range_of(pk: str, first: str, last: str) -> tuple[bytes, bytes]:
    """Return the first and last row key of the items whose sort key lies in [first, last]."""
    return row_of(Key(pk, first)), row_of(Key(pk, last))


def index_rows(item: Item) -> frozenset[bytes]:
    """Return the rows of an item in the indexes."""
    pk, sk = str(item["pk"]).encode(), str(item["sk"]).encode()
    found = []
    if "at" in item:
        found.append(b"t!" + SEPARATOR.join((pk, str(item["at"]).encode(), sk)))
    if "listed" in item:
        found.append(b"s!" + SEPARATOR.join((str(item["listed"]).encode(), sk, pk)))
    return frozenset(found)


def index_range(index: str, value: str, first: str, last: str) -> tuple[bytes, bytes]:
    """Return the first and last row key of a range of an index."""
    prefix = (b"t!" if index == keys.BY_TIME else b"s!") + value.encode() + SEPARATOR
    return prefix + first.encode(), prefix + last.encode() + SEPARATOR + LAST


def indexed_key(row: bytes) -> Key:
    """Return the key of the item of a row of an index."""
    first, second, third = row[2:].split(SEPARATOR)
    return Key(first.decode(), third.decode()) if row.startswith(b"t!") else Key(third.decode(), second.decode())


class Marked(NamedTuple):
    """Key of the item and name of the change that a mark stands for."""

    key: Key
    change: bytes


ALL_MARKS = (b"c!", b'c"')
"""First row key of all marks, and the one after the last."""


def mark_of(key: Key, change: bytes) -> bytes:
    """Return the row key of a change's mark."""
    return b"c!" + SEPARATOR.join((key.pk.encode(), key.sk.encode(), change))


def marks_of(pk: str) -> tuple[bytes, bytes]:
    """Return the first row key of the marks of a partition, and the one after the last."""
    prefix = b"c!" + pk.encode()
    return prefix + SEPARATOR, prefix + b"\1"


def marked(row: bytes) -> Marked:
    """Return what a mark stands for."""
    pk, sk, change = row[2:].split(SEPARATOR)
    return Marked(Key(pk.decode(), sk.decode()), change)


def to_cell(value: Value) -> bytes:
    """Return a value as it is stored."""
    if isinstance(value, bytes):
        return b"b" + value
    return b"s" + value.encode() if isinstance(value, str) else b"n%d" % value


def from_cell(cell: bytes) -> Value:
    """Return a stored value."""
    if cell[:1] == b"b":
        return cell[1:]
    return int(cell[1:]) if cell[:1] == b"n" else cell[1:].decode()
