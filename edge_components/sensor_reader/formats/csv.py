"""Delimited text: lines of columns, named by a header line or by the configuration. Pure."""

from __future__ import annotations

import csv
import io

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings, PayloadFormat
from edge_components.sensor_reader.formats.plain import text_of
from edge_components.sensor_reader.mapping.values import PLAIN, from_text

MAX_COLUMNS = 1_000
_SEPARATORS = ";\t,|"


class CsvFormat(PayloadFormat):
    """Implementation of :class:`edge_components.sensor_reader.formats.PayloadFormat` for delimited text.

    Without the setting ``columns`` the first line of a payload is its header.
    """

    def __init__(self, settings: FormatSettings) -> None:
        self._settings = settings

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the values of one payload; a bad line is a rejection and affects no other. Raises RejectedError."""
        text = text_of(payload)
        names = list(self._settings.columns)
        separator = self._settings.separator or self._found(text.partition("\n")[0])
        try:
            rows = list(csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True))
        except csv.Error as error:
            raise RejectedError("rejected_csv", f"{error}: {text[:60]!r}") from error
        if not names:
            if len(rows) < 2:
                raise RejectedError("rejected_csv", f"a header and no line, and columns is not set: {text[:60]!r}")
            names, rows = [name.strip() for name in rows[0]], rows[1:]
        elif rows and [name.strip() for name in rows[0]] == names:
            rows = rows[1:]
        if len(names) > MAX_COLUMNS:
            raise RejectedError("rejected_csv", f"{len(names)} columns, at most {MAX_COLUMNS} are read")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                text = f"a line of {len(row)} columns, expected {len(names)}: {separator.join(row)[:60]!r}"
                into.rejections.append((index, RejectedError("rejected_csv", text)))
                continue
            self._row(dict(zip(names, row, strict=True)), into, index)

    def _row(self, cells: dict[str, str], into: Columns, index: int) -> None:
        settings = self._settings
        times = [cells.pop(key, "").strip() for key in settings.time]
        time, quality = next(filter(None, times), None), cells.pop(settings.quality, "").strip() or None
        unit = cells.pop(settings.unit, "").strip() if settings.unit else ""
        for name, cell in cells.items():
            rule = settings.rule(name)
            if not name or not cell.strip() or (not settings.columns and from_text(cell, rule or PLAIN) is None):
                into.skipped += 1
                continue
            into.add(index, name, cell, time, _quality(quality), unit)

    @staticmethod
    def _found(line: str) -> str:
        """Return the separator that the first line has most of; a decimal comma does not count against others."""
        return max(_SEPARATORS, key=lambda one: (line.count(one) > 0, -_SEPARATORS.index(one)))


def _quality(text: str | None) -> str | int | None:
    return int(text[:10]) if text is not None and text.isdecimal() else text


FORMAT = FormatKind(CsvFormat, complete_names=True)
