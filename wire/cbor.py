"""Decoder of CBOR (RFC 8949), as far as sensor data needs it; the edge and the cloud read SenML with it.

Integers, floats, text, bytes, arrays, maps, booleans, null, decimal fractions (tag 4); other tags are dropped. Lengths
are checked against the bytes that are there, and depth is bounded, so a small input cannot take much memory.
"""

from __future__ import annotations

import struct
from typing import Any

from wire.errors import FormatError

MAX_DEPTH = 16
MAX_ITEMS = 20_000
_BREAK = object()
_DECIMAL_FRACTION = 4


def decode(data: bytes, max_items: int = MAX_ITEMS) -> Any:
    """Return the one item in ``data``, with at most ``max_items`` items in it; raises FormatError."""
    reader = _Reader(data, max_items)
    item = reader.item(0)
    if reader.at != len(data):
        raise _malformed(f"{len(data) - reader.at} bytes after the item")
    return item


class _Reader:
    """A position in the data."""

    def __init__(self, data: bytes, max_items: int) -> None:
        self._data, self.at, self._left = data, 0, max_items

    def item(self, depth: int, *, may_break: bool = False) -> Any:
        """Return the next item."""
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise _malformed("nested too deep, or too many items")
        first = self._take(1)[0]
        major, low = first >> 5, first & 31
        if major == 7:
            return self._simple(low, may_break=may_break)
        length = self._length(low)
        if major <= 1:
            if length is None:
                raise _malformed("an integer of indefinite length")
            return length if major == 0 else -1 - length
        if major in (2, 3):
            return self._string(major, length, depth)
        if major == 4:
            return self._array(length, depth)
        if major == 5:
            return self._map(length, depth)
        if length is None:
            raise _malformed("a tag of indefinite length")
        return self._tagged(length, depth)

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self.at:
            raise _malformed(f"ends after {len(self._data)} bytes")
        piece = self._data[self.at : self.at + count]
        self.at += count
        return piece

    def _length(self, low: int) -> int | None:
        if low < 24:
            return low
        if low <= 27:
            return int.from_bytes(self._take(1 << (low - 24)), "big")
        if low == 31:
            return None
        raise _malformed("a reserved length")

    def _string(self, major: int, length: int | None, depth: int) -> str | bytes:
        if length is None:
            pieces: list[Any] = []
            while (piece := self.item(depth + 1, may_break=True)) is not _BREAK:
                if not isinstance(piece, str if major == 3 else bytes):
                    raise _malformed("a piece of another type in a string")
                pieces.append(piece)
            return "".join(pieces) if major == 3 else b"".join(pieces)
        content = self._take(length)
        try:
            return content.decode() if major == 3 else content
        except UnicodeDecodeError as error:
            raise _malformed("text that is not UTF-8") from error

    def _array(self, length: int | None, depth: int) -> list[Any]:
        items: list[Any] = []
        while length is None or len(items) < length:
            item = self.item(depth + 1, may_break=length is None)
            if item is _BREAK:
                break
            items.append(item)
        return items

    def _map(self, length: int | None, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        count = 0
        while length is None or count < length:
            key = self.item(depth + 1, may_break=length is None)
            if key is _BREAK:
                break
            if not isinstance(key, int | str):
                raise _malformed("a key that is neither a number nor text")
            found[key] = self.item(depth + 1)
            count += 1
        return found

    def _tagged(self, tag: int, depth: int) -> Any:
        content = self.item(depth + 1)
        if tag != _DECIMAL_FRACTION:
            return content
        pair = content if isinstance(content, list) else []
        if len(pair) != 2 or not all(isinstance(one, int) and abs(one) < 2**63 for one in pair) or abs(pair[0]) > 300:
            raise _malformed("a decimal fraction")
        return float(f"{pair[1]}e{pair[0]}")

    def _simple(self, low: int, *, may_break: bool) -> Any:
        if low == 31 and may_break:
            return _BREAK
        if low in (20, 21):
            return low == 21
        if low in (22, 23):
            return None
        formats = {25: ">e", 26: ">f", 27: ">d"}
        if low in formats:
            return struct.unpack(formats[low], self._take(struct.calcsize(formats[low])))[0]
        raise _malformed(f"a simple value {low}")


def _malformed(text: str) -> FormatError:
    return FormatError(f"not CBOR: {text}")
