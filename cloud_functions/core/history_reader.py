"""Rows of a series in a time range, read from stored batches, roll-ups and the archive."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from cloud_functions.core import keys, rollup
from cloud_functions.core.batch_rows import UnreadableBatchError, rows_of
from cloud_functions.core.batches import StoredBatch, overlapping
from cloud_functions.core.columns import merge
from cloud_functions.core.compaction_plan import DAY_MS
from cloud_functions.core.hours import hour_of
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.ports import ArchiveReader, Table
from wire.codec import Profiles
from wire.model import Aggregates

MAX_BATCHES = 400
"""Maximum number of batches that one request decodes; a batch of 600 rows takes about 20 ms."""
MAX_ARCHIVE_DAYS = 8
"""Maximum number of days that one request reads from the archive, each about a second."""
MAX_HOURS = 1_500
"""Maximum number of hours that one request examines."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of one series (of several units), merged and in the order of time, of windows before ``until_ms``."""

    rows: Aggregates
    until_ms: int
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Archived:
    """The archive, with the times before which batches may have expired, and before which roll-ups may have."""

    reader: ArchiveReader
    batches_before_ms: int
    rollups_before_ms: int


class HistoryReader:
    """Reader of the rows of a series; ``profiles`` finds the profiles to which stored batches refer.

    Without ``archived`` the rows of expired batches and roll-ups are missing.
    """

    def __init__(self, table: Table, profiles: Profiles, archived: Archived | None = None) -> None:
        self._table, self._profiles, self._archived = table, profiles, archived

    def raw(self, gateway: str, series: str, from_ms: int, to_ms: int, limit: int) -> Found:
        """Return unmodified rows of archive and stored batches: ``limit``, or those of up to an hour more."""
        parts: list[Aggregates] = []
        rows = batches = unreadable = hours = days = 0
        at = from_ms
        while at < to_ms and rows < limit and batches < MAX_BATCHES and hours < MAX_HOURS and days < MAX_ARCHIVE_DAYS:
            end = min(to_ms, hour_of(at) + HOUR_MS)
            old = None
            if self._archived is not None and hour_of(at) < self._archived.batches_before_ms:
                last = hour_of(self._archived.batches_before_ms - 1) + HOUR_MS
                end = min(to_ms, at // DAY_MS * DAY_MS + DAY_MS, last)
                old, end = self._archived.reader.raw(gateway, series, at, end, limit - rows)
                days += 1
            # A late batch may not be in the archive yet.
            found, decoded, failed = self._decode(gateway, series, at, end)
            if old is not None:
                found = merge([old, found])
            parts.append(found)
            rows, batches, unreadable, hours = rows + len(found), batches + decoded, unreadable + failed, hours + 1
            at = end
        return Found(_by_time(merge(parts)), at, unreadable)

    def rolled_up(self, gateway: str, series: str, from_ms: int, to_ms: int, width_ms: int) -> Found:
        """Return rows of ``width_ms`` (a multiple of 15 minutes) from roll-ups, and from batches of hours without.

        The time range is widened to whole rows.
        """
        first, end = from_ms // width_ms * width_ms, -(-to_ms // width_ms) * width_ms
        parts, missing = self._rollups(gateway, series, first, min(end, first + MAX_HOURS * max(HOUR_MS, width_ms)))
        until_ms, batches, unreadable = end, 0, 0
        for begin, finish in missing:
            if batches >= MAX_BATCHES:
                until_ms = begin // width_ms * width_ms
                break
            old, archived_ms = self._archived_rollups(gateway, series, begin, finish)
            parts += old
            if archived_ms < finish and archived_ms < self._rollups_before_ms:
                until_ms = archived_ms // width_ms * width_ms
                break
            found, decoded, failed = self._decode(gateway, series, archived_ms, finish)
            parts.append(rollup.coarsen(merge([found]), rollup.WIDTH_MS))
            batches, unreadable = batches + decoded, unreadable + failed
        rows = rollup.coarsen(merge(rollup.within(part, first, until_ms) for part in parts), width_ms)
        return Found(_by_time(rows), until_ms, unreadable)

    @property
    def _rollups_before_ms(self) -> int:
        return 0 if self._archived is None else self._archived.rollups_before_ms

    def _archived_rollups(self, gateway: str, series: str, from_ms: int, to_ms: int) -> tuple[list[Aggregates], int]:
        """Return rows of 15 minutes of a range whose roll-ups have expired, and the time at which they end."""
        parts: list[Aggregates] = []
        at, last = from_ms, min(to_ms, hour_of(self._rollups_before_ms))
        while self._archived is not None and at < last and len(parts) < MAX_ARCHIVE_DAYS:
            end = min(last, at // DAY_MS * DAY_MS + DAY_MS)
            parts.append(self._archived.reader.rolled_up(gateway, series, at, end))
            at = end
        return parts, at

    def mixed(self, gateway: str, series: str, from_ms: int, to_ms: int) -> Aggregates:
        """Return rows of 15 minutes where an hour is compacted; otherwise unmodified rows."""
        parts, missing = self._rollups(gateway, series, from_ms, to_ms)
        raw = merge(self._decode(gateway, series, begin, finish)[0] for begin, finish in missing)
        if any(len(part) for part in parts):
            raw = rollup.coarsen(raw, rollup.WIDTH_MS)
        return _by_time(rollup.within(merge([*parts, raw]), from_ms, to_ms))

    def _rollups(
        self, gateway: str, series: str, from_ms: int, to_ms: int
    ) -> tuple[list[Aggregates], list[tuple[int, int]]]:
        """Return the roll-ups of the range, and the ranges of successive hours without one."""
        pk, begin, end = keys.rollup(gateway, 0).pk, hour_of(from_ms), -(-to_ms // HOUR_MS) * HOUR_MS
        parts, missing, at = [], [], begin
        for item in self._table.query(pk, keys.time(begin), keys.time(end - 1)):
            hour_ms, rows = rollup.from_item(item)
            if hour_ms > at:
                missing.append((at, hour_ms))
            at = hour_ms + HOUR_MS
            parts.append(_only(rows, series))
        if at < end:
            missing.append((at, end))
        return parts, missing

    def _decode(self, gateway: str, series: str, from_ms: int, to_ms: int) -> tuple[Aggregates, int, int]:
        """Return the merged rows of the series in the range, and the numbers of decoded and unreadable batches."""
        parts, decoded, unreadable = [], 0, 0
        for batch in self._in_order(gateway, from_ms, to_ms):
            decoded += 1
            try:
                parts.append(rollup.within(_only(rows_of(batch, self._profiles), series), from_ms, to_ms))
            except UnreadableBatchError as error:
                _LOG.error("query: %s", error)
                unreadable += 1
        return merge(parts), decoded, unreadable

    def _in_order(self, gateway: str, from_ms: int, to_ms: int) -> list[StoredBatch]:
        # In the order of arrival: of rows with the same revision, the last one is kept.
        return sorted(overlapping(self._table, gateway, from_ms, to_ms), key=lambda batch: batch.received_ms)


def _only(rows: Aggregates, series: str) -> Aggregates:
    wanted = np.array([one.name == series for one in rows.series], bool)
    return rows.take(np.flatnonzero(wanted[rows.series_index])).compact() if len(rows) else rows


def _by_time(rows: Aggregates) -> Aggregates:
    return rows.take(np.argsort(rows.start_ms, kind="stable"))
