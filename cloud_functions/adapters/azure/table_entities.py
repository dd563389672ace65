"""Items of the core as entities of Table storage.

A property has at most 64 KiB, and a text at most 32,768 characters. Longer bytes and texts are divided into several
properties of bytes: ``data`` into ``data__b00``, ``data__b01``, a text as UTF-8 into ``report__t00`` and so on. An
entity has at most 1 MiB, which the items of the core, at most 400 KB, never reach.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azure.data.tables import EdmType, EntityProperty

from cloud_functions.adapters.azure.table_keys import decode, encode
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import Item, Key, Value

MAX_BYTES, MAX_CHARACTERS = 64_000, 32_000
_PART = re.compile(r"(.+)__([bt])(\d{2})")
_KEYS = ("PartitionKey", "RowKey")


def to_entity(item: Item) -> dict[str, Any]:
    """Return the entity of an item."""
    entity: dict[str, Any] = {"PartitionKey": encode(str(item["pk"])), "RowKey": encode(str(item["sk"]))}
    return entity | properties({name: value for name, value in item.items() if name not in ("pk", "sk")})


def properties(attributes: Mapping[str, Value]) -> dict[str, Any]:
    """Return attributes as properties of an entity."""
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, int):
            found[name] = EntityProperty(value, EdmType.INT64)
        elif isinstance(value, bytes | bytearray):
            found |= {name: bytes(value)} if len(value) <= MAX_BYTES else _parts(f"{name}__b", bytes(value))
        else:
            found |= {name: value} if len(value) <= MAX_CHARACTERS // 2 else _parts(f"{name}__t", value.encode())
    return found


def to_item(entity: Mapping[str, Any]) -> Item:
    """Return the item of an entity; raises StoreError for a property of another type."""
    item: Item = {"pk": decode(str(entity["PartitionKey"])), "sk": decode(str(entity["RowKey"]))}
    parts: dict[tuple[str, str], list[bytes]] = {}
    for name in sorted(entity):
        if name in _KEYS:
            continue
        value = entity[name]
        found = _PART.fullmatch(name)
        if found is not None:
            parts.setdefault((found[1], found[2]), []).append(value)
        else:
            item[name] = _value(name, value)
    for (name, kind), values in parts.items():
        whole = b"".join(values)
        item[name] = whole if kind == "b" else whole.decode()
    return item


def key_of(entity: Mapping[str, Any]) -> Key:
    """Return the key of an entity's item."""
    return Key(decode(str(entity["PartitionKey"])), decode(str(entity["RowKey"])))


def size_of(entity: Mapping[str, Any]) -> int:
    """Return about how many bytes an entity adds to a request."""
    size = 700
    for name, value in entity.items():
        size += 2 * len(name) + 40
        if isinstance(value, bytes):
            size += len(value) * 4 // 3
        elif isinstance(value, str):
            size += 6 * len(value) if not value.isascii() else 2 * len(value)
    return size


def _parts(prefix: str, whole: bytes) -> dict[str, bytes]:
    return {f"{prefix}{n:02d}": whole[at : at + MAX_BYTES] for n, at in enumerate(range(0, len(whole), MAX_BYTES))}


def _value(name: str, value: object) -> Value:
    if isinstance(value, EntityProperty) and value.edm_type == EdmType.INT64:
        return int(value.value)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str):
        return str(value)
    raise StoreError(f"property {name} has the type {type(value).__name__}: text, Int64 and bytes are all that is used")
