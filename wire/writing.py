"""Columns as bytes: each in the way that suits it, with a directory that tells what may be skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from wire import adaptive, modelling, rans
from wire.adaptive import MEMORIES, Column, Followed, State
from wire.columns import EACH, GROUPED, ORDERED, Id, Mode, gather, rounded
from wire.container import lzma1
from wire.expectation import best_windows, residuals
from wire.fitting import cost, fit
from wire.modelling import BESIDE, SHARES, aways, best_share, with_share
from wire.shapes import SKEWS
from wire.varint import Signed, most_common, number, pack, pack_signed, signed

_RARE = 12
"""Exceptions from which the model's symbols are shorter than bytes."""
_FEW = 6
"""Exceptions are listed when at most one cell in so many is one."""
_MANY = 16
"""Cells a group from which it pays to look for the memory of its spread."""
_DEEP = 8
"""Rows a series from which it pays to write an order."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A column to be written: its cells in the order of rows, and what may be expected of them.

    ``offsets`` (eight fractional bits) is what a cell lies above its expectation for reasons of its own row;
    ``bytes_offsets`` says whether the coders that pack bytes take them off too. The windows are what the encoder tries.
    """

    id: Id
    cells: Signed
    groups: npt.NDArray[np.int64]
    """Which group (a series, or a series in one of its regimes) each cell belongs to."""
    offsets: Signed | None = None
    bytes_offsets: bool = False
    few: int | None = None
    """The window under which exceptions may be listed, None where that is never worth while."""
    bytes_windows: tuple[int, ...] = (0,)
    model_windows: tuple[int, ...] = (32,)


