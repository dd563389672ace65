"""Forward reader of bytes and single numbers as LEB128, without NumPy; :mod:`wire.varint` adds whole columns.

Signed integers are zigzag-folded first (0, -1, 1, -2 become 0, 1, 2, 3), so that small magnitudes stay short.
"""

from __future__ import annotations

from collections.abc import Iterable

from wire.errors import FormatError

MAX_VARINT_BYTES = 10
"""Maximum bytes of a 64-bit number."""


def number(value: int) -> bytes:
    """Return one unsigned number as bytes."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """Return one signed number of 64 bits as bytes."""
    return number(value << 1 if value >= 0 else (-value << 1) - 1)


def numbers(values: Iterable[int]) -> bytes:
    """Return unsigned numbers as bytes."""
    return b"".join(map(number, values))


class Cursor:
    """Forward reader of bytes; every method raises FormatError that names the truncated field."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    @property
    def left(self) -> int:
        """Number of unread bytes."""
        return len(self.data) - self.at

    def take(self, size: int, field: str) -> bytes:
        """Return the next ``size`` bytes."""
        if size > self.left:
            raise FormatError(f"{field}: needs {size} bytes at offset {self.at}, {self.left} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self, field: str) -> int:
        """Return the next byte."""
        return self.take(1, field)[0]

    def number(self, field: str) -> int:
        """Return the next unsigned number of at most 64 bits."""
        value = 0
        for at in range(MAX_VARINT_BYTES):
            digit = self.byte(field)
            value |= (digit & 127) << (7 * at)
            if digit < 128:
                break
        else:
            value = 1 << 64
        if value >> 64:
            raise FormatError(f"{field}: a number of more than 64 bits before offset {self.at}")
        return value

    def signed(self, field: str) -> int:
        """Return the next signed number of 64 bits."""
        value = self.number(field)
        return (value >> 1) ^ -(value & 1)

    def text(self, size: int, field: str) -> str:
        """Return the next ``size`` bytes as text."""
        try:
            return self.take(size, field).decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"{field}: not UTF-8") from error

    def rest(self) -> bytes:
        """Return all unread bytes."""
        return self.take(self.left, "rest")

    def numbers(self, count: int, field: str) -> list[int]:
        """Return the next ``count`` unsigned numbers."""
        if count > self.left:
            raise FormatError(f"{field}: {count} numbers at offset {self.at}, {self.left} bytes are left")
        short = self.data[self.at : self.at + count]
        if not count or max(short) < 128:
            self.at += count
            return list(short)
        return [self.number(field) for _ in range(count)]

    def signed_numbers(self, count: int, field: str) -> list[int]:
        """Return the next ``count`` signed numbers."""
        return [(value >> 1) ^ -(value & 1) for value in self.numbers(count, field)]
