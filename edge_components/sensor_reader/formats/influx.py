"""InfluxDB line protocol: ``measurement,tag=value field=1.5,other=2i 1700000000000000000``. Pure.

A field's name is the measurement, the tags' values in the order of the tags' keys, and the field, joined by dots.
"""

from __future__ import annotations

import re

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings, PayloadFormat
from edge_components.sensor_reader.formats.plain import text_of

_KEY = r"(?:\\.|[^,= \\])+"
_HEAD = re.compile(rf"((?:\\.|[^, \\])+)((?:,{_KEY}={_KEY})*) +")
_TAG = re.compile(rf",({_KEY})=({_KEY})")
_FIELD = re.compile(rf'({_KEY})=("(?:\\.|[^"\\])*"|[^," ]+)(,|(?= )|\Z)')
_INTEGER = re.compile(r"[+-]?\d{1,20}[iu]\Z")
_TRUE, _FALSE = {"t", "T", "true", "True", "TRUE"}, {"f", "F", "false", "False", "FALSE"}


class InfluxFormat(PayloadFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        """All settings apply after parsing."""

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the fields of all lines; a bad line is a rejection and affects no other. Raises RejectedError."""
        for line in text_of(payload).splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            try:
                self._line(line.strip(), into, index)
            except RejectedError as error:
                into.rejections.append((index, error))

    @staticmethod
    def _line(line: str, into: Columns, index: int) -> None:
        head = _HEAD.match(line)
        if head is None:
            raise _malformed(line)
        tags = sorted(_TAG.findall(head[2]))
        prefix = ".".join(_plain(one) for one in (head[1], *(value for _key, value in tags)))
        found: list[tuple[str, str]] = []
        at = head.end()
        while True:
            field = _FIELD.match(line, at)
            if field is None:
                raise _malformed(line)
            found.append((field[1], field[2]))
            at = field.end()
            if field[3] != ",":
                break
        rest = line[at:].strip()
        if rest and not re.fullmatch(r"-?\d{1,20}", rest):
            raise _malformed(line)
        time = int(rest) if rest else None
        for key, text in found:
            if text.startswith('"'):
                into.skipped += 1
                continue
            into.add(index, f"{prefix}.{_plain(key)}", _value(text), time)


def _value(text: str) -> bool | int | str:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return int(text[:-1]) if _INTEGER.match(text) else text


def _plain(text: str) -> str:
    return re.sub(r"\\([,= \\])", r"\1", text)


def _malformed(line: str) -> RejectedError:
    return RejectedError("rejected_influx", f"not a line of the InfluxDB line protocol: {line[:80]!r}")


FORMAT = FormatKind(InfluxFormat, complete_names=True)