@dataclass(slots=True)
class Writer:
    """Collects the columns of a batch; ``modelled`` writes them for coder 3."""

    kinds: Sequence[int]
    modelled: bool
    known: Mapping[Id, Sequence[State]] = field(default_factory=dict)
    late: int = 0
    regimes: bool = False
    order: npt.NDArray[np.int64] | None = None
    entries: list[bytes] = field(default_factory=list)
    notes: list[int] = field(default_factory=list)
    states: dict[Id, list[State | None]] = field(default_factory=dict)
    aways: dict[Id, list[int]] = field(default_factory=dict)

    def put(self, plan: Plan, needed: bool = False) -> None:
        """Add a column, in the cheapest way; one that says nothing only where it is ``needed`` all the same."""
        if not len(plan.cells):
            return
        plan = self._arranged(plan)
        counts = np.bincount(plan.groups, minlength=self._size(plan.id)).astype(np.int64)
        if plan.few is not None:
            left = residuals(plan.cells, counts.tolist(), [plan.few] * len(counts))
            found = np.flatnonzero(left)
            if len(found) * _FEW <= len(left):
                if len(found) or needed:
                    self._few(plan, left, found)
                return
        if not self.modelled:
            self._bytes(plan, counts)
        elif plan.id in ORDERED:
            self._model(plan, counts)
        else:
            self._either(plan, counts)

    def _size(self, column: Id) -> int:
        return len(self.kinds) * (2 if self.regimes and column in GROUPED else 1)

    def _arranged(self, plan: Plan) -> Plan:
        """Return the cells group by group."""
        if not self.regimes or plan.id not in GROUPED:
            return plan
        order = np.argsort(plan.groups, kind="stable")
        offsets = None if plan.offsets is None else plan.offsets[order]
        return replace(plan, cells=plan.cells[order], groups=plan.groups[order], offsets=offsets)

    def put_bytes(self, column: Id, payload: bytes) -> None:
        """Add a column that has a layout of its own."""
        self._entry(column, Mode.BYTES, payload)

    def finish(self) -> bytes:
        """Return the directory of columns with their payloads."""
        return number(len(self.entries)) + b"".join(self.entries)

    def _entry(self, column: Id, mode: Mode, payload: bytes) -> None:
        self.entries.append(bytes((column, mode)) + number(len(payload)) + payload)

    def _few(self, plan: Plan, left: Signed, found: npt.NDArray[np.int64]) -> None:
        gaps, values = np.diff(found, prepend=-1) - 1, left[found]
        head = bytes((plan.few or 0,)) + number(len(found))
        listed = pack(gaps.astype(np.uint64)) + pack_signed(values)
        if self.modelled and len(found) >= _RARE:
            usual, size = most_common(values), max(int(gaps.mean() * 0.7).bit_length() - 1, 0)
            symbols = rans.rare(gaps.tolist(), values.tolist(), usual, size)
            if rans.bits(symbols) / 8 < len(lzma1(listed)):
                self.notes += symbols
                self._entry(plan.id, Mode.RARE, head + signed(usual) + bytes((size,)))
                return
        self._entry(plan.id, Mode.FEW, head + listed)

    def _windows(self, plan: Plan, counts: list[int], candidates: tuple[int, ...]) -> tuple[list[int], bytes]:
        if len(candidates) == 1 or max(counts) < 3:
            windows = [candidates[0]] * len(counts)
        else:
            windows = best_windows(plan.cells, counts, candidates)
        same = len(set(windows)) == 1
        return windows, bytes((windows[0],)) if same else bytes((EACH, *windows))

    def _bytes(self, plan: Plan, counts: npt.NDArray[np.int64]) -> None:
        windows, head = self._windows(plan, counts.tolist(), plan.bytes_windows)
        cells = plan.cells if plan.offsets is None or not plan.bytes_offsets else plan.cells - rounded(plan.offsets)
        left = residuals(cells, counts.tolist(), windows)
        if plan.id is Id.VALUE:
            self._choose_order(left, counts)
        if self.order is not None and plan.id in ORDERED:
            left = left[gather(counts, self.order)]
        if not any(windows) and left.min() >= 0:
            self._entry(plan.id, Mode.UNSIGNED, head + pack(left.view(np.uint64)))
        else:
            self._entry(plan.id, Mode.SIGNED, head + pack_signed(left))

    def _choose_order(self, left: Signed, counts: npt.NDArray[np.int64]) -> None:
        """Let quiet series stand before noisy ones: what packs bytes adapts to its surroundings."""
        series = len(counts)
        if series < 2 or len(left) < _DEEP * series:
            return
        noise = np.bincount(np.repeat(np.arange(series), counts), np.log2(np.abs(left.astype(np.float64)) + 1), series)
        order = np.argsort(np.round(noise / np.maximum(counts, 1), 3), kind="stable")
        if (np.diff(order) != 1).any():
            self.order = order
            self._entry(Id.ORDER, Mode.BYTES, pack(order.astype(np.uint64)))

    def _either(self, plan: Plan, counts: npt.NDArray[np.int64]) -> None:
        """Write the model's symbols, or bytes where these pack smaller: times repeat in ways that no distance shows."""
        entries, symbols = len(self.entries), len(self.notes)
        self._model(plan, counts)
        modelled = self.entries.pop()
        self._bytes(plan, counts)
        if len(lzma1(self.entries[entries])) < len(modelled) + rans.bits(self.notes[symbols:]) / 8:
            del self.notes[symbols:]
        else:
            self.entries[entries] = modelled

    def _model(self, plan: Plan, counts: npt.NDArray[np.int64]) -> None:
        windows, head = self._windows(plan, counts.tolist(), plan.model_windows)
        beside = self.aways.get(BESIDE[plan.id]) if plan.id in BESIDE else None
        column = Column(counts.tolist(), None if plan.offsets is None else plan.offsets.tolist(), windows, 0)
        cells = plan.cells.tolist()
        followed, states = self._followed(plan.id, column, cells)
        share = 0 if beside is None else best_share(followed, beside)
        if beside is not None and share:
            column = replace(column, offsets=with_share(plan.offsets, beside, share))
            followed, states = self._followed(plan.id, column, cells)
        how = fit(followed)
        if len(cells) >= _MANY * len(counts):
            ways = [(column, followed, states)]
            for memory in range(1, len(MEMORIES)):
                other = replace(column, memory=memory)
                ways.append((other, *self._followed(plan.id, other, cells)))
            column, followed, states = min(ways, key=lambda way: cost(way[1], how))
        by = (share + SHARES,) if plan.id in BESIDE else ()
        self.notes += adaptive.notes(followed, how)
        self.states[plan.id], self.aways[plan.id] = states, aways(followed)
        self._entry(
            plan.id,
            Mode.MODELLED,
            head + bytes((how.shape, how.gain, how.skew + SKEWS, column.memory, *by)),
        )

    def _followed(self, id_: Id, column: Column, cells: list[int]) -> tuple[Followed, list[State | None]]:
        past = modelling.past(id_, self.kinds, len(column.counts), self.known.get(id_), self.late, self.states)
        return adaptive.follow(column, past, cells), past.states
