"""Erasure of a gateway or of one of its series: from both tables and from the archive.

Stored batches, roll-ups and archive files that also hold other series are rewritten without the erased one. A rewritten
batch keeps its name and its digest, so a repetition of the original is still recognised as a duplicate.

The tables come first, then the archive: a compaction that begins later reads batches without the erased rows. One that
is under way holds the lease of its task; its file is reported as busy and must be erased after the lease ends. Every
step may be repeated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cloud_functions.core import keys, rollup
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.compaction import LEASE_MS
from cloud_functions.core.compaction_plan import DAY_MS, Kind, Task
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import ArchiveFile, ErasableArchive, ErasableTable, Item, Key, NowMs
from wire import codec
from wire.codec import Profiles
from wire.errors import WireError
from wire.model import Aggregates, Anomalies, Batch, Readings, Rows

MAX_ITEM_BYTES = 390_000
"""Largest batch that is written: without its profile a batch may be larger than the one that was received."""


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway to erase, or the series of it."""

    gateway: str
    series: str | None = None


class Eraser:
    """Erases a target; ``counts`` has what was found. With ``dry`` nothing is changed."""

    def __init__(
        self,
        target: Target,
        telemetry: ErasableTable,
        alerts: ErasableTable,
        archive: ErasableArchive,
        profiles: Profiles,
        now_ms: NowMs,
        *,
        dry: bool = False,
    ) -> None:
        self._target, self._telemetry, self._alerts, self._archive = target, telemetry, alerts, archive
        self._profiles, self._now_ms, self._dry = profiles, now_ms, dry
        self.counts: Counter[str] = Counter()

    def erase_tables(self) -> None:
        """Erase the target from the telemetry and the alerts table; raises StoreError."""
        if self._target.series is None:
            self._erase_gateway()
        else:
            self._erase_series(self._target.series)

    def erase_archive(self) -> list[ArchiveFile]:
        """Rewrite the files of the archive with rows of the target; return those that a compaction is writing."""
        busy = []
        for file in list(self._archive.list_files()):
            if not self._archive.contains(file, self._target.gateway, self._target.series):
                continue
            if self._dry or self._rewrite(file):
                self.counts["files"] += 1
            else:
                busy.append(file)
        return busy

    def _erase_gateway(self) -> None:
        gateway = self._target.gateway
        partitions = {
            "batches": keys.batch(gateway, 0, 1).pk,
            "hours": keys.rollup(gateway, 0).pk,
            "reports": keys.anomaly(gateway, "", 0, 0, 1, 0).pk,
            "profiles": keys.profile(gateway, 0).pk,
            "about": keys.about(gateway).pk,
            "unreadable": f"unreadable#{gateway}",
        }
        for name, pk in partitions.items():
            self._remove(self._telemetry, name, [_key(item) for item in self._telemetry.query(pk)])
        entries = self._telemetry.query(keys.reopened(keys.bucket(gateway)))
        reopened = [_key(item) for item in entries if str(item["sk"]).split("#", 1)[1] == gateway]
        self._remove(self._telemetry, "about", reopened)
        if self._telemetry.get(keys.gateway(gateway)) is not None:
            self._remove(self._telemetry, "about", [keys.gateway(gateway)])
        for pk in (keys.alert(gateway, "", 0).pk, keys.openings(gateway, "", "").pk):
            self._remove(self._alerts, "alerts", [_key(item) for item in self._alerts.query(pk)])
        if self._alerts.get(keys.watched(gateway)) is not None:
            self._remove(self._alerts, "alerts", [keys.watched(gateway)])

    def _erase_series(self, series: str) -> None:
        gateway = self._target.gateway
        for item in self._telemetry.query(keys.batch(gateway, 0, 1).pk):
            self._rewrite_batch(item, series)
        for item in self._telemetry.query(keys.rollup(gateway, 0).pk):
            self._rewrite_hour(item, series)
        reports = self._telemetry.query(keys.anomaly(gateway, "", 0, 0, 1, 0).pk)
        self._remove(self._telemetry, "reports", [_key(item) for item in reports if _names(item, series)])
        about = [keys.series(gateway, series), keys.about(gateway, f"limits#{series}")]
        self._remove(self._telemetry, "about", [key for key in about if self._telemetry.get(key) is not None])
        alerts = self._alerts.query(keys.alert(gateway, "", 0).pk)
        self._remove(self._alerts, "alerts", [_key(item) for item in alerts if _names(item, series)])
        openings = self._alerts.query(keys.openings(gateway, "", "").pk, f"{series}#", f"{series}#\x7f")
        self._remove(self._alerts, "alerts", [_key(item) for item in openings])
        # The progress of watching names all series of the gateway; it is learned again.
        if self._alerts.get(keys.watched(gateway)) is not None:
            self._remove(self._alerts, "alerts", [keys.watched(gateway)])

    def _rewrite_batch(self, item: Item, series: str) -> None:
        stored = StoredBatch.of(item)
        if not stored.data:
            return
        try:
            rows = codec.decode(stored.data, self._profiles).rows
        except WireError:
            self.counts["unreadable"] += 1
            return
        left = without(rows, series)
        if left is rows:
            return
        self.counts["batches"] += 1
        if self._dry:
            return
        data = codec.encode(Batch(stored.gateway, stored.epoch, stored.sequence, left), MAX_ITEM_BYTES)
        fresh: Item = item | {"data": data, "bytes": len(data), "rows": len(left)}
        if not len(left):
            fresh = {name: value for name, value in fresh.items() if name not in ("at", "last_ms")}
        self._telemetry.put_many([fresh])

    def _rewrite_hour(self, item: Item, series: str) -> None:
        hour_ms, rows = rollup.from_item(item)
        left = without(rows, series)
        if left is rows:
            return
        self.counts["hours"] += 1
        if self._dry:
            return
        if isinstance(left, Aggregates) and len(left):
            fresh = rollup.to_item(self._target.gateway, hour_ms, left, int(item["rows"]), int(item["expires_at"]))
            self._telemetry.put_many([fresh])
        else:
            self._telemetry.remove([_key(item)])

    def _remove(self, table: ErasableTable, name: str, found: list[Key]) -> None:
        self.counts[name] += len(found)
        if found and not self._dry:
            table.remove(found)

    def _rewrite(self, file: ArchiveFile) -> bool:
        """Rewrite a file under the lease of its task; return False if a compaction has the lease or may write it."""
        task = _task_of(file)
        state = self._telemetry.get(task.key) or {"version": 0, "lease_ms": 0, "done": 0}
        if int(state["lease_ms"]) > self._now_ms():
            return False
        version = int(state["version"])
        lease: Item = {
            "pk": task.key.pk,
            "sk": task.key.sk,
            "kind": "compaction",
            "done": int(state.get("done", 0)),
            "lease_ms": self._now_ms() + LEASE_MS,
            "owner": "erasure",
        }
        if not self._telemetry.replace(lease, version):
            return False
        try:
            # Both sides take their lease before they look for the other's, as in the compaction.
            if self._is_written(task):
                return False
            self._archive.replace(file, self._rows(file))
        finally:
            self._telemetry.replace(lease | {"lease_ms": 0}, version + 1)
        return True

    def _is_written(self, task: Task) -> bool:
        day_ms = task.start_ms // DAY_MS * DAY_MS
        if task.kind is Kind.HOUR:
            others = [Task(Kind.DAY, day_ms, task.shard)]
        else:
            others = [Task(Kind.HOUR, day_ms + hour * HOUR_MS, task.shard) for hour in range(24)]
        states = [self._telemetry.get(other.key) or {} for other in others]
        return any(int(state.get("lease_ms", 0)) > self._now_ms() for state in states)

    def _rows(self, file: ArchiveFile) -> Iterator[tuple[str, Aggregates]]:
        for gateway, rows in self._archive.rows(file):
            if gateway != self._target.gateway:
                yield gateway, rows
                continue
            if self._target.series is None:
                continue
            left = without(rows, self._target.series)
            if isinstance(left, Aggregates) and len(left):
                yield gateway, left


