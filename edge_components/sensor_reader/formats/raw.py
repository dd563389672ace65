"""Raw numbers: binary with a layout of Python's struct. Pure."""

from __future__ import annotations

import struct

from edge_components.sensor_reader.errors import EmptyPayloadError, RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings, PayloadFormat

MAX_VALUES = 1_000


class RawFormat(PayloadFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        layout = settings.layout or ">d"
        if layout[0] not in "@=<>!":
            layout = f">{layout}"
        try:
            self._struct = struct.Struct(layout)
        except struct.error as error:
            raise ValueError(f"layout {settings.layout!r}: {error}") from error
        if self._struct.size > 8 * MAX_VALUES:
            raise ValueError(f"layout {settings.layout!r}: more than {MAX_VALUES} values")
        count = len(self._struct.unpack(bytes(self._struct.size)))
        if count == 0:
            raise ValueError(f"layout {settings.layout!r} has no value")
        names = settings.columns or (("",) if count == 1 else tuple(str(at) for at in range(count)))
        if len(names) != count:
            raise ValueError(f"layout {settings.layout!r} has {count} values, columns names {len(names)}")
        self._names, self._skip_empty = names, bool(settings.columns)

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the values of one payload; raises RejectedError."""
        if not payload:
            raise EmptyPayloadError
        if len(payload) != self._struct.size:
            text = f"{len(payload)} bytes, the layout has {self._struct.size}: {payload[:20]!r}"
            raise RejectedError("rejected_layout", text)
        for name, value in zip(self._names, self._struct.unpack(payload), strict=True):
            if name or not self._skip_empty:
                into.add(index, name, value if isinstance(value, int | float) else int.from_bytes(value, "big"))


FORMAT = FormatKind(RawFormat)
