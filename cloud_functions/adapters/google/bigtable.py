"""Implementation of :class:`cloud_functions.core.ports.Table` with Bigtable.

Bigtable writes one row atomically and has no index. The row of an index is written before the item that it lists, and
the row that no longer applies is removed after; a reader of an index checks each item, so that a row left by an
interrupted writer has no effect. A change that alerting processes is written with its item (see bigtable_changes).
"""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.cloud.bigtable.data import (
    DeleteAllFromFamily,
    DeleteAllFromRow,
    ReadRowsQuery,
    RowMutationEntry,
    RowRange,
    SetCell,
    row_filters,
)

from cloud_functions.adapters.google import bigtable_rows as rows
from cloud_functions.adapters.google.bigtable_changes import ChangeLog, PendingChange
from cloud_functions.adapters.google.service import OPERATION_S, TIMES, store_errors
from cloud_functions.core.errors import ConflictError, StoreError
from cloud_functions.core.ports import Item, Key, Value

_PAGE = 100
_BATCH = 200
"""Number of rows of a request that writes or reads several."""
_ATTEMPTS = 20
_ITEM = row_filters.FamilyNameRegexFilter(rows.ITEM_FAMILIES)


class _Stored(NamedTuple):
    item: Item
    revision: bytes


class Bigtable:
    """A table; ``table`` is a ``google.cloud.bigtable.data.Table``.

    ``changes`` is its log of changes, if it has one, and ``sleep`` waits between conflicting additions.
    """

    def __init__(
        self, table: Any, changes: ChangeLog | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table, self._changes, self._sleep = table, changes, sleep

    def get(self, key: Key) -> Item | None:
        """Return the item; reads within one cluster are consistent."""
        stored = self._stored(key)
        return None if stored is None else stored.item

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return the items of those keys that exist."""
        return {key: stored.item for key, stored in self._stored_many(keys).items()}

    def put_many(self, items: Iterable[Item]) -> None:
        """Write items unconditionally; return when all are written."""
        # Of one key the last item counts: a request writes its rows in any order.
        written = {rows.row_of(_key(item)): item for item in items}
        pending = {row: self._capture(None, item) for row, item in written.items()}
        self._write_rows(
            one for row, item in written.items() for one in _beside(rows.index_rows(item), item, pending[row])
        )
        self._write_rows((row, _cells(item, pending[row])) for row, item in written.items())
        self._wake({str(item["pk"]) for row, item in written.items() if pending[row] is not None})

    def put_new(self, item: Item) -> Item | None:
        """Write the item if its key is free and return None, else return the existing item."""
        if self._change(None, item):
            return None
        there = self.get(_key(item))
        if there is None:
            raise StoreError(f"put {item['pk']!s} {item['sk']!s}: taken a moment ago and free again")
        return there

    def replace(self, item: Item, version: int) -> bool:
        """Write the item with ``version`` + 1 if the existing one has ``version`` (0: absent); True if written."""
        fresh = item | {"version": version + 1}
        if version == 0:
            return self._change(None, fresh)
        there = self._stored(_key(item))
        if there is None or there.item.get("version") != version:
            return False
        return self._change(there, fresh)

    def delete(self, key: Key, version: int) -> bool:
        """Delete the item if it has ``version``; return True if it was deleted."""
        there = self._stored(key)
        if there is None or there.item.get("version") != version:
            return False
        left = self._revisions(rows.index_rows(there.item))
        with store_errors(f"delete {key.pk} {key.sk}"):
            deleted = self._write_if(rows.row_of(key), there.revision, [DeleteAllFromRow()])
        if deleted:
            self._remove_from_indexes(left)
        return deleted

    def remove(self, found: Iterable[Key]) -> None:
        """Remove items; a missing one is not an error. Returns when all are removed."""
        there = self._stored_many(list(found))
        self._write_rows((rows.row_of(key), [DeleteAllFromRow()]) for key in there)
        listed = (row for stored in there.values() for row in rows.index_rows(stored.item))
        self._write_rows((row, [DeleteAllFromRow()]) for row in listed)

    def add(
        self, key: Key, amounts: Mapping[str, int], values: Mapping[str, Value], first: Mapping[str, Value]
    ) -> None:
        """Add to numbers, set ``values``, and set ``first`` where absent; repeated when another writer interferes."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(random.uniform(0.5, 1.0) * min(1.0, 0.01 * 2.0**attempt))  # noqa: S311 - jitter, no secret
            there = self._stored(key)
            item: Item = {"pk": key.pk, "sk": key.sk} if there is None else dict(there.item)
            item |= {name: value for name, value in first.items() if name not in item}
            item |= {name: int(item.get(name, 0)) + amount for name, amount in amounts.items()} | dict(values)
            if self._change(there, item):
                return
        raise ConflictError(f"{key.pk} {key.sk}: changed by others {_ATTEMPTS} times in a row")

    def query(self, pk: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False) -> Iterator[Item]:
        """Yield the items whose sort key lies in [first, last], in its order.

        The client library reads in one direction only: with ``newest_first`` the range is read before the first item.
        """
        found = (_stored(row).item for row in self._range(*rows.range_of(pk, first, last)))
        yield from reversed(list(found)) if newest_first else found

    def query_index(
        self, index: str, value: str, first: str = "", last: str = "\x7f", *, newest_first: bool = False
    ) -> Iterator[Item]:
        """Yield the items under ``value`` of an index whose sort key there lies in [first, last], in order."""
        found = (bytes(row.row_key) for row in self._range(*rows.index_range(index, value, first, last)))
        listed = reversed(list(found)) if newest_first else found
        while page := list(itertools.islice(listed, _PAGE)):
            items = self.get_many([rows.indexed_key(row) for row in page])
            for row in page:
                item = items.get(rows.indexed_key(row))
                if item is not None and row in rows.index_rows(item):
                    yield item

    def _change(self, there: _Stored | None, item: Item) -> bool:
        """Write an item in place of ``there`` (None: no item); False if another writer was faster."""
        before = frozenset[bytes]() if there is None else rows.index_rows(there.item)
        after = rows.index_rows(item)
        left, change = self._revisions(before - after), self._capture(there and there.item, item)
        # A row that stays is written again: another writer may be about to remove it.
        self._write_rows(_beside(after, item, change))
        with store_errors(f"put {item['pk']!s} {item['sk']!s}"):
            written = self._write_if(rows.row_of(_key(item)), there and there.revision, _cells(item, change))
        if not written:
            self._write_rows([] if change is None else [(change.mark, [DeleteAllFromRow()])])
            return False
        self._remove_from_indexes(left)
        self._wake(set() if change is None else {str(item["pk"])})
        return True

    def _capture(self, before: Item | None, item: Item) -> PendingChange | None:
        return None if self._changes is None else self._changes.capture(before, item)

    def _wake(self, changed: Iterable[str]) -> None:
        for pk in changed:
            if self._changes is not None:
                self._changes.wake(pk)

    def _write_if(self, row: bytes, revision: bytes | None, mutations: list[Any]) -> bool:
        """Change a row if it has this revision, or if it has no item for None; return whether it was changed."""
        if revision is None:
            return not self._table.check_and_mutate_row(
                row, _ITEM, false_case_mutations=mutations, operation_timeout=OPERATION_S
            )
        condition = row_filters.RowFilterChain(
            filters=[
                row_filters.ColumnQualifierRegexFilter(rows.REVISION),
                row_filters.ValueRegexFilter(revision),
            ]
        )
        return bool(
            self._table.check_and_mutate_row(
                row, condition, true_case_mutations=mutations, operation_timeout=OPERATION_S
            )
        )

    def _revisions(self, found: frozenset[bytes]) -> dict[bytes, bytes]:
        """Return the revisions of those rows of indexes that exist."""
        if not found:
            return {}
        with store_errors("read an index"):
            there = self._table.read_rows(ReadRowsQuery(row_keys=sorted(found)), **TIMES)
        return {bytes(row.row_key): _stored(row).revision for row in there}

    def _remove_from_indexes(self, revisions: Mapping[bytes, bytes]) -> None:
        """Remove rows of indexes, unless another writer has listed its item again."""
        for row, revision in revisions.items():
            with store_errors("update an index"):
                self._write_if(row, revision, [DeleteAllFromRow()])

    def _write_rows(self, written: Iterable[tuple[bytes, list[Any]]]) -> None:
        found = iter(written)
        while batch := list(itertools.islice(found, _BATCH)):
            entries = [RowMutationEntry(row, mutations) for row, mutations in batch]
            with store_errors("write rows"):
                self._table.bulk_mutate_rows(entries, **TIMES)

    def _stored(self, key: Key) -> _Stored | None:
        with store_errors(f"get {key.pk} {key.sk}"):
            row = self._table.read_row(rows.row_of(key), row_filter=_ITEM, **TIMES)
        return None if row is None else _stored(row)

    def _stored_many(self, keys: Sequence[Key]) -> dict[Key, _Stored]:
        found: dict[Key, _Stored] = {}
        for at in range(0, len(keys), _BATCH):
            names = sorted({rows.row_of(key) for key in keys[at : at + _BATCH]})
            with store_errors("get items"):
                there = self._table.read_rows(ReadRowsQuery(row_keys=names, row_filter=_ITEM), **TIMES)
            found |= {_key(stored.item): stored for stored in map(_stored, there)}
        return found

    def _range(self, first: bytes, last: bytes) -> Iterator[Any]:
        if first > last:
            return
        ranges = RowRange(first, last, start_is_inclusive=True, end_is_inclusive=True)
        query = ReadRowsQuery(row_ranges=ranges, row_filter=_ITEM)
        with store_errors("query"):
            yield from self._table.read_rows_stream(query, **TIMES)


def _key(item: Item) -> Key:
    return Key(str(item["pk"]), str(item["sk"]))


def _cells(item: Item, change: PendingChange | None) -> list[Any]:
    """Return the mutations that replace an item by another one with a new revision, and add its change.

    Earlier changes stay in the row.
    """
    family, micros = rows.place_of(item)
    columns = {name.encode(): rows.to_cell(value) for name, value in item.items()}
    columns[rows.REVISION] = uuid.uuid4().hex.encode()
    mutations: list[Any] = [DeleteAllFromFamily(rows.PERMANENT), DeleteAllFromFamily(rows.EXPIRING)]
    mutations += (SetCell(family, name, value, micros) for name, value in columns.items())
    return mutations if change is None else [*mutations, change.cell]


def _beside(index_rows: Iterable[bytes], item: Item, change: PendingChange | None) -> list[tuple[bytes, list[Any]]]:
    """Return the rows that are written before an item: those of the indexes, and the mark of its change."""
    written = [(row, _index_cells(item)) for row in index_rows]
    return written if change is None else [*written, (change.mark, change.mutations)]


def _index_cells(item: Item) -> list[Any]:
    """Return the mutations that write the row of an item in an index."""
    family, micros = rows.place_of(item)
    return [DeleteAllFromRow(), SetCell(family, rows.REVISION, uuid.uuid4().hex.encode(), micros)]


def _stored(row: Any) -> _Stored:
    """Return the item of a row, and its revision."""
    columns = {bytes(cell.qualifier): bytes(cell.value) for cell in row.cells}
    revision = columns.pop(rows.REVISION, b"")
    return _Stored({name.decode(): rows.from_cell(value) for name, value in columns.items()}, revision)
