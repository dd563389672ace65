"""Exactly-once storage of unmodified batches, despite repetitions and crashes.

One conditional write stores a batch: the item holds its bytes and is its receipt. Before it, what other parts of the
system need from a batch without decoding it is written under keys derived from the batch, so that repetitions change
nothing: reports of anomalies for alerting, the notice of a gateway, new series in the catalogue, and, for a batch that
arrives after its hour was compacted, the entry that reopens the hour.

NumPy is imported only where rows are decoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cloud_functions.core import batches, keys
from cloud_functions.core.arrival import Arrival, unreadable
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.catalogue import Catalogue
from cloud_functions.core.errors import Reason, RejectError
from cloud_functions.core.hours import reopening
from cloud_functions.core.ports import Item, Key, NowMs, Table
from cloud_functions.core.profiles import Profiles
from wire import summary
from wire.anomaly import Anomalies, Notice
from wire.container import Kind
from wire.errors import UnknownProfileError, WireError
from wire.summary import Name, Summary

NOTICE_ATTEMPTS = 12


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch that is stored: by this call if ``new``; ``totals`` are its amounts for the totals of its epoch.

    ``event_ms`` is the event time of its newest row or report, the end of a window; None without rows.
    """

    new: bool
    totals: Mapping[str, int]
    stored_ms: int
    event_ms: int | None = None


class Storer:
    """Storage of batches in the telemetry table; batches expire after ``raw_ms``, reports after ``report_ms``.

    With ``check_rows`` the rows of each batch are decoded before it is stored, which takes about ten times the CPU
    time; otherwise container and head are checked, and a batch with damaged rows is found by the compaction.
    """

    def __init__(
        self,
        table: Table,
        now_ms: NowMs,
        raw_ms: int,
        report_ms: int | None = None,
        *,
        profiles: Profiles | None = None,
        catalogue: Catalogue | None = None,
        check_rows: bool = False,
    ) -> None:
        self._table, self._now_ms, self._raw_ms = table, now_ms, raw_ms
        self._report_ms = raw_ms if report_ms is None else report_ms
        self.profiles = profiles if profiles is not None else Profiles(table, now_ms, raw_ms)
        self._catalogue = catalogue if catalogue is not None else Catalogue(table)
        self._check_rows = check_rows

    def store(self, arrival: Arrival) -> Stored:
        """Store the batch unless it is stored; of a profile, store its content first.

        Raises RejectError (codec; time for rows that cannot be stored; different when another batch is stored under
        its name), UnknownProfileError for a batch that needs an unknown profile, and StoreError when it is uncertain
        whether it was stored.
        """
        kind = arrival.name.kind
        if kind is Kind.PROFILE:
            return self._store_profile(arrival)
        if kind in (Kind.ANOMALIES, Kind.NOTICE):
            return self._store_reports(arrival)
        return self._store_rows(arrival)

    def find(self, arrival: Arrival) -> StoredBatch | None:
        """Return the batch stored under the name, or None; a profile does not count as one."""
        item = self._table.get(_key(arrival))
        return None if item is None or item["holds"] == Kind.PROFILE.name.lower() else StoredBatch.of(item)

    def summarize(self, name: Name) -> Summary:
        """Return the summary of a batch of rows; raises WireError, and StoreError if its profile cannot be read."""
        return summary.summarize(name, self.profiles.find, self.profiles.series_of)

    def _store_rows(self, arrival: Arrival) -> Stored:
        name = arrival.name
        try:
            head = self.summarize(name)
            if self._check_rows:
                from cloud_functions.core.batch_rows import check_rows

                check_rows(name, self.profiles.find)
        except UnknownProfileError:
            raise
        except WireError as error:
            raise unreadable(error) from error
        _check_times(head)
        with self._catalogue.adding(name.gateway, head.series or ()) as items:
            self._table.put_many(items)
        if not head.rows:
            return self._put(arrival, 0, {})
        times: dict[str, str | int] = {"at": keys.at(head.first_ms, head.last_ms), "last_ms": head.last_ms}
        stored = self._put(arrival, head.rows, times)
        # After the batch, so that an entry is never removed by a compaction that did not see its batch.
        late = reopening(name.gateway, head.first_ms, head.last_ms, stored.stored_ms, arrival.digest)
        self._table.put_many(late)
        return replace(stored, event_ms=head.last_ms + head.width_ms)

    def _store_reports(self, arrival: Arrival) -> Stored:
        try:
            rows = summary.read_reports(arrival.name)
        except WireError as error:
            raise unreadable(error) from error
        received_ms = arrival.envelope.received_ms
        with self._catalogue.adding(arrival.name.gateway, ()) as items:
            reports = _reports(arrival, rows, received_ms, self._expires_at(self._report_ms))
            self._table.put_many([*items, *reports])
        if isinstance(rows, Notice):
            self._put_newest(_notice(arrival.name.gateway, rows, received_ms))
            return self._put(arrival, len(rows), {})
        event_ms = max((report.time_ms for report in rows.reports), default=None)
        return replace(self._put(arrival, len(rows), {}), event_ms=event_ms)

    def _store_profile(self, arrival: Arrival) -> Stored:
        known = self.profiles.store(arrival)
        with self._catalogue.adding(arrival.name.gateway, known.series) as items:
            self._table.put_many(items)
        item = self._item(arrival, 0, {})
        there = self._table.put_new(item)
        return Stored(there is None, {"profiles": 1, "bytes": len(arrival.envelope.data)}, int(item["stored_ms"]))

    def _put(self, arrival: Arrival, rows: int, more: Mapping[str, str | int]) -> Stored:
        item = self._item(arrival, rows, {**more, "data": arrival.envelope.data})
        there = self._table.put_new(item)
        if there is None:
            totals = {"batches": 1, "rows": rows, "bytes": len(arrival.envelope.data)}
            return Stored(True, totals, int(item["stored_ms"]))
        stored = StoredBatch.of(there)
        if stored.digest != arrival.digest and not self._has_same_rows(stored, arrival):
            name = keys.batch_name(arrival.name.epoch, arrival.name.sequence)
            raise RejectError(Reason.DIFFERENT, f"batch {name} of {stored.gateway} is stored with other content")
        return Stored(False, stored.totals, int(there["stored_ms"]))

    def _item(self, arrival: Arrival, rows: int, more: Mapping[str, str | int | bytes]) -> Item:
        key, envelope = _key(arrival), arrival.envelope
        return {
            "pk": key.pk,
            "sk": key.sk,
            "kind": batches.KIND,
            "lane": envelope.lane,
            "bytes": len(envelope.data),
            "rows": rows,
            "holds": arrival.name.kind.name.lower(),
            "digest": arrival.digest,
            "received_ms": envelope.received_ms,
            "stored_ms": self._now_ms(),
            "expires_at": self._expires_at(self._raw_ms),
            **more,
        }

    def _has_same_rows(self, stored: StoredBatch, arrival: Arrival) -> bool:
        """Return True if two batches of one name have the same rows: with and without a profile their bytes differ."""
        from cloud_functions.core.batch_rows import have_same_rows

        return have_same_rows(stored.data, arrival.envelope.data, self.profiles.find)

    def _put_newest(self, item: Item) -> None:
        """Write a notice unless the one there was received later."""
        key = keys.about(str(item["pk"]).split("#", 1)[1], keys.NOTICE)
        for _ in range(NOTICE_ATTEMPTS):
            there = self._table.get(key) or {}
            # By the cloud's clock: a gateway's clock may have been a year ahead when it sent the previous one.
            if int(there.get("received_ms", -1)) >= int(item["received_ms"]):
                return
            if self._table.replace(item, int(there.get("version", 0))):
                return

    def _expires_at(self, after_ms: int) -> int:
        return (self._now_ms() + after_ms) // 1000


