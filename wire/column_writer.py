"""Writer of the columns of a batch: each in its cheapest mode, listed in a directory of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from wire import column_context
from wire.column_context import BESIDE, SHARES, add_share, choose_share, deviations
from wire.columns import EACH, GROUPED, OPTIONAL, ORDERED, Id, Mode, gather, rounded
from wire.container import lzma1
from wire.model_coder import adaptive_model, rans
from wire.model_coder.adaptive_model import MEMORIES, Column, PredictedColumn, State
from wire.model_coder.distributions import SKEWS
from wire.model_coder.parameter_search import estimated_cost, search_parameters
from wire.model_coder.prediction import best_windows, residuals
from wire.varint import Signed, most_common, number, pack, pack_signed, signed

_MIN_RARE = 12
"""Minimum number of exceptions for which the model's symbols are tried."""
_EXCEPTION_RATIO = 6
"""Exceptions are listed when at most one cell in six is one."""
_MIN_MEMORY_CELLS = 16
"""Minimum cells per group for which other time constants of the spread are tried."""
_MIN_ORDER_ROWS = 8
"""Minimum rows per series for which an order of series is written."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A column to write: its cells in row order and the predictors to try.

    ``offsets`` (eight fractional bits) is the known offset of each cell from its prediction, derived from other columns
    of its row; with ``bytes_offsets`` the byte coders subtract it, too.
    """

    id: Id
    cells: Signed
    groups: npt.NDArray[np.int64]
    """Group of each cell: a series, or a series in one of its regimes."""
    offsets: Signed | None = None
    bytes_offsets: bool = False
    few: int | None = None
    """Window for listing exceptions; None to never list them."""
    bytes_windows: tuple[int, ...] = (0,)
    model_windows: tuple[int, ...] = (32,)


@dataclass(frozen=True, slots=True)
class _Written:
    """A column written by the model: its plan, and the positions of its entry and its symbols."""

    plan: Plan
    counts: npt.NDArray[np.int64]
    entry: int
    symbols: slice


