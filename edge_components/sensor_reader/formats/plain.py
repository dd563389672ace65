"""Plain text: one value, or several between spaces, commas or semicolons, also with units. Pure."""

from __future__ import annotations

import codecs
import re

from edge_components.sensor_reader.errors import EmptyPayloadError, RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings, PayloadFormat


class PlainFormat(PayloadFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        self._columns = settings.columns
        self._split = re.compile(r"[;\s]+" if settings.decimal_comma else r"[;,\s]+")

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the values of one payload; raises RejectedError."""
        text = text_of(payload)
        if not self._columns:
            into.add(index, "", text)
            return
        parts = self._split.split(text)
        if len(parts) != len(self._columns):
            raise RejectedError("rejected_value", f"{len(parts)} values, expected {len(self._columns)}: {text[:60]!r}")
        for name, part in zip(self._columns, parts, strict=True):
            if name:
                into.add(index, name, part)


def text_of(payload: bytes) -> str:
    """Return a payload as text, without a byte order mark, NULs at the end and white space around it."""
    content = payload.removeprefix(codecs.BOM_UTF8).rstrip(b"\0").strip()
    if not content:
        raise EmptyPayloadError
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RejectedError("rejected_text", f"not UTF-8: {payload[:40]!r}") from error


FORMAT = FormatKind(PlainFormat)
