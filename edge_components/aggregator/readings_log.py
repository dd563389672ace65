"""Readings of several batches as bytes for the journal, and back, exact to the last bit. Pure, columnar.

The rows of all batches of a commit are put in the order of series and time. Consecutive rows of a series then differ by
a nearly constant interval and a small step of the value, and deflate stores a row in one to two bytes. Values are
integers in the series' own number of decimals, or floats as they are where that is not exact.

Layout, little-endian: u32 each for batches, rows and runs (a run is the rows of one series), i64 lowest time, then a
deflate stream of columns. Each column is one byte for the size of an item, and the bytes of equal significance
together.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_components.aggregator.cleaning import Columns
from wire.model import FloatArray, IntArray

_HEAD = struct.Struct("<IIIq")
_FLOAT = 255
_DECIMALS = 7
_EXACT = 2.0**53
_ITEM_SIZES = (1, 2, 4, 8)
_Unsigned = npt.NDArray[np.uint64]


class ReadingsPacker:
    """Encoder of readings, with a cache of the number of decimals of each series."""

    def __init__(self) -> None:
        self._decimals = np.zeros(0, np.uint8)

    def pack(self, batches: Sequence[Columns]) -> bytes:
        """Return the rows of these batches as bytes."""
        series_id, time_ms, value, quality = (
            np.concatenate([getattr(one, name) for one in batches])
            for name in ("series_id", "time_ms", "value", "quality")
        )
        batch = np.repeat(np.arange(len(batches)), [len(one) for one in batches])
        rows = len(series_id)
        if not rows:
            return _HEAD.pack(len(batches), 0, 0, 0)
        order = np.lexsort((time_ms, batch, series_id))
        series_id, time_ms, value, quality, batch = (
            column[order] for column in (series_id, time_ms, value, quality, batch)
        )
        first = np.flatnonzero(np.append(True, series_id[1:] != series_id[:-1]))
        count = np.diff(np.append(first, rows))
        decimals = self._decimals_of(series_id[first], first, count, value)
        lowest = int(time_ms.min())
        interval, deviation = _intervals(time_ms, first, count)
        columns = [
            _narrowed(_deltas(series_id[first])),
            _narrowed((count - 1).view(np.uint64)),
            _narrowed(decimals.astype(np.uint64)),
            _narrowed((time_ms[first] - lowest).view(np.uint64)),
            _narrowed(interval),
            _narrowed(deviation),
            _narrowed(_run_deltas(batch, first)),
            _narrowed(quality.astype(np.uint64)),
            _narrowed(_run_deltas(_scaled(value, np.repeat(decimals, count)), first)),
        ]
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
        stream = deflater.compress(b"".join(columns)) + deflater.flush()
        return _HEAD.pack(len(batches), rows, len(first), lowest) + stream

    def _decimals_of(self, ids: IntArray, first: npt.NDArray[np.intp], count: IntArray, value: FloatArray) -> IntArray:
        """Return for each run the decimals in which its values are exact integers, or _FLOAT."""
        if int(ids.max()) >= len(self._decimals):
            grown = np.zeros(int(ids.max()) + 256, np.uint8)
            grown[: len(self._decimals)] = self._decimals
            self._decimals = grown
        decimals = self._decimals[ids].astype(np.int64)
        decimals[decimals == _FLOAT] = 0
        wrong = ~_exact(value, decimals, first, count)
        if wrong.any():
            decimals[wrong] = _FLOAT
            for candidate in range(_DECIMALS):
                exact = _exact(value, np.full(len(ids), candidate), first, count)
                decimals[wrong & exact] = candidate
                wrong &= ~exact
                if not wrong.any():
                    break
            self._decimals[ids] = decimals
        return decimals


def unpack(data: bytes) -> list[Columns]:
    """Return the batches given to :meth:`ReadingsPacker.pack`; rows of a batch are ordered by series id, then by time.

    Raises ValueError, struct.error or zlib.error for other bytes.
    """
    batches, rows, runs, lowest = _HEAD.unpack_from(data)
    if not rows:
        nothing = np.zeros(0, np.int64)
        return [Columns(nothing, nothing, np.zeros(0), np.zeros(0, np.uint8))] * batches
    reader = _ColumnReader(zlib.decompress(data[_HEAD.size :], -15))
    run_id = np.cumsum(_signed(reader.column(runs)))
    count = reader.column(runs).astype(np.int64) + 1
    if int(count.sum()) != rows:
        raise ValueError(f"{rows} rows in the head, {int(count.sum())} in the runs")
    first = np.cumsum(count) - count
    decimals = np.repeat(reader.column(runs).astype(np.int64), count)
    start, interval = reader.column(runs).astype(np.int64) + lowest, reader.column(runs)
    step = _signed(reader.column(rows)) + np.repeat(_signed(interval), count)
    step[first] = start
    time_ms = _run_sums(step, first, count)
    batch = _run_sums(_signed(reader.column(rows)), first, count)
    quality = reader.column(rows).astype(np.uint8)
    value = _unscaled(_run_sums(_signed(reader.column(rows)), first, count), decimals)
    series_id = np.repeat(run_id, count)
    order = np.argsort(batch, kind="stable")
    ends = np.searchsorted(batch[order], np.arange(1, batches))
    parts = [np.split(column[order], ends) for column in (series_id, time_ms, value, quality)]
    return [Columns(*columns) for columns in zip(*parts, strict=True)]


class _ColumnReader:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def column(self, count: int) -> _Unsigned:
        size = self._content[self._at]
        if size not in _ITEM_SIZES:
            raise ValueError(f"a column with items of {size} bytes")
        raw = np.frombuffer(self._content, np.uint8, count * size, self._at + 1).reshape(size, count)
        self._at += 1 + count * size
        return np.ascontiguousarray(raw.T).view(f"<u{size}").reshape(count).astype(np.uint64)


def _narrowed(column: _Unsigned) -> bytes:
    """Return a column in the smallest type that holds it, with the bytes of equal significance together."""
    largest = int(column.max())
    size = next(size for size in _ITEM_SIZES if largest < 1 << (8 * size))
    return bytes((size,)) + column.astype(f"<u{size}").view(np.uint8).reshape(len(column), size).T.tobytes()


def _folded(column: IntArray) -> _Unsigned:
    """Return signed numbers as unsigned ones, small where they are close to 0."""
    return ((column << 1) ^ (column >> 63)).view(np.uint64)


def _signed(column: _Unsigned) -> IntArray:
    half, sign = (column >> np.uint64(1)).view(np.int64), (column & np.uint64(1)).view(np.int64)
    signed: IntArray = np.bitwise_xor(half, -sign)
    return signed


def _deltas(column: IntArray) -> _Unsigned:
    return _folded(np.diff(column, prepend=np.int64(0)))


def _run_deltas(column: IntArray, first: npt.NDArray[np.intp]) -> _Unsigned:
    """Return the differences within each run; the first of a run is the number itself."""
    with np.errstate(over="ignore"):
        delta = np.diff(column, prepend=np.int64(0))
    delta[first] = column[first]
    return _folded(delta)


def _run_sums(delta: IntArray, first: npt.NDArray[np.intp], count: IntArray) -> IntArray:
    """Return the sums within each run; arithmetic wraps around, as it did for the differences."""
    total = np.cumsum(delta)
    sums: IntArray = total - np.repeat(total[first] - delta[first], count)
    return sums


def _intervals(time_ms: IntArray, first: npt.NDArray[np.intp], count: IntArray) -> tuple[_Unsigned, _Unsigned]:
    """Return the first interval of each run, and each row's deviation of its interval from that."""
    step = np.diff(time_ms, prepend=np.int64(0))
    second = np.minimum(first + 1, len(step) - 1)
    interval = np.where(count > 1, step[second], 0)
    deviation = step - np.repeat(interval, count)
    deviation[first] = 0
    return _folded(interval), _folded(deviation)


def _exact(
    value: FloatArray, decimals: IntArray, first: npt.NDArray[np.intp], count: IntArray
) -> npt.NDArray[np.bool_]:
    """Return for each run whether all its values are integers of these decimals that give the value back."""
    scale = np.repeat(10.0**decimals, count)
    with np.errstate(over="ignore"):
        scaled = value * scale
    whole = np.rint(scaled)
    good = (whole / scale == value) & (np.abs(scaled) < _EXACT) & ~(np.signbit(value) & (value == 0))
    return np.logical_and.reduceat(good, first)


def _scaled(value: FloatArray, decimals: IntArray) -> IntArray:
    floats = decimals == _FLOAT
    if not floats.any():
        return np.rint(value * 10.0**decimals).astype(np.int64)
    scaled = value.view(np.int64).copy()
    scaled[~floats] = np.rint(value[~floats] * 10.0 ** decimals[~floats]).astype(np.int64)
    return scaled


def _unscaled(scaled: IntArray, decimals: IntArray) -> FloatArray:
    floats = decimals == _FLOAT
    value: FloatArray = scaled / 10.0 ** np.where(floats, 0, decimals)
    value[floats] = scaled[floats].view(np.float64)
    return value
