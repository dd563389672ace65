"""Conversion of aggregates to columns of integers and back.

The mean is an integer in tenths of the step. The minimum is written as its distance below the floor of the mean, the
maximum as its distance above the ceiling. The standard deviation is a logarithm with 16 units per octave, predicted
from the two distances: its square is at most their product (Bhatia and Davis, 2000), with equality for two values. The
score is a logarithm of 1 + score with 32 units per octave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wire.column_reader import Reader
from wire.column_writer import Plan, Writer
from wire.columns import Id
from wire.directory import Directory
from wire.errors import FormatError, ModelError
from wire.model import Aggregates, FloatArray, IntArray
from wire.model_coder.prediction import FRACTION
from wire.quantization import Form, Scales, Step, choose_all, decimal
from wire.readings import BYTES_VALUE_WINDOWS, VALUE_WINDOWS
from wire.rows import (
    Layout,
    Times,
    fill_forward,
    in_time_order,
    is_exact,
    read_patches,
    read_rest,
    read_runs,
    write_patches,
    write_rest,
    write_runs,
    write_times,
)
from wire.varint import Cursor, most_common, pack, signed

STD_PARTS, SCORE_PARTS = 16, 32
"""Units per octave."""
SCORE_WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
BYTES_SCORE_WINDOWS = (1, 2, 4, 8)
_LOG_BITS = 12
_LOG_TEN = 13607
"""Logarithm of ten in units of 1/4096 octave."""


def steps(rows: Aggregates, layout: Layout) -> tuple[Step, ...]:
    """Return the step of each series."""
    order, resolutions = layout.order, [series.resolution for series in rows.series]
    return choose_all(resolutions, layout.series, [rows.min[order], rows.max[order]], rows.mean[order])


def write(rows: Aggregates, layout: Layout, steps_of: Sequence[Step], writer: Writer) -> bytes:
    """Write all columns and return the bytes that precede them."""
    order = layout.order
    head = write_times(layout, writer)
    width, count = rows.width_ms[order], rows.count[order]
    usual_width, usual_count = most_common(width), most_common(count)
    head += signed(usual_width) + signed(usual_count)
    writer.put(Plan(Id.WIDTH, width - np.int64(usual_width), layout.series, few=0))
    writer.put(Plan(Id.COUNT, count - np.int64(usual_count), layout.series, few=0))
    patches, groups = _write_values(rows, layout, steps_of, writer, count)
    score = rows.score[order]
    scored = ~np.isnan(score)
    patches.append(_write_scores(score, scored, groups, writer))
    if any(len(found) for found, _ in patches):
        writer.put_bytes(Id.PATCHES, write_patches(patches))
    for column, name in _OPTIONAL.items():
        _write_optional(column, getattr(rows, name)[order], writer)
    return head


_OPTIONAL = {Id.REVISION: "revision", Id.UNCERTAIN: "uncertain", Id.BAD: "bad"}


def _write_optional(column: Id, values: IntArray, writer: Writer) -> None:
    """Write a column of numbers that are not negative, which a reader may skip; omit it if all are 0."""
    if len(values) and int(values.min()) < 0:
        raise ModelError(f"{column.name.lower()}: {int(values.min())} is below 0")
    if values.any():
        writer.put_bytes(column, pack(values.astype(np.uint64)), optional=True)


def _read_optional(column: Id, rows: int, reader: Reader) -> IntArray:
    cursor = reader.take_bytes(column)
    if cursor is None:
        return np.zeros(rows, np.int64)
    values = cursor.column(rows, column.name.lower()).view(np.int64)
    if (values < 0).any() or cursor.left:
        raise FormatError(f"{column.name.lower()}: a number of 64 bits, or {cursor.left} bytes are left")
    return values


_Patch = tuple[npt.NDArray[np.intp], FloatArray]


def _write_values(
    rows: Aggregates, layout: Layout, steps_of: Sequence[Step], writer: Writer, count: IntArray
) -> tuple[list[_Patch], IntArray]:
    order = layout.order
    mean, low, high, std = (column[order] for column in (rows.mean, rows.min, rows.max, rows.std))
    scales, filled = Scales(steps_of, layout.series), count != 0
    q, q_fits = scales.whole(mean, mean=True)
    below, below_fits = scales.whole(low)
    above, above_fits = scales.whole(high)
    q, below, above = (
        fill_forward(cells, ~(fits & filled)) for cells, fits in ((q, q_fits), (below, below_fits), (above, above_fits))
    )
    bad = [
        ~_close_mean(mean, scales.value(q, mean=True), scales),
        ~is_exact(low, scales.value(below), scales),
        ~is_exact(high, scales.value(above), scales),
    ]
    still = filled & (q == below * scales.parts) & (q == above * scales.parts)
    groups, moving = layout.series, filled
    if writer.modelled:
        resting = write_rest(q, still, layout, writer)
        groups, moving = (2 * layout.series + resting, filled & ~resting) if resting.any() else (groups, filled)
    part, parts = layout.series[moving], scales.parts[moving]
    q, below, above = q[moving], below[moving], above[moving]
    writer.put(Plan(Id.VALUE, q, part, bytes_windows=BYTES_VALUE_WINDOWS, model_windows=VALUE_WINDOWS))
    writer.put(Plan(Id.LOW, q // parts - below, part, _fraction(q, parts)))
    writer.put(Plan(Id.HIGH, above + -q // parts, part, _fraction(-q, parts)))
    wide = moving.copy()
    wide[moving] = _wide(q, below, above, parts)
    with np.errstate(all="ignore"):
        code = np.rint(STD_PARTS * np.log2(std))
        no_code = ~(np.isfinite(code) & (np.abs(np.exp2(code / STD_PARTS) - std) <= 0.022 * std))
    code = fill_forward(np.where(no_code, 0.0, code).astype(np.int64), no_code)[wide]
    offsets = _std_offsets(q, below, above, parts, _unit_logs(steps_of)[part])[wide[moving]]
    writer.put(Plan(Id.STD, code, layout.series[wide], offsets, bytes_offsets=True))
    gaps = ~filled & np.isnan(mean) & np.isnan(low) & np.isnan(high) & np.isnan(std)
    bad.append(~((wide & ~no_code) | (filled & ~wide & (std == 0))))
    values = zip(bad, (mean, low, high, std), strict=True)
    return [_patch((wrong | ~filled) & ~gaps, column) for wrong, column in values], groups


def _write_scores(score: FloatArray, scored: npt.NDArray[np.bool_], groups: IntArray, writer: Writer) -> _Patch:
    if not scored.any():
        return _patch(scored, score)
    if not scored.all():
        writer.put_bytes(Id.SCORED, write_runs(scored))
    with np.errstate(all="ignore"):
        code = np.rint(SCORE_PARTS * np.log2(1 + score))
        odd = scored & ~((score >= 0) & (np.abs(np.exp2(code / SCORE_PARTS) - 1 - score) <= 0.011 * (1 + score)))
    code = fill_forward(np.where(odd | ~scored, 0.0, code).astype(np.int64), odd | ~scored)[scored]
    plan = Plan(Id.SCORE, code, groups[scored], bytes_windows=BYTES_SCORE_WINDOWS, model_windows=SCORE_WINDOWS, few=0)
    writer.put(plan, needed=True)
    return _patch(odd, score)


def _patch(wrong: npt.NDArray[np.bool_], values: FloatArray) -> _Patch:
    wrong_rows = np.flatnonzero(wrong)
    return wrong_rows, values[wrong_rows]


def read(cursor: Cursor, entries: Directory, counts: IntArray, open_columns: Callable[[Cursor], Reader]) -> Aggregates:
    """Read aggregates written by :func:`write`; raises DecodeError."""
    times = Times(cursor, counts)
    usual_width, usual_count = cursor.signed("width"), cursor.signed("count")
    reader = open_columns(cursor)
    series = np.repeat(np.arange(len(counts)), counts)
    start = times.take(reader)
    width = reader.take(Id.WIDTH, series) + np.int64(usual_width)
    count = reader.take(Id.COUNT, series) + np.int64(usual_count)
    resting, rest = read_rest(reader, series)
    if (resting & (count == 0)).any():
        raise FormatError("rest: of a row without readings")
    columns = _read_values(reader, entries, series, (count != 0) & ~resting)
    _fill_rest(columns, Scales(entries.steps, series[resting]), resting, rest)
    columns.append(_read_scores(reader, 2 * series + resting if resting.any() else series))
    patches = reader.take_bytes(Id.PATCHES)
    if patches is not None:
        read_patches(patches, columns)
    columns += [_read_optional(column, len(series), reader) for column in _OPTIONAL]  # type: ignore[misc]  # integers
    order = in_time_order(start, series)
    whole = (column[order] for column in (series, start, width, count))
    return Aggregates(entries.series, *whole, *(column[order] for column in columns))  # type: ignore[arg-type]  # in order


def _read_values(
    reader: Reader, entries: Directory, series: IntArray, filled: npt.NDArray[np.bool_]
) -> list[FloatArray]:
    rows = part = series[filled]
    scales = Scales(entries.steps, rows)
    parts = scales.parts
    q = reader.take(Id.VALUE, part)
    below = q // parts - reader.take(Id.LOW, part, _fraction(q, parts))
    above = reader.take(Id.HIGH, part, _fraction(-q, parts)) - -q // parts
    wide = _wide(q, below, above, parts)
    offsets = _std_offsets(q, below, above, parts, _unit_logs(entries.steps)[rows])[wide]
    code = reader.take(Id.STD, part[wide], offsets, bytes_offsets=True)
    std = np.zeros(len(q))
    with np.errstate(over="ignore"):
        std[wide] = np.exp2(code / STD_PARTS)
    columns = [np.full(len(series), np.nan) for _ in range(4)]
    found = (scales.value(q, mean=True), scales.value(below), scales.value(above), std)
    for column, values in zip(columns, found, strict=True):
        column[filled] = values
    return columns


def _fill_rest(columns: list[FloatArray], scales: Scales, resting: npt.NDArray[np.bool_], rest: IntArray) -> None:
    value = scales.value(rest // scales.parts)
    for column, values in zip(columns, (scales.value(rest, mean=True), value, value, 0.0), strict=True):
        column[resting] = values


def _read_scores(reader: Reader, groups: IntArray) -> FloatArray:
    score = np.full(len(groups), np.nan)
    runs = reader.take_bytes(Id.SCORED)
    if not reader.has(Id.SCORE):
        if runs is not None:
            raise FormatError("scored: without scores")
        return score
    scored = np.ones(len(groups), bool) if runs is None else read_runs(runs, len(groups))
    if runs is not None and runs.left:
        raise FormatError(f"scored: {runs.left} bytes are left")
    code = reader.take(Id.SCORE, groups[scored])
    if len(code) and int(code.min()) < 0:
        raise FormatError("score: below 0")
    with np.errstate(over="ignore"):
        score[scored] = np.exp2(code / SCORE_PARTS) - 1
    return score


def _close_mean(mean: FloatArray, back: FloatArray, scales: Scales) -> npt.NDArray[np.bool_]:
    half = 0.5000001 * scales.multiplier / (scales.divisor * scales.parts)
    with np.errstate(all="ignore"):
        close: npt.NDArray[np.bool_] = scales.bits | (np.abs(mean - back) <= half)
    return close


def _fraction(q: IntArray, parts: IntArray) -> IntArray:
    """Return the offset of a distance that comes from rounding the mean down."""
    return -((q % parts << FRACTION) // parts)


def _wide(q: IntArray, below: IntArray, above: IntArray, parts: IntArray) -> npt.NDArray[np.bool_]:
    """Return the mask of rows whose mean lies strictly between minimum and maximum; elsewhere the deviation is 0."""
    return (q - below * parts > 0) & (above * parts - q > 0)


def _std_offsets(q: IntArray, below: IntArray, above: IntArray, parts: IntArray, unit: IntArray) -> IntArray:
    """Return the upper bound of the deviation, in sixteenths of an octave with eight fractional bits."""
    down, up = q - below * parts, above * parts - q
    offsets = ((_log(down) + _log(up)) >> 1) + unit
    return np.where(unit == _NO_UNIT, 0, offsets)


_NO_UNIT = np.int64(-(2**40))


def _unit_logs(steps_of: Sequence[Step]) -> IntArray:
    """Return the logarithm of each mean's unit in 1/4096 octave; _NO_UNIT for series stored as bits."""
    return np.array([_NO_UNIT if step.form is Form.BITS else _unit_log(step) for step in steps_of], np.int64)


