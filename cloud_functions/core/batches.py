"""A stored batch: the item that holds its bytes and is its receipt (rows: :mod:`cloud_functions.core.batch_rows`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from cloud_functions.core import keys
from cloud_functions.core.errors import CloudError
from cloud_functions.core.ports import Item, Table

KIND = "batch"


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A stored batch. ``holds`` is the kind of its rows, ``received_ms`` its first arrival at the rule.

    ``data`` are its unchanged bytes. Rows are readings or aggregates; otherwise ``rows`` is the number of reports.
    """

    gateway: str
    epoch: int
    sequence: int
    lane: str
    holds: str
    rows: int
    size: int
    digest: bytes
    received_ms: int
    data: bytes

    @classmethod
    def of(cls, item: Item) -> Self:
        """Return the batch of an item."""
        epoch, sequence = str(item["sk"]).split("#")
        return cls(
            gateway=str(item["pk"]).split("#", 1)[1],
            epoch=int(epoch, 16),
            sequence=int(sequence),
            lane=str(item["lane"]),
            holds=str(item["holds"]),
            rows=int(item["rows"]),
            size=int(item["bytes"]),
            digest=_bytes(item["digest"]),
            received_ms=int(item["received_ms"]),
            data=_bytes(item.get("data", b"")),
        )

    @property
    def has_rows(self) -> bool:
        """True for readings and aggregates."""
        return self.holds in ("readings", "aggregates")

    @property
    def totals(self) -> dict[str, int]:
        """Return the amounts that the batch adds to its epoch's totals."""
        return {"batches": 1, "rows": self.rows, "bytes": self.size}


def overlapping(table: Table, gateway: str, from_ms: int, to_ms: int) -> Iterator[StoredBatch]:
    """Yield the stored batches of a gateway that can have rows in [from_ms, to_ms), in any order."""
    pk = keys.batch(gateway, 0, 1).pk
    for first, last in keys.ranges(from_ms, to_ms):
        for item in table.query_index(keys.BY_TIME, pk, first, last):
            batch = StoredBatch.of(item)
            if int(item["last_ms"]) >= from_ms:
                yield batch


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise CloudError(f"{value!r:.40}: bytes were stored here")
