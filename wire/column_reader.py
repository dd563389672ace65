"""Reader of the columns of a batch: first the directory of columns, then each column on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from wire import column_context
from wire.column_context import BESIDE, SHARES, add_share, deviations
from wire.column_ids import EACH, GROUPED, ORDERED, Entry, Id, Mode, read_entries
from wire.columns import gather, rounded
from wire.errors import FormatError
from wire.model_coder import rans
from wire.model_coder.adaptive_model import GAINS, MEMORIES, Column, ModelParameters, State, run_model
from wire.model_coder.distributions import MAX_SKEW, SHAPES, SKEWS
from wire.model_coder.prediction import is_model_window, is_window, restore
from wire.varint import Cursor, Signed, unfold

_LARGEST_GAP = 16
"""Maximum raw bits of the gaps between exceptions."""


@dataclass(slots=True)
class Reader:
    """Columns of a batch. ``decoder`` holds the symbols of coder 3, ``consumed`` the bytes of them per column."""

    entries: dict[int, Entry]
    kinds: Sequence[int]
    decoder: rans.Decoder | None = None
    known: Mapping[Id, Sequence[State]] = field(default_factory=dict)
    late: int = 0
    regimes: bool = False
    order: npt.NDArray[np.int64] | None = None
    consumed: dict[int, float] = field(default_factory=dict)
    states: dict[Id, list[State | None]] = field(default_factory=dict)
    deviations: dict[Id, list[int]] = field(default_factory=dict)

    @classmethod
    def open(cls, cursor: Cursor, kinds: Sequence[int], own: Set[Id]) -> Reader:
        """Read the directory of columns and skip unknown optional ones; ``own`` are the columns of the batch's kind.

        Raises FormatError for a required column that is unknown or of another kind and for a duplicate, and LimitError
        for too many columns.
        """
        entries = read_entries(cursor, own)
        reader = cls(entries, kinds)
        order = reader.take_bytes(Id.ORDER)
        if order is not None:
            reader.order = order.column(_count_numbers(order), "order").astype(np.int64)
            if (np.sort(reader.order) != np.arange(len(reader.order))).any():
                raise FormatError("order: does not name each series once")
            if order.left:
                raise FormatError(f"order: {order.left} bytes are left")
        return reader

    def has(self, column: Id) -> bool:
        """Return whether the batch has the column."""
        return column in self.entries

    def take_bytes(self, column: Id) -> Cursor | None:
        """Return the payload of a column with its own layout, or None if it is omitted."""
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
            reordered = np.empty_like(left)
            reordered[gather(counts, self.order)] = left
            left = reordered
        return restore(left, counts.tolist(), windows)

    def _read_rare(self, cursor: Cursor, column: Id, counts: npt.NDArray[np.int64], total: int) -> Signed:
        name = f"column {column.name.lower()}"
        window, found = cursor.byte(name), cursor.number(name)
        usual, size = cursor.signed(name), cursor.byte(name)
        if self.decoder is None or window > 1 or found > total or size > _LARGEST_GAP:
            raise FormatError(
                f"{name}: {found} exceptions for {total} cells, window {window}, {size} bits, or no coder 3"
            )
        before = self.decoder.consumed()
        gaps, values = self.decoder.rare(found, usual, size, total)
        self.consumed[column] = self.decoder.consumed() - before
        indexes = np.cumsum(_signed(gaps, name) + 1) - 1
        if found and int(indexes[-1]) >= total:
            raise FormatError(f"{name}: exceptions outside its {total} cells")
        left = np.zeros(total, np.int64)
        left[indexes] = _signed(values, name)
        return restore(left, counts.tolist(), [window] * len(counts))

    def _read_model(
        self, cursor: Cursor, column: Id, counts: npt.NDArray[np.int64], offsets: Signed | None, name: str
    ) -> Signed:
        windows = _read_windows(cursor, len(counts), name, is_model_window)
        shape, gain, skew, memory = cursor.take(4, name)
        share = cursor.byte(name) - SHARES if column in BESIDE else 0
        known = shape < len(SHAPES) and gain < len(GAINS) and abs(skew - SKEWS) <= MAX_SKEW and memory < len(MEMORIES)
        if self.decoder is None or not known:
            raise FormatError(f"{name}: shape {shape}, gain {gain}, skew {skew}, memory {memory}, or no coder 3")
        beside = self.deviations.get(BESIDE[column]) if column in BESIDE else None
        if abs(share) > SHARES or (share and beside is None):
            raise FormatError(f"{name}: a share of {share} of a missing column")
        starts = column_context.group_starts(
            column, self.kinds, len(counts), self.known.get(column), self.late, self.states
        )
        own = None if offsets is None else offsets.tolist()
        if beside is not None and share:
            own = add_share(offsets, beside, share)
        before = self.decoder.consumed()
        decoded = run_model(
            Column(counts.tolist(), own, windows, memory),
            starts,
            (),
            self.decoder,
            ModelParameters(shape, gain, skew - SKEWS),
        )
        self.consumed[column] = self.decoder.consumed() - before
        self.states[column] = starts.states
        if column in BESIDE.values():
            self.deviations[column] = deviations(decoded)
        return _signed(decoded.cells, name)


def _signed(cells: Sequence[int], name: str) -> Signed:
    """Return decoded cells as int64; the coder itself has no bound."""
    try:
        return np.array(cells, np.int64)
    except OverflowError as error:
        raise FormatError(f"{name}: a cell of more than 64 bits") from error


def _read_windows(cursor: Cursor, series: int, name: str, is_valid: Callable[[int], bool] = is_window) -> list[int]:
    window = cursor.byte(name)
    windows = list(cursor.take(series, name)) if window == EACH else [window] * series
    if not all(map(is_valid, set(windows))):
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
    indexes = np.cumsum(gaps.astype(np.int64) + 1) - 1
    if found and int(indexes[-1]) >= total:
        raise FormatError(f"{name}: exceptions outside its {total} cells")
    left = np.zeros(total, np.int64)
    left[indexes] = cursor.signed_column(found, name)
    return restore(left, counts.tolist(), [window] * len(counts))


def _count_numbers(cursor: Cursor) -> int:
    """Return the number of varints left."""
    return int((np.frombuffer(cursor.data, np.uint8, cursor.left, cursor.at) < 128).sum()) if cursor.left else 0
