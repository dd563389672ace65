"""Bytes as columns: the directory first, then each column when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from wire import modelling, rans
from wire.adaptive import GAINS, MEMORIES, Column, Fit, State, follow
from wire.columns import EACH, GROUPED, MAX_COLUMNS, OPTIONAL, ORDERED, Id, Mode, gather, rounded
from wire.errors import FormatError, LimitError
from wire.expectation import allowed, allowed_in_model, restore
from wire.modelling import BESIDE, SHARES, aways, with_share
from wire.shapes import MOST_SKEWED, SHAPES, SKEWS
from wire.varint import Cursor, Signed, unfold

_LARGEST_GAP = 16
"""Raw bits of the gaps between exceptions, at most."""


@dataclass(slots=True)
class Entry:
    """A column as listed in the directory; ``size`` is what it takes there."""

    mode: int
    payload: bytes
    size: int


@dataclass(slots=True)
class Reader:
    """The columns of a batch; ``decoder`` has the symbols of coder 3, ``spent`` what each column took of them."""

    entries: dict[int, Entry]
    kinds: Sequence[int]
    decoder: rans.Decoder | None = None
    known: Mapping[Id, Sequence[State]] = field(default_factory=dict)
    late: int = 0
    regimes: bool = False
    order: npt.NDArray[np.int64] | None = None
    spent: dict[int, float] = field(default_factory=dict)
    states: dict[Id, list[State | None]] = field(default_factory=dict)
    aways: dict[Id, list[int]] = field(default_factory=dict)

    @classmethod
    def open(cls, cursor: Cursor, kinds: Sequence[int], own: Set[Id]) -> Reader:
        """Read the directory of columns; those that may be skipped and are not known are. ``own`` are the kind's.

        Raises FormatError for unknown or foreign ones that matter, for the same column twice, and for too many.
        """
        count = cursor.number("columns")
        if count > MAX_COLUMNS:
            raise LimitError(f"{count} columns, at most {MAX_COLUMNS}")
        entries: dict[int, Entry] = {}
        for _ in range(count):
            before = cursor.at
            tag, mode = cursor.take(2, "column")
            payload = cursor.take(cursor.number("column size"), f"column {tag}")
            column = tag & ~OPTIONAL
            if column not in Id.__members__.values():
                if tag & OPTIONAL and mode not in (Mode.MODELLED, Mode.RARE):
                    continue
                raise FormatError(f"column {column}: not known, and not one to skip")
            if column in entries or Id(column) not in own:
                raise FormatError(f"column {column}: {'twice' if column in entries else 'not one of this kind'}")
            entries[column] = Entry(mode, payload, cursor.at - before)
        reader = cls(entries, kinds)
        order = reader.take_bytes(Id.ORDER)
        if order is not None:
            reader.order = order.column(_many(order), "order").astype(np.int64)
            if (np.sort(reader.order) != np.arange(len(reader.order))).any():
                raise FormatError("order: does not name each series once")
            if order.left:
                raise FormatError(f"order: {order.left} bytes are left")
        return reader

    def has(self, column: Id) -> bool:
        """Return whether the column is there."""
        return column in self.entries

    def take_bytes(self, column: Id) -> Cursor | None:
        """Return the payload of a column with a layout of its own, None when it is left out."""
        entry = self.entries.get(column)
        if entry is None:
            return None
        if entry.mode != Mode.BYTES:
            raise FormatError(f"column {column}: mode {entry.mode}")
        return Cursor(entry.payload)

    def take(
        self,
        column: Id,
        groups: npt.NDArray[np.int64],
        offsets: Signed | None = None,
        bytes_offsets: bool = False,
    ) -> Signed:
        """Return a column's cells in the order of rows, given the group of each.

        The columns of coder 3 must be taken in the order in which they were put.
        """
        if not self.regimes or column not in GROUPED:
            return self._take(column, np.bincount(groups, minlength=len(self.kinds)), offsets, bytes_offsets)
        order = np.argsort(groups, kind="stable")
        counts = np.bincount(groups, minlength=2 * len(self.kinds))
        cells = np.empty(len(groups), np.int64)
        cells[order] = self._take(column, counts, None if offsets is None else offsets[order], bytes_offsets)
        return cells

    def _take(self, column: Id, counts: npt.NDArray[np.int64], offsets: Signed | None, bytes_offsets: bool) -> Signed:
        entry, total = self.entries.get(column), int(counts.sum())
        if entry is None or not total:
            return np.zeros(total, np.int64)
        cursor, name = Cursor(entry.payload), f"column {column.name.lower()}"
        if entry.mode == Mode.FEW:
            cells = _read_few(cursor, counts, total, name)
        elif entry.mode == Mode.RARE:
            cells = self._read_rare(cursor, column, counts, total)
        elif entry.mode in (Mode.SIGNED, Mode.UNSIGNED):
            cells = self._read_bytes(cursor, column, entry.mode, counts)
            if offsets is not None and bytes_offsets:
                cells = cells + rounded(offsets)
        elif entry.mode == Mode.MODELLED:
            cells = self._read_model(cursor, column, counts, offsets, name)
        else:
            raise FormatError(f"{name}: mode {entry.mode}")
        if cursor.left:
            raise FormatError(f"{name}: {cursor.left} bytes are left")
        return cells

    def _read_bytes(self, cursor: Cursor, id_: Id, mode: int, counts: npt.NDArray[np.int64]) -> Signed:
        name = f"column {id_.name.lower()}"
        windows = _read_windows(cursor, len(counts), name)
        column = cursor.column(int(counts.sum()), name)
        left = unfold(column) if mode == Mode.SIGNED else column.view(np.int64)
        if self.order is not None and id_ in ORDERED:
            if len(self.order) != len(counts):
                raise FormatError(f"order: {len(self.order)} of {len(counts)} groups")
            placed = np.empty_like(left)
            placed[gather(counts, self.order)] = left
            left = placed
        return restore(left, counts.tolist(), windows)

    def _read_rare(self, cursor: Cursor, column: Id, counts: npt.NDArray[np.int64], total: int) -> Signed:
        name = f"column {column.name.lower()}"
        window, found = cursor.byte(name), cursor.number(name)
        usual, size = cursor.signed(name), cursor.byte(name)
        if self.decoder is None or window > 1 or found > total or size > _LARGEST_GAP:
            raise FormatError(
                f"{name}: {found} exceptions for {total} cells, window {window}, {size} bits, or no coder 3"
            )
        before = self.decoder.spent()
        gaps, values = self.decoder.rare(found, usual, size, total)
        self.spent[column] = self.decoder.spent() - before
        places = np.cumsum(_signed(gaps, name) + 1) - 1
        if found and int(places[-1]) >= total:
            raise FormatError(f"{name}: exceptions outside its {total} cells")
        left = np.zeros(total, np.int64)
        left[places] = _signed(values, name)
        return restore(left, counts.tolist(), [window] * len(counts))

    def _read_model(
        self, cursor: Cursor, column: Id, counts: npt.NDArray[np.int64], offsets: Signed | None, name: str
    ) -> Signed:
        windows = _read_windows(cursor, len(counts), name, allowed_in_model)
        shape, gain, skew, memory = cursor.take(4, name)
        share = cursor.byte(name) - SHARES if column in BESIDE else 0
        known = (
            shape < len(SHAPES) and gain < len(GAINS) and abs(skew - SKEWS) <= MOST_SKEWED and memory < len(MEMORIES)
        )
        if self.decoder is None or not known:
            raise FormatError(f"{name}: shape {shape}, gain {gain}, skew {skew}, memory {memory}, or no coder 3")
        beside = self.aways.get(BESIDE[column]) if column in BESIDE else None
        if abs(share) > SHARES or (share and beside is None):
            raise FormatError(f"{name}: a share of {share} of a column that is not there")
        past = modelling.past(column, self.kinds, len(counts), self.known.get(column), self.late, self.states)
        own = None if offsets is None else offsets.tolist()
        if beside is not None and share:
            own = with_share(offsets, beside, share)
        before = self.decoder.spent()
        followed = follow(
            Column(counts.tolist(), own, windows, memory), past, (), self.decoder, Fit(shape, gain, skew - SKEWS)
        )
        self.spent[column] = self.decoder.spent() - before
        self.states[column] = past.states
        if column in BESIDE.values():
            self.aways[column] = aways(followed)
        return _signed(followed.cells, name)


def _signed(cells: Sequence[int], name: str) -> Signed:
    """Return what a coder has read as signed integers; it knows of no bound."""
    try:
        return np.array(cells, np.int64)
    except OverflowError as error:
        raise FormatError(f"{name}: a cell of more than 64 bits") from error


def _read_windows(cursor: Cursor, series: int, name: str, allowed: Callable[[int], bool] = allowed) -> list[int]:
    window = cursor.byte(name)
    windows = list(cursor.take(series, name)) if window == EACH else [window] * series
    if not all(map(allowed, set(windows))):
        raise FormatError(f"{name}: a window of {max(windows)}")
    return windows


def _read_few(cursor: Cursor, counts: npt.NDArray[np.int64], total: int, name: str) -> Signed:
    window = cursor.byte(name)
    if window > 1:
        raise FormatError(f"{name}: exceptions with a window of {window}")
    found = cursor.number(name)
    if found > total:
        raise FormatError(f"{name}: {found} exceptions for {total} cells")
    gaps = cursor.column(found, name)
    if found and int(gaps.max()) >= total:
        raise FormatError(f"{name}: exceptions outside its {total} cells")
    places = np.cumsum(gaps.astype(np.int64) + 1) - 1
    if found and int(places[-1]) >= total:
        raise FormatError(f"{name}: exceptions outside its {total} cells")
    left = np.zeros(total, np.int64)
    left[places] = cursor.signed_column(found, name)
    return restore(left, counts.tolist(), [window] * len(counts))


def _many(cursor: Cursor) -> int:
    """Return how many numbers are left."""
    return int((np.frombuffer(cursor.data, np.uint8, cursor.left, cursor.at) < 128).sum()) if cursor.left else 0
