"""Conversion of readings to columns of integers and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wire.column_reader import Reader
from wire.column_writer import Plan, Writer
from wire.columns import Id
from wire.directory import Directory
from wire.errors import FormatError
from wire.model import Readings
from wire.model_coder.prediction import BETWEEN
from wire.quantization import Scales, Step, choose_all
from wire.rows import (
    Layout,
    Times,
    fill_forward,
    in_time_order,
    is_exact,
    read_patches,
    read_rest,
    write_patches,
    write_rest,
    write_times,
)
from wire.varint import Cursor

VALUE_WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 66, 68, 72)
MODEL_VALUE_WINDOWS = (*VALUE_WINDOWS, *(BETWEEN + 8 * slow + share for slow in (1, 3, 5, 7) for share in range(1, 7)))
BYTES_VALUE_WINDOWS = (1, 2, 4, 8, 16, 72)


def steps(rows: Readings, layout: Layout) -> tuple[Step, ...]:
    """Return the step of each series."""
    resolutions = [series.resolution for series in rows.series]
    return choose_all(resolutions, layout.series, [rows.value[layout.order]])


def write(rows: Readings, layout: Layout, steps_of: Sequence[Step], writer: Writer) -> bytes:
    """Write all columns and return the bytes that precede them."""
    head = write_times(layout, writer)
    values = rows.value[layout.order]
    scales = Scales(steps_of, layout.series)
    whole, fits = scales.whole(values)
    wrong = ~(fits & is_exact(values, scales.value(whole), scales))
    whole = fill_forward(whole, wrong)
    moving = np.ones(len(whole), bool)
    if writer.modelled:
        moving = ~write_rest(whole, np.ones(len(whole), bool), layout, writer)
    writer.put(
        Plan(
            Id.VALUE,
            whole[moving],
            layout.series[moving],
            bytes_windows=BYTES_VALUE_WINDOWS,
            model_windows=MODEL_VALUE_WINDOWS,
        )
    )
    writer.put(Plan(Id.QUALITY, rows.quality[layout.order].astype(np.int64), layout.series, few=0))
    if wrong.any():
        wrong_rows = np.flatnonzero(wrong)
        writer.put_bytes(Id.PATCHES, write_patches([(wrong_rows, values[wrong_rows])]))
    return head


def read(cursor: Cursor, entries: Directory, counts: np.ndarray, open_columns: Callable[[Cursor], Reader]) -> Readings:  # type: ignore[type-arg]
    """Read readings written by :func:`write`; raises DecodeError."""
    times = Times(cursor, counts)
    reader = open_columns(cursor)
    series = np.repeat(np.arange(len(counts)), counts)
    time_ms = times.take(reader)
    resting, rest = read_rest(reader, series)
    whole = np.empty(len(series), np.int64)
    whole[resting] = rest
    whole[~resting] = reader.take(Id.VALUE, series[~resting])
    value = Scales(entries.steps, series).value(whole)
    quality = reader.take(Id.QUALITY, series)
    if len(quality) and not 0 <= int(quality.min()) <= int(quality.max()) <= 255:
        raise FormatError("quality: outside 0 to 255")
    patches = reader.take_bytes(Id.PATCHES)
    if patches is not None:
        read_patches(patches, [value])
    order = in_time_order(time_ms, series)
    return Readings(entries.series, series[order], time_ms[order], value[order], quality[order].astype(np.uint8))