def _key(arrival: Arrival) -> Key:
    return keys.batch(arrival.name.gateway, arrival.name.epoch, arrival.name.sequence)


def _check_times(head: Summary) -> None:
    first, last, width = head.first_ms, head.last_ms, head.width_ms
    if head.rows and not (first >= 0 and last <= keys.MAX_TIME_MS and 0 <= width <= keys.MAX_TIME_MS):
        raise RejectError(
            Reason.TIME,
            f"windows from {first} to {last} ms, {width} ms wide: a time is not in 0 to {keys.MAX_TIME_MS} ms",
        )


def _reports(arrival: Arrival, rows: Anomalies | Notice, received_ms: int, expires_at: int) -> Iterator[Item]:
    if isinstance(rows, Notice):
        return
    name = arrival.name
    for at, report in enumerate(rows.reports):
        if not 0 <= report.onset_ms <= keys.MAX_TIME_MS or not 0 <= report.time_ms <= keys.MAX_TIME_MS:
            raise RejectError(
                Reason.TIME,
                f"anomaly of {report.series}: onset {report.onset_ms} and time {report.time_ms} must lie in 0 to "
                f"{keys.MAX_TIME_MS} ms",
            )
        key = keys.anomaly(name.gateway, report.series, report.onset_ms, name.epoch, name.sequence, at)
        yield {
            "pk": key.pk,
            "sk": key.sk,
            "kind": "anomaly",
            "gateway": name.gateway,
            "report": json.dumps(report.to_dict(), separators=(",", ":"), sort_keys=True),
            "received_ms": received_ms,
            "expires_at": expires_at,
        }


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
        "versions": json.dumps(dict(notice.versions), separators=(",", ":"), sort_keys=True),
    }
