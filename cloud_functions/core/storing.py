"""Exactly-once storage of batches, however often they arrive and wherever the function crashes.

The order of writes guarantees this. First the batch's records and reports, under keys derived from the batch's name,
so that writing them again changes nothing; then its receipt, by a conditional write. A batch with a receipt is stored;
a batch without one may be stored in part and is written again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cloud_functions.core import keys
from cloud_functions.core.arrival import Arrival, Envelope, Label, fingerprint
from cloud_functions.core.errors import Reason, RejectError
from cloud_functions.core.ports import Item, Key, NowMs, Table
from cloud_functions.core.records import aggregates_of, records_of
from wire.codec import Kind
from wire.model import Aggregates, Anomalies, Batch, Notice, Readings, Series

MAX_KNOWN_SERIES = 200_000
"""How many series a worker remembers as catalogued, some 40 MB; then it forgets all and reads again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch that is stored: whether this call stored it, and its rows and bytes as its receipt has them."""

    new: bool
    rows: int
    size: int

    @property
    def totals(self) -> dict[str, int]:
        """Return what the batch adds to its epoch's totals."""
        return {"batches": 1, "rows": self.rows, "bytes": self.size}


@dataclass(slots=True)
class Catalogue:
    """The gateways and series that this worker knows to be in the table's catalogue."""

    _known: dict[str, set[Series]] = field(default_factory=dict)

    def missing(self, table: Table, gateway: str, directory: tuple[Series, ...]) -> Iterator[Item]:
        """Yield the items that the catalogue lacks, without noting them as written."""
        if gateway not in self._known:
            prefix = keys.series(gateway, "")
            found = table.query(prefix.pk, prefix.sk, prefix.sk + "\x7f")
            self._known[gateway] = {series_from(item) for item in found}
            yield gateway_item(gateway)
        for series in directory:
            if series not in self._known[gateway]:
                yield _series_item(gateway, series)

    def written(self, gateway: str, directory: tuple[Series, ...]) -> None:
        """Note that the items of :meth:`missing` are written."""
        if sum(map(len, self._known.values())) > MAX_KNOWN_SERIES:
            self._known.clear()
        elif gateway in self._known:
            self._known[gateway].update(directory)

    def forget(self, gateway: str) -> None:
        """Forget a gateway whose items may not have been written."""
        self._known.pop(gateway, None)


def gateway_item(gateway: str) -> Item:
    """Return the catalogue's item of a gateway."""
    return {"pk": keys.GATEWAYS, "sk": gateway, "kind": "gateway"}


def _series_item(gateway: str, series: Series) -> Item:
    key = keys.series(gateway, series.name)
    resolution = "" if series.resolution is None else repr(series.resolution)
    return {"pk": key.pk, "sk": key.sk, "kind": "series", "unit": series.unit, "resolution": resolution}


def series_from(item: Item) -> Series:
    """Return the series of a catalogue item or a record's item."""
    name = str(item["series"]) if "series" in item else str(item["sk"]).split("#", 1)[1]
    resolution = str(item.get("resolution", ""))
    return Series(name, str(item.get("unit", "")), float(resolution) if resolution else None)


class Storer:
    """Stores batches in the telemetry table; items live ``retention_ms`` from when they are written."""

    def __init__(self, table: Table, now_ms: NowMs, retention_ms: int, catalogue: Catalogue | None = None) -> None:
        self._table, self._now_ms, self._retention_ms = table, now_ms, retention_ms
        self._catalogue = catalogue if catalogue is not None else Catalogue()

    def store(self, arrival: Arrival) -> Stored:
        """Store the batch unless it is stored.

        Raises RejectError (different) when another batch is stored under its name, RejectError (time, size) when it
        cannot be stored at all, and StoreError when it is not certain that it was.
        """
        batch = arrival.batch
        receipt = self._table.get(keys.receipt(batch.gateway, batch.epoch, batch.sequence))
        if receipt is None:
            now_ms = self._now_ms()
            expires_at = (now_ms + self._retention_ms) // 1000
            items = list(self._items(arrival, expires_at))
            self._write(arrival, items)
            receipt = self._table.put_new(_receipt(arrival, now_ms, expires_at, len(items)))
            if receipt is None:
                return Stored(True, len(batch.rows), arrival.size)
        if receipt["digest"] != arrival.digest and not self._holds(arrival):
            name = keys.batch_name(batch.epoch, batch.sequence)
            raise RejectError(Reason.DIFFERENT, f"batch {name} of {batch.gateway} is stored with other content")
        self._table.add(keys.receipt(batch.gateway, batch.epoch, batch.sequence), {"times_seen": 1}, {}, {})
        return _stored(receipt)

    def note(self, envelope: Envelope, label: Label) -> bool:
        """Write the receipt of a batch that brought no rows but a profile; return whether it is the first."""
        now_ms = self._now_ms()
        item = {
            **_receipt_of(envelope.gateway, label.epoch, label.sequence),
            "lane": envelope.lane,
            "bytes": len(envelope.data),
            "rows": 0,
            "holds": label.kind.name.lower(),
            "items": 1,
            "digest": fingerprint(envelope.data),
            "received_ms": envelope.received_ms,
            "stored_ms": now_ms,
            "times_seen": 1,
            "expires_at": (now_ms + self._retention_ms) // 1000,
        }
        if self._table.put_new(item) is None:
            return True
        self._table.add(keys.receipt(envelope.gateway, label.epoch, label.sequence), {"times_seen": 1}, {}, {})
        return False

    def find(self, envelope: Envelope, label: Label) -> Stored | None:
        """Return the receipt stored under the name of a batch, or None."""
        receipt = self._table.get(keys.receipt(envelope.gateway, label.epoch, label.sequence))
        return None if receipt is None or receipt["holds"] == Kind.PROFILE.name.lower() else _stored(receipt)

    def find_same(self, envelope: Envelope, label: Label) -> Stored | None:
        """Return the stored batch if it has these very bytes; they cannot be read without their profile."""
        receipt = self._table.get(keys.receipt(envelope.gateway, label.epoch, label.sequence))
        same = receipt is not None and receipt["digest"] == fingerprint(envelope.data)
        return _stored(receipt) if receipt is not None and same else None

    def _holds(self, arrival: Arrival) -> bool:
        """Return whether the stored batch has the same rows: with and without a profile their bytes differ."""
        batch = arrival.batch
        receipt = self._table.get(keys.receipt(batch.gateway, batch.epoch, batch.sequence))
        if not isinstance(batch.rows, Aggregates) or receipt is None or receipt["rows"] != len(batch.rows):
            return False
        for item in self._items(arrival, 0):
            there = self._table.get(Key(str(item["pk"]), str(item["sk"])))
            if there is None or there["columns"] != item["columns"]:
                return False
        return True

    def _write(self, arrival: Arrival, items: list[Item]) -> None:
        batch = arrival.batch
        directory = batch.rows.series if isinstance(batch.rows, Aggregates | Readings) else ()
        try:
            catalogue = list(self._catalogue.missing(self._table, batch.gateway, directory))
            self._table.put_many([*items, *catalogue])
        except Exception:
            self._catalogue.forget(batch.gateway)
            raise
        self._catalogue.written(batch.gateway, directory)
        if isinstance(batch.rows, Notice):
            # By the cloud's clock: a gateway's may have been a year ahead when it sent the one before.
            self._table.put_newest(_notice(batch.gateway, batch.rows, arrival.received_ms), "received_ms")

    def _items(self, arrival: Arrival, expires_at: int) -> Iterator[Item]:
        batch, rows = arrival.batch, arrival.batch.rows
        if isinstance(rows, Anomalies):
            yield from _reports(batch, rows, arrival.received_ms, expires_at)
        elif not isinstance(rows, Notice):
            aggregates = aggregates_of(rows) if isinstance(rows, Readings) else rows
            yield from _records(batch, aggregates, arrival.received_ms, expires_at)