@dataclass(slots=True)
class Writer:
    """Collects the columns of a batch; with ``modelled`` they are written for coder 3."""

    kinds: Sequence[int]
    modelled: bool
    known: Mapping[Id, Sequence[State]] = field(default_factory=dict)
    late: int = 0
    regimes: bool = False
    order: npt.NDArray[np.int64] | None = None
    entries: list[bytes] = field(default_factory=list)
    symbols: list[int] = field(default_factory=list)
    states: dict[Id, list[State | None]] = field(default_factory=dict)
    deviations: dict[Id, list[int]] = field(default_factory=dict)
    _values: _Written | None = None

    def with_late(self, late: int) -> Writer:
        """Return the written columns as they are with another ``late``, on which only the values depend."""
        written = self._values
        if written is None:
            return replace(self, late=late)
        values = Writer(self.kinds, self.modelled, self.known, late, self.regimes)
        values._model(written.plan, written.counts)
        entries, symbols = list(self.entries), list(self.symbols)
        entries[written.entry : written.entry + 1] = values.entries
        symbols[written.symbols] = values.symbols
        return replace(self, late=late, entries=entries, symbols=symbols)

    def put(self, plan: Plan, needed: bool = False) -> None:
        """Add a column in its cheapest mode; one without exceptions is omitted unless it is ``needed``."""
        if not len(plan.cells):
            return
        plan = self._arranged(plan)
        counts = np.bincount(plan.groups, minlength=self._size(plan.id)).astype(np.int64)
        if plan.few is not None:
            left = residuals(plan.cells, counts.tolist(), [plan.few] * len(counts))
            found = np.flatnonzero(left)
            if len(found) * _EXCEPTION_RATIO <= len(left):
                if len(found) or needed:
                    self._few(plan, left, found)
                return
        if not self.modelled:
            self._bytes(plan, counts)
        elif plan.id in ORDERED:
            first_entry, first_symbol = len(self.entries), len(self.symbols)
            self._model(plan, counts)
            if plan.id is Id.VALUE:
                self._values = _Written(plan, counts, first_entry, slice(first_symbol, len(self.symbols)))
        else:
            self._either(plan, counts)

    def _size(self, column: Id) -> int:
        return len(self.kinds) * (2 if self.regimes and column in GROUPED else 1)

    def _arranged(self, plan: Plan) -> Plan:
        """Return the plan with its cells sorted by group."""
        if not self.regimes or plan.id not in GROUPED:
            return plan
        order = np.argsort(plan.groups, kind="stable")
        offsets = None if plan.offsets is None else plan.offsets[order]
        return replace(plan, cells=plan.cells[order], groups=plan.groups[order], offsets=offsets)

    def put_bytes(self, column: Id, payload: bytes, *, optional: bool = False) -> None:
        """Add a column with its own layout; an older reader may skip an ``optional`` one."""
        self._entry(column | OPTIONAL if optional else column, Mode.BYTES, payload)

    def finish(self) -> bytes:
        """Return the directory of columns with their payloads."""
        return number(len(self.entries)) + b"".join(self.entries)

    def _entry(self, column: int, mode: Mode, payload: bytes) -> None:
        self.entries.append(bytes((column, mode)) + number(len(payload)) + payload)

    def _few(self, plan: Plan, left: Signed, found: npt.NDArray[np.int64]) -> None:
        gaps, values = np.diff(found, prepend=-1) - 1, left[found]
        head = bytes((plan.few or 0,)) + number(len(found))
        listed = pack(gaps.astype(np.uint64)) + pack_signed(values)
        if self.modelled and len(found) >= _MIN_RARE:
            usual, size = most_common(values), max(int(gaps.mean() * 0.7).bit_length() - 1, 0)
            symbols = rans.rare(gaps.tolist(), values.tolist(), usual, size)
            if rans.bits(symbols) / 8 < len(lzma1(listed)):
                self.symbols += symbols
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
        """Arrange series by noise: the byte coders adapt to neighbouring cells."""
        series = len(counts)
        if series < 2 or len(left) < _MIN_ORDER_ROWS * series:
            return
        noise = np.bincount(np.repeat(np.arange(series), counts), np.log2(np.abs(left.astype(np.float64)) + 1), series)
        order = np.argsort(np.round(noise / np.maximum(counts, 1), 3), kind="stable")
        if (np.diff(order) != 1).any():
            self.order = order
            self._entry(Id.ORDER, Mode.BYTES, pack(order.astype(np.uint64)))

    def _either(self, plan: Plan, counts: npt.NDArray[np.int64]) -> None:
        """Write the model's symbols, or bytes if they pack smaller (repeated patterns of times)."""
        entries, symbols = len(self.entries), len(self.symbols)
        self._model(plan, counts)
        modelled = self.entries.pop()
        self._bytes(plan, counts)
        if len(lzma1(self.entries[entries])) < len(modelled) + rans.bits(self.symbols[symbols:]) / 8:
            del self.symbols[symbols:]
        else:
            self.entries[entries] = modelled

    def _model(self, plan: Plan, counts: npt.NDArray[np.int64]) -> None:
        windows, head = self._windows(plan, counts.tolist(), plan.model_windows)
        beside = self.deviations.get(BESIDE[plan.id]) if plan.id in BESIDE else None
        column = Column(counts.tolist(), None if plan.offsets is None else plan.offsets.tolist(), windows, 0)
        cells = plan.cells.tolist()
        predicted, states = self._predict(plan.id, column, cells)
        share = 0 if beside is None else choose_share(predicted, beside)
        if beside is not None and share:
            column = replace(column, offsets=add_share(plan.offsets, beside, share))
            predicted, states = self._predict(plan.id, column, cells)
        parameters = search_parameters(predicted)
        if len(cells) >= _MIN_MEMORY_CELLS * len(counts):
            options = [(column, predicted, states)]
            for memory in range(1, len(MEMORIES)):
                other = replace(column, memory=memory)
                options.append((other, *self._predict(plan.id, other, cells)))
            column, predicted, states = min(options, key=lambda option: estimated_cost(option[1], parameters))
        shared = (share + SHARES,) if plan.id in BESIDE else ()
        self.symbols += adaptive_model.symbols(predicted, parameters)
        self.states[plan.id], self.deviations[plan.id] = states, deviations(predicted)
        self._entry(
            plan.id,
            Mode.MODELLED,
            head + bytes((parameters.shape, parameters.gain, parameters.skew + SKEWS, column.memory, *shared)),
        )

    def _predict(self, id_: Id, column: Column, cells: list[int]) -> tuple[PredictedColumn, list[State | None]]:
        starts = column_context.group_starts(
            id_, self.kinds, len(column.counts), self.known.get(id_), self.late, self.states
        )
        return adaptive_model.run_model(column, starts, cells), starts.states
