"""Variable-length integers (LEB128, as in DWARF and Protocol Buffers) in columns; :mod:`wire.cursor` has single ones.

Signed integers are zigzag-folded first (0, -1, 1, -2 become 0, 1, 2, 3), so that small magnitudes stay short.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wire import cursor
from wire.cursor import MAX_VARINT_BYTES as MAX_VARINT_BYTES
from wire.cursor import number as number
from wire.cursor import numbers as numbers
from wire.cursor import signed as signed
from wire.errors import FormatError

Signed = npt.NDArray[np.int64]
Unsigned = npt.NDArray[np.uint64]
_SHIFTS = 7 * np.arange(MAX_VARINT_BYTES, dtype=np.uint64)


def fold(values: Signed) -> Unsigned:
    """Return signed numbers zigzag-folded to unsigned ones."""
    return ((values << 1) ^ (values >> 63)).view(np.uint64)


def unfold(values: Unsigned) -> Signed:
    """Return the signed numbers from :func:`fold`."""
    return ((values >> np.uint64(1)) ^ (~(values & np.uint64(1)) + np.uint64(1))).view(np.int64)


def pack(values: Unsigned) -> bytes:
    """Return a column of unsigned numbers as bytes."""
    if not len(values):
        return b""
    widest = (int(values.max()).bit_length() + 6) // 7
    if widest <= 1:
        return values.astype(np.uint8).tobytes()
    if widest <= 4:
        values = values.astype(np.uint32)
    left = values[:, None] >> _SHIFTS[:widest].astype(values.dtype)
    digits = (left & values.dtype.type(127)).astype(np.uint8) | ((left > 127).view(np.uint8) << np.uint8(7))
    used = left > 0
    used[:, 0] = True
    return digits[used].tobytes()


def pack_signed(values: Signed) -> bytes:
    """Return a column of signed numbers as bytes."""
    return pack(fold(values))


class Cursor(cursor.Cursor):
    """Forward reader of bytes, numbers and columns of numbers."""

    def column(self, count: int, field: str) -> Unsigned:
        """Return the next ``count`` unsigned numbers."""
        if count > self.left:
            raise FormatError(f"{field}: {count} numbers at offset {self.at}, {self.left} bytes are left")
        raw = np.frombuffer(self.data, np.uint8, min(self.left, MAX_VARINT_BYTES * count), self.at)
        if count and raw[:count].max() < 128:
            self.at += count
            return raw[:count].astype(np.uint64)
        ends = np.flatnonzero(raw < 128)[:count]
        if len(ends) < count:
            raise FormatError(f"{field}: {len(ends)} of {count} numbers at offset {self.at}")
        return self._gather(raw, ends, field)

    def _gather(self, raw: npt.NDArray[Any], ends: npt.NDArray[np.int64], field: str) -> Unsigned:
        if not len(ends):
            return np.zeros(0, np.uint64)
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts + 1
        widest = int(lengths.max())
        if widest > MAX_VARINT_BYTES or (
            widest == MAX_VARINT_BYTES and int(raw[ends[lengths == MAX_VARINT_BYTES]].max()) > 1
        ):
            raise FormatError(f"{field}: a number of more than 64 bits at offset {self.at}")
        values: Unsigned = (raw[starts] & 127).astype(np.uint64)
        for at in range(1, widest):
            has = lengths > at
            values[has] |= (raw[starts[has] + at] & 127).astype(np.uint64) << np.uint64(7 * at)
        self.at += int(ends[-1]) + 1
        return values

    def signed_column(self, count: int, field: str) -> Signed:
        """Return the next ``count`` signed numbers."""
        return unfold(self.column(count, field))


def most_common(values: Signed) -> int:
    """Return the most frequent value (the smallest on a tie, 0 for an empty column)."""
    if not len(values):
        return 0
    if (values == values[0]).all():
        return int(values[0])
    found, often = np.unique(values, return_counts=True)
    return int(found[np.argmax(often)])