def _stored(receipt: Item) -> Stored:
    return Stored(False, int(receipt["rows"]), int(receipt["bytes"]))


def _records(batch: Batch, rows: Aggregates, received_ms: int, expires_at: int) -> Iterator[Item]:
    for record in records_of(rows):
        key = keys.record(batch.gateway, record.series.name, record.first_ms, batch.epoch, batch.sequence)
        yield {
            "pk": key.pk,
            "sk": key.sk,
            "kind": "record",
            "series": record.series.name,
            "unit": record.series.unit,
            "resolution": "" if record.series.resolution is None else repr(record.series.resolution),
            "last_ms": record.last_ms,
            "rows": record.rows,
            "columns": record.columns,
            "received_ms": received_ms,
            "expires_at": expires_at,
        }


def _reports(batch: Batch, rows: Anomalies, received_ms: int, expires_at: int) -> Iterator[Item]:
    for at, report in enumerate(rows.reports):
        if not 0 <= report.onset_ms <= keys.MAX_TIME_MS or not 0 <= report.time_ms <= keys.MAX_TIME_MS:
            raise RejectError(
                Reason.TIME,
                f"anomaly of {report.series}: onset {report.onset_ms} and time {report.time_ms} must lie in 0 to "
                f"{keys.MAX_TIME_MS} ms",
            )
        key = keys.anomaly(batch.gateway, report.series, report.onset_ms, batch.epoch, batch.sequence, at)
        yield {
            "pk": key.pk,
            "sk": key.sk,
            "kind": "anomaly",
            "gateway": batch.gateway,
            "report": json.dumps(report.to_dict(), separators=(",", ":"), sort_keys=True),
            "received_ms": received_ms,
            "expires_at": expires_at,
        }


def count(table: Table, gateway: str, amounts: Mapping[str, int], now_ms: int, seen_ms: int) -> None:
    """Add to the gateway's figures that no decision depends on; a function that dies before this leaves them short.

    Stored batches, rows and bytes are not among them: see :mod:`cloud_functions.core.received_sequences`.

    ``seen_ms`` is when the gateway was last seen, which can be days ago for redriven dead letters.
    """
    table.add(
        keys.about(gateway),
        {"invocations": 1, **amounts},
        {"kind": "about"},
        {"first_seen_ms": now_ms},
        ("last_seen_ms", seen_ms),
    )


def _receipt(arrival: Arrival, now_ms: int, expires_at: int, items: int) -> Item:
    batch = arrival.batch
    return {
        **_receipt_of(batch.gateway, batch.epoch, batch.sequence),
        "lane": arrival.lane,
        "bytes": arrival.size,
        "rows": len(batch.rows),
        "holds": type(batch.rows).__name__.lower(),
        "items": items,
        "digest": arrival.digest,
        "received_ms": arrival.received_ms,
        "stored_ms": now_ms,
        "times_seen": 1,
        "expires_at": expires_at,
    }


def _receipt_of(gateway: str, epoch: int, sequence: int) -> Item:
    key = keys.receipt(gateway, epoch, sequence)
    return {"pk": key.pk, "sk": key.sk, "kind": "receipt"}


def _notice(gateway: str, notice: Notice, received_ms: int) -> Item:
    key = keys.about(gateway, keys.NOTICE)
    counters = json.dumps({c: dict(n) for c, n in notice.counters.items()}, separators=(",", ":"), sort_keys=True)
    return {
        "pk": key.pk,
        "sk": key.sk,
        "kind": "notice",
        "time_ms": notice.time_ms,
        "received_ms": received_ms,
        "counters": counters,
    }
