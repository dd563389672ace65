"""Indexes of a table: entities beside the items, because the key is the only index that Table storage has.

The index by time has an entity in the partition of the item, which is written in the transaction of the item.

The index by state has a partition for each value, which no transaction can have in common with the item. Its entity is
written before the item, and that of the previous value is removed after it. A function that stops in between leaves an
entity too many and never one too few; readers compare each with its item. The entity of the previous value is removed
only if it is unchanged since before the item was written: a writer that gave the item that value again renewed it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cloud_functions.adapters.azure.table_keys import LAST, SEPARATOR, compound, encode
from cloud_functions.core import keys
from cloud_functions.core.ports import Item, Key

AT, LISTED = "~at:", "~listed:"
OTHERS = "~a"
"""Row keys from here on are not those of items."""


class Address(NamedTuple):
    """Partition and row key of an entity."""

    partition: str
    row: str


def by_time(item: Item) -> dict[str, Any] | None:
    """Return the entity of an item in the index by time, None if it is not in it."""
    if "at" not in item:
        return None
    row = compound(AT, (str(item["at"]), str(item["sk"])))
    return {"PartitionKey": encode(str(item["pk"])), "RowKey": row, "sk": str(item["sk"]), "at": str(item["at"])}


def by_state(item: Item) -> dict[str, Any] | None:
    """Return the entity of an item in the index by state, None if it is not in it."""
    if "listed" not in item:
        return None
    partition = compound(LISTED, (str(item["listed"]),))
    row = compound("", (str(item["sk"]), str(item["pk"])))
    return {"PartitionKey": partition, "RowKey": row, "pk": str(item["pk"]), "sk": str(item["sk"])}


def address_of(entity: dict[str, Any]) -> Address:
    """Return the address of an entity."""
    return Address(str(entity["PartitionKey"]), str(entity["RowKey"]))


def span(index: str, value: str, first: str, last: str) -> tuple[str, str, str]:
    """Return partition, first and last row key of a range of an index."""
    if index == keys.BY_TIME:
        return encode(value), AT + encode(first), AT + encode(last) + SEPARATOR + LAST
    return compound(LISTED, (value,)), encode(first), encode(last) + SEPARATOR + LAST


def key_of(index: str, value: str, entity: dict[str, Any]) -> Key:
    """Return the key of the item of an index's entity."""
    return Key(value if index == keys.BY_TIME else str(entity["pk"]), str(entity["sk"]))


def is_current(index: str, value: str, entity: dict[str, Any], item: Item) -> bool:
    """Return True if the item still has the value under which the index lists it."""
    return item.get("at") == entity["at"] if index == keys.BY_TIME else item.get("listed") == value