def without(rows: Rows, series: str) -> Rows:
    """Return rows without those of a series; the same object if it has no rows of it."""
    if isinstance(rows, Anomalies):
        left = tuple(report for report in rows.reports if series not in (report.series, report.channel))
        return rows if len(left) == len(rows.reports) else Anomalies(left)
    if not isinstance(rows, Readings | Aggregates):
        return rows
    erased = [at for at, one in enumerate(rows.series) if one.name == series]
    if not erased:
        return rows
    stay = np.flatnonzero(~np.isin(rows.series_index, erased))
    if isinstance(rows, Aggregates):
        kept = rows.take(stay).compact()
        return kept if len(kept) else Aggregates.concatenate([])
    used, index = np.unique(rows.series_index[stay], return_inverse=True)
    return replace(
        rows,
        series=tuple(rows.series[at] for at in used.tolist()),
        series_index=index.astype(np.int64),
        time_ms=rows.time_ms[stay],
        value=rows.value[stay],
        quality=rows.quality[stay],
    )


def _task_of(file: ArchiveFile) -> Task:
    if file.hour is None:
        return Task(Kind.DAY, file.day_ms, file.shard)
    return Task(Kind.HOUR, file.day_ms + file.hour * HOUR_MS, file.shard)


def _names(item: Item, series: str) -> bool:
    """Return True for a report or an alert of the series, also of a group whose channel it is."""
    report = json.loads(str(item["report"]))
    return series in (report.get("series"), report.get("channel"))


def _key(item: Item) -> Key:
    return Key(str(item["pk"]), str(item["sk"]))
