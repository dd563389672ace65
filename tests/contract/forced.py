"""Write columns with encodings that the encoder would not choose but a decoder must support, for golden batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from wire import aggregates, codec, column_context, container, directory, readings
from wire.column_context import BESIDE, SHARES, add_share, deviations
from wire.column_writer import Plan, Writer
from wire.columns import EACH, ORDERED, Id, Mode, gather, rounded
from wire.container import Coder, Kind
from wire.model import Aggregates, Readings
from wire.model_coder import adaptive_model, rans
from wire.model_coder.adaptive_model import Column, ModelParameters
from wire.model_coder.distributions import SKEWS
from wire.model_coder.prediction import residuals
from wire.profile import Profile
from wire.rows import Layout
from wire.varint import number, pack, pack_signed, signed


class Way(NamedTuple):
    """Encoding of a column: its mode, the windows of its groups (in rotation), and the parameters of modes 3 and 5."""

    mode: Mode
    windows: Sequence[int] = (0,)
    how: ModelParameters = ModelParameters(0, 0, 0)
    memory: int = 0
    share: int = 0
    usual: int = 0
    size: int = 0


@dataclass(slots=True)
class Forced(Writer):
    """Writer with a given encoding for some columns; other columns are written as usual."""

    ways: Mapping[Id, Way] = field(default_factory=dict)

    def put(self, plan: Plan, needed: bool = False) -> None:
        """Add a column with its given encoding."""
        way = self.ways.get(plan.id)
        if way is None or not len(plan.cells):
            Writer.put(self, plan, needed)
            return
        plan = self._arranged(plan)
        counts = np.bincount(plan.groups, minlength=self._size(plan.id)).astype(np.int64)
        windows = [way.windows[at % len(way.windows)] for at in range(len(counts))]
        head = bytes((windows[0],)) if len(way.windows) == 1 else bytes((EACH, *windows))
        if way.mode is Mode.MODELLED:
            self._symbols(plan, way, Column(counts.tolist(), None, windows, way.memory), head)
            return
        both = way.mode in (Mode.SIGNED, Mode.UNSIGNED) and plan.offsets is not None and plan.bytes_offsets
        cells = plan.cells - rounded(plan.offsets) if both and plan.offsets is not None else plan.cells
        left = residuals(cells, counts.tolist(), windows)
        if way.mode in (Mode.FEW, Mode.RARE):
            found = np.flatnonzero(left)
            gaps, values = np.diff(found, prepend=-1) - 1, left[found]
            head += number(len(found))
            if way.mode is Mode.FEW:
                head += pack(gaps.astype(np.uint64)) + pack_signed(values)
            else:
                self.symbols += rans.rare(gaps.tolist(), values.tolist(), way.usual, way.size)
                head += signed(way.usual) + bytes((way.size,))
        else:
            if self.order is not None and plan.id in ORDERED:
                left = left[gather(counts, self.order)]
            head += pack_signed(left) if way.mode is Mode.SIGNED else pack(left.view(np.uint64))
        self._entry(plan.id, way.mode, head)

    def _symbols(self, plan: Plan, way: Way, column: Column, head: bytes) -> None:
        own = None if plan.offsets is None else plan.offsets.tolist()
        if way.share:
            own = add_share(plan.offsets, self.deviations[BESIDE[plan.id]], way.share)
        column = replace(column, offsets=own)
        starts = column_context.group_starts(
            plan.id, self.kinds, len(column.counts), self.known.get(plan.id), self.late, self.states
        )
        followed = adaptive_model.run_model(column, starts, plan.cells.tolist())
        self.symbols += adaptive_model.symbols(followed, way.how)
        self.states[plan.id], self.deviations[plan.id] = starts.states, deviations(followed)
        by = (way.share + SHARES,) if plan.id in BESIDE else ()
        self._entry(
            plan.id,
            Mode.MODELLED,
            head + bytes((way.how.shape, way.how.gain, way.how.skew + SKEWS, way.memory, *by)),
        )


def forced(
    rows: Readings | Aggregates,
    ways: Mapping[Id, Way],
    coder: Coder = Coder.MODEL,
    *,
    order: Sequence[int] | None = None,
    known: Profile | None = None,
    late: int = 0,
) -> bytes:
    """Return rows packed with the given encodings; ``order`` is that of the series in modes 1 and 2.

    Series at rest are encoded separately with every coder.
    """
    times = rows.time_ms if isinstance(rows, Readings) else rows.start_ms
    layout = Layout(rows.series_index, times, len(rows.series))
    if known is not None:
        selected = known.select(rows.series)
        assert selected is not None
        entries, states = known.entries(selected), known.known(selected)
        begin = number(len(selected)) + pack_signed(np.diff(np.array(selected, np.int64), prepend=np.int64(-1)) - 1)
        begin += bytes((late,))
    else:
        steps = readings.steps(rows, layout) if isinstance(rows, Readings) else aggregates.steps(rows, layout)
        entries, states = directory.directory(rows.series, steps), {}
        begin = directory.write(entries)
    writer = Forced(entries.kinds.tolist(), modelled=True, known=states, late=late, ways=ways)
    if order is not None:
        writer.order = np.array(order, np.int64)
        writer.put_bytes(Id.ORDER, pack(writer.order.astype(np.uint64)))
    begin += codec._counts(layout)
    if isinstance(rows, Readings):
        kind, content = Kind.READINGS, begin + readings.write(rows, layout, entries.steps, writer)
    else:
        kind, content = Kind.AGGREGATES, begin + aggregates.write(rows, layout, entries.steps, writer)
    content += writer.finish()
    version = None if known is None else known.version
    if coder is Coder.MODEL:
        return container.pack(kind, coder, *container.join(content, rans.encode(writer.symbols)), profile=version)
    assert not writer.symbols
    return container.pack(kind, coder, len(content), container.PACK[coder](content))