@lru_cache(maxsize=4096)
def _unit_log(step: Step) -> int:
    found = decimal(step.size)
    if found is None:
        exponent = int(np.frexp(step.size)[1]) - 1
        return (exponent << _LOG_BITS) - (1 + step.finer) * _LOG_TEN
    mantissa, tens = found
    return int(_log(np.array([mantissa]))[0]) + (tens - 1 - step.finer) * _LOG_TEN


def _logs() -> IntArray:
    """Return the logarithms of 1 + i / 256 in 1/4096 octave, by squaring: the same integers on every platform."""
    out = []
    for i in range(256):
        y, log = (256 + i) << 22, 0
        for _ in range(_LOG_BITS):
            y = y * y >> 30
            log = log << 1 | y >> 31
            y >>= y >> 31
        out.append(log)
    return np.array(out, np.int64)


_LOGS = _logs()


def _log(values: IntArray) -> IntArray:
    """Return the logarithm in 1/4096 octave from the leading nine bits (0 for values that are not above 0)."""
    values = np.maximum(values, 1)
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
    bits -= values >> bits == 0  # a double rounds a value just below a power of two up to it
    leading = np.where(bits >= 8, values >> np.maximum(bits - 8, 0), values << np.maximum(8 - bits, 0))
    logs: IntArray = (bits << _LOG_BITS) + _LOGS[leading & 255]
    return logs
