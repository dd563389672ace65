"""Changes of a table that alerting processes: cells of the changed rows, and a mark for each.

Bigtable writes a row atomically, so a change is a cell of its item's row, written by the mutation that changes the
item. It stays there until it was processed, also when the item changes again. Before that mutation a row of its own is
written, the mark, by which the change is found. A function that stops between the two leaves a mark without a change,
which is removed when it is older than any function runs.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from google.cloud.bigtable.data import (
    DeleteAllFromRow,
    DeleteRangeFromColumn,
    ReadRowsQuery,
    RowMutationEntry,
    RowRange,
    SetCell,
    row_filters,
)

from cloud_functions.adapters.change_relay import KEPT_MS, Captured, Change, from_plain, to_plain
from cloud_functions.adapters.google import bigtable_rows as rows
from cloud_functions.adapters.google.service import TIMES, store_errors
from cloud_functions.core.ports import Item, Key, NowMs

_WRITTEN = b"written_ms"
_PAGE = 100
"""Number of marks of a request that reads them."""
_AT_ONCE = 100
"""Number of items of a request that reads or removes their changes."""
_CHANGES = row_filters.FamilyNameRegexFilter(rows.CHANGES)


class PendingChange(NamedTuple):
    """A change to be written: its mark, the mutations that write it, and the cell for the item's row."""

    mark: bytes
    mutations: list[Any]
    cell: Any


class _Address(NamedTuple):
    key: Key
    change: bytes


class ChangeLog:
    """The changes of a table; ``wake`` gets the partition key of each change that was written."""

    def __init__(self, table: Any, captured: Captured, now_ms: NowMs, wake: Callable[[str], None]) -> None:
        self._table, self._captured, self._now_ms, self._wake = table, captured, now_ms, wake

    def capture(self, old: Item | None, new: Item) -> PendingChange | None:
        """Return the change to be written with an item, None for one that alerting does not process."""
        if not self._captured(old, new):
            return None
        key = Key(str(new["pk"]), str(new["sk"]))
        # Each attempt to write has a name of its own, so that it never shares a mark with another one.
        name = f"{int(new.get('version', 0)):013d}.{uuid.uuid4().hex}".encode()
        content = json.dumps(
            {"old": None if old is None else to_plain(old), "new": to_plain(new)}, separators=(",", ":")
        )
        return PendingChange(
            rows.mark_of(key, name),
            [SetCell(rows.PERMANENT, _WRITTEN, b"%d" % self._now_ms(), rows.PERMANENT_MICROS)],
            SetCell(rows.CHANGES, name, content.encode(), rows.PERMANENT_MICROS),
        )

    def wake(self, pk: str) -> None:
        """Let the changes of a partition be processed now."""
        self._wake(pk)

    def of(self, pk: str) -> Iterator[Change]:
        """Yield the changes of a partition, those of each item in their order; raises StoreError."""
        start, last = rows.marks_of(pk)
        while page := self._marks(start, last):
            marked: dict[Key, list[Any]] = {}
            for row in page:
                marked.setdefault(rows.marked(bytes(row.row_key)).key, []).append(row)
            found = iter(marked)
            while part := list(itertools.islice(found, _AT_ONCE)):
                changes = self._changes(part)
                self._forget(row for key in part for row in marked[key] if not _has(changes[key], row))
                yield from itertools.chain.from_iterable(changes.values())
            start = bytes(page[-1].row_key) + b"\0"

    def remove(self, changes: Iterable[Change]) -> None:
        """Remove changes that were processed; a missing one is not an error. Raises StoreError."""
        found = iter(changes)
        while part := [change.address for change in itertools.islice(found, _AT_ONCE)]:
            cells: dict[bytes, list[Any]] = {}
            for key, name in part:
                cells.setdefault(rows.row_of(key), []).append(DeleteRangeFromColumn(rows.CHANGES, name))
            # The marks last: a change without a mark would never be removed.
            self._mutate(RowMutationEntry(row, mutations) for row, mutations in cells.items())
            self._mutate(RowMutationEntry(rows.mark_of(*address), [DeleteAllFromRow()]) for address in part)

    def partitions(self) -> Iterator[str]:
        """Yield the partitions that may have changes; raises StoreError."""
        start, last = rows.ALL_MARKS
        while page := self._marks(start, last):
            pk = ""
            for pk in dict.fromkeys(rows.marked(bytes(row.row_key)).key.pk for row in page):
                yield pk
            start = rows.marks_of(pk)[1]

    def _changes(self, keys: Iterable[Key]) -> dict[Key, list[Change]]:
        found: dict[Key, list[Change]] = {key: [] for key in keys}
        query = ReadRowsQuery(row_keys=sorted(map(rows.row_of, found)), row_filter=_CHANGES)
        with store_errors("read changes"):
            there = {bytes(row.row_key): row for row in self._table.read_rows(query, **TIMES)}
        for key, changes in found.items():
            row = there.get(rows.row_of(key))
            for cell in sorted(row.cells if row else (), key=lambda cell: bytes(cell.qualifier)):
                content = json.loads(bytes(cell.value))
                old = None if content["old"] is None else from_plain(content["old"])
                changes.append(Change(_Address(key, bytes(cell.qualifier)), old, from_plain(content["new"])))
        return found

    def _forget(self, marks: Iterable[Any]) -> None:
        """Remove marks whose change is not written any more: none is younger than the longest run of a function."""
        oldest = self._now_ms() - KEPT_MS
        self._mutate(
            RowMutationEntry(bytes(row.row_key), [DeleteAllFromRow()])
            for row in marks
            if int(row.cells[0].value) < oldest
        )

    def _marks(self, first: bytes, last: bytes) -> list[Any]:
        ranges = RowRange(first, last, start_is_inclusive=True, end_is_inclusive=False)
        with store_errors("read the marks of changes"):
            return list(self._table.read_rows(ReadRowsQuery(row_ranges=ranges, limit=_PAGE), **TIMES))

    def _mutate(self, entries: Iterable[Any]) -> None:
        if listed := list(entries):
            with store_errors("remove changes"):
                self._table.bulk_mutate_rows(listed, **TIMES)


def _has(changes: Iterable[Change], mark: Any) -> bool:
    name = rows.marked(bytes(mark.row_key)).change
    return any(change.address.change == name for change in changes)
