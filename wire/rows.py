"""Conversion of rows to columns of integers and back: the parts common to readings and aggregates.

Rows are written series by series, each in time order, and are returned in the order of time, then of the directory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wire.column_reader import Reader
from wire.column_writer import Plan, Writer
from wire.columns import Id
from wire.errors import FormatError, LimitError
from wire.limits import MAX_ROWS
from wire.model import FloatArray, IntArray
from wire.quantization import Scales
from wire.varint import Cursor, number, pack, pack_signed, signed

TIME_WINDOWS = (1, 4, 16, 32)


class Layout:
    """Order of the rows sorted by series, then time, and the number of rows of each series."""

    def __init__(self, series_index: IntArray, times: IntArray, series: int) -> None:
        self.order = np.lexsort((times, series_index))
        self.series = series_index[self.order]
        self.counts = np.bincount(series_index, minlength=series).astype(np.int64)
        self.times = times[self.order]


def write_times(layout: Layout, writer: Writer) -> bytes:
    """Write the time column and return the bytes that precede the columns: first times, tick and steps."""
    times, counts = layout.times, layout.counts
    used = counts > 0
    starts = (np.cumsum(counts) - counts)[used]
    firsts = times[starts]
    inner = np.ones(len(times), bool)
    inner[starts] = False
    gaps = np.diff(times, prepend=np.int64(0))[inner]
    jumps = np.diff(firsts, prepend=firsts[:1])
    tick = _tick(gaps, jumps)
    gaps //= tick
    inner_counts = np.maximum(counts - 1, 0)
    steps = _steps(gaps, inner_counts)
    off = gaps - np.repeat(steps, inner_counts)
    if len(off):
        total = np.cumsum(off)
        ends = np.cumsum(inner_counts)
        before = np.concatenate((total[:1] * 0, total))[ends - inner_counts]
        cells = total - np.repeat(before, inner_counts)
        plan = Plan(Id.TIME, cells, layout.series[inner], few=1, bytes_windows=(1,), model_windows=TIME_WINDOWS)
        writer.put(plan)
    base = int(firsts[0]) if len(firsts) else 0
    return b"".join(
        (
            signed(base),
            number(tick),
            pack_signed(jumps // tick),
            pack_signed(np.diff(steps, prepend=np.int64(0))),
        )
    )


def _tick(gaps: IntArray, jumps: IntArray) -> int:
    """Return the largest number of milliseconds that divides all time differences (1 if they overflow)."""
    both = np.concatenate((gaps, jumps))
    if not len(both) or int(gaps.min(initial=0)) < 0 or int(np.abs(both).max()) < 0:
        return 1
    return int(np.gcd.reduce(np.unique(both))) or 1


def _steps(gaps: IntArray, counts: IntArray) -> IntArray:
    """Return the step of each series: the median time difference, or the step of the previous series if it has none."""
    if len(gaps) and (gaps == gaps[0]).all():
        return np.full(len(counts), gaps[0])
    steps, at, step = np.zeros(len(counts), np.int64), 0, 0
    for series, count in enumerate(counts.tolist()):
        if count:
            step = int(np.partition(gaps[at : at + count], count // 2)[count // 2])
        steps[series], at = step, at + count
    return steps


def read_counts(cursor: Cursor, series: int) -> IntArray:
    """Read the number of rows of each series; raises LimitError for too many."""
    counts = np.cumsum(cursor.signed_column(series, "rows a series"))
    if series and (int(counts.min()) < 0 or int(counts.max()) > MAX_ROWS or int(counts.sum()) > MAX_ROWS):
        raise LimitError(f"more than {MAX_ROWS} rows, or a negative number in a series")
    return counts


class Times:
    """First times, tick and steps, as read from the bytes before the columns."""

    def __init__(self, cursor: Cursor, counts: IntArray) -> None:
        used = int((counts > 0).sum())
        base, self._tick = cursor.signed("first time"), cursor.number("tick")
        if not 1 <= self._tick < 2**63:
            raise FormatError(f"tick: {self._tick}")
        jumps = cursor.signed_column(used, "first times")
        self._firsts = np.int64(base) + np.cumsum(jumps) * np.int64(self._tick) if used else jumps
        self._steps = np.cumsum(cursor.signed_column(len(counts), "steps"))
        self._counts = counts

    def take(self, reader: Reader) -> IntArray:
        """Return the times of all rows, series by series."""
        counts, used = self._counts, self._counts > 0
        inner = np.maximum(counts - 1, 0)
        cells = reader.take(Id.TIME, np.repeat(np.arange(len(counts)), inner))
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        off = np.zeros(len(within), np.int64)
        off[within > 0] = cells
        steps = within * np.repeat(self._steps, counts)
        times: IntArray = np.repeat(self._firsts, counts[used]) + (steps + off) * np.int64(self._tick)
        return times


def in_time_order(times: IntArray, series: IntArray) -> npt.NDArray[np.intp]:
    """Return the order in which a reader returns rows."""
    order: npt.NDArray[np.intp] = np.lexsort((series, times))
    return order


def write_patches(patches: Sequence[tuple[npt.NDArray[np.intp], FloatArray]]) -> bytes:
    """Return patches, column by column: the rows whose value the integers do not represent, and the doubles."""
    out = []
    for wrong_rows, values in patches:
        gaps = np.diff(wrong_rows.astype(np.int64), prepend=np.int64(-1)) - 1
        out.append(number(len(wrong_rows)) + pack(gaps.view(np.uint64)) + values.astype("<f8").tobytes())
    return b"".join(out)


def read_patches(cursor: Cursor, columns: Sequence[FloatArray]) -> None:
    """Apply patches to the columns, in the order used by :func:`write_patches`."""
    for values in columns:
        count = cursor.number("patches")
        if count > len(values):
            raise FormatError(f"patches: {count} for {len(values)} rows")
        gaps = cursor.column(count, "patches")
        if count and int(gaps.max()) >= len(values):
            raise FormatError("patches: outside the rows")
        wrong_rows = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if count and int(wrong_rows[-1]) >= len(values):
            raise FormatError("patches: outside the rows")
        values[wrong_rows] = np.frombuffer(cursor.take(8 * count, "patches"), "<f8")
    if cursor.left:
        raise FormatError(f"patches: {cursor.left} bytes are left")


def write_runs(chosen: npt.NDArray[np.bool_]) -> bytes:
    """Return a mask as run lengths, starting with a run of True."""
    edges = np.flatnonzero(np.diff(chosen, prepend=True, append=not chosen[-1]))
    return number(len(edges)) + pack(np.diff(edges, prepend=0).astype(np.uint64))


def read_runs(cursor: Cursor, total: int) -> npt.NDArray[np.bool_]:
    """Read a mask written by :func:`write_runs`."""
    lengths = cursor.column(cursor.number("runs"), "runs")
    if (len(lengths) and int(lengths.max()) > total) or int(lengths.sum()) != total:
        raise FormatError(f"runs: of other than the {total} rows")
    return np.repeat(np.arange(len(lengths)) % 2 == 0, lengths.astype(np.int64))


def is_exact(values: FloatArray, back: FloatArray, scales: Scales) -> npt.NDArray[np.bool_]:
    """Return the mask of values that equal their multiple (to a millionth of a declared resolution)."""
    with np.errstate(all="ignore"):
        close = np.abs(values - back) <= 1e-6 * scales.multiplier / scales.divisor
    right: npt.NDArray[np.bool_] = scales.bits | (values == back) | (close & scales.declared)
    return right


def fill_forward(cells: IntArray, wrong: npt.NDArray[np.bool_]) -> IntArray:
    """Return the cells with wrong ones replaced by the last correct one, so that they take few bytes."""
    if not wrong.any():
        return cells
    last_correct = np.where(wrong, 0, np.arange(len(cells)))
    return np.where(
        wrong[0] & (np.maximum.accumulate(last_correct) == 0), 0, cells[np.maximum.accumulate(last_correct)]
    )


def write_rest(cells: IntArray, still: npt.NDArray[np.bool_], layout: Layout, writer: Writer) -> npt.NDArray[np.bool_]:
    """Write the rows in which series are at rest and return them as a mask.

    A machine that switches on and off has two regimes. For rows at its one resting value (``still``: minimum, mean and
    maximum are equal) no more values are written, and the predictions of the other rows are not disturbed.
    """
    resting = np.zeros(len(cells), bool)
    ends = np.cumsum(layout.counts).tolist()
    for end, count in zip(ends, layout.counts.tolist(), strict=True):
        if count >= _MIN_ROWS:
            part = slice(end - count, end)
            resting[part] = _resting(cells[part], still[part])
    if resting.any():
        _, first = np.unique(layout.series[resting], return_index=True)
        writer.regimes = True
        writer.put_bytes(Id.REST, write_runs(~resting) + pack_signed(cells[resting][first]))
    return resting


def _resting(cells: IntArray, still: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the mask of cells of a series that are at rest: for long enough, and far enough from the other cells."""
    none = np.zeros(len(cells), bool)
    found, often = np.unique(cells[still], return_counts=True)
    if not len(found) or often.max() < _MIN_AT_REST:
        return none
    resting = still & (cells == found[np.argmax(often)])
    edges = np.flatnonzero(np.diff(resting, prepend=False, append=False))
    begins, ends = edges[0::2], edges[1::2]
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        if end - begin < _MIN_RUN:
            resting[begin:end] = False
    moving = cells[~resting]
    if resting.sum() < _MIN_AT_REST or len(moving) < _MIN_AT_REST:
        return none
    usual = np.median(np.abs(np.diff(moving.astype(np.float64))))
    # A machine that stops reaches its resting value by a jump, not by its usual steps.
    edges = np.flatnonzero(np.diff(resting))
    jumps = np.abs(cells[edges].astype(np.float64) - cells[edges + 1].astype(np.float64))
    away = np.median(jumps) if len(jumps) else 0.0
    return resting if away > _MIN_JUMP * (usual + 1) else none


_MIN_ROWS, _MIN_AT_REST, _MIN_RUN, _MIN_JUMP = 16, 6, 3, 4


def read_rest(reader: Reader, series: IntArray) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """Return the mask of rows at rest and the cell of each of them."""
    cursor = reader.take_bytes(Id.REST)
    if cursor is None:
        return np.zeros(len(series), bool), series[:0]
    reader.regimes = True
    resting = ~read_runs(cursor, len(series))
    if not resting.any():
        raise FormatError("rest: of no row")
    found, which = np.unique(series[resting], return_inverse=True)
    cells = cursor.signed_column(len(found), "rest")
    if cursor.left:
        raise FormatError(f"rest: {cursor.left} bytes are left")
    return resting, cells[which]
