"""JSON of Dragino's decoders: as the format json, with the stored readings of the field ``DATALOG``. Pure.

``DATALOG`` is text with a bracket for each stored reading (``[21.5,55.1,2023-11-14 22:13:20],...``). Its columns depend
on the model, which the field ``Node_type`` names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings
from edge_components.sensor_reader.formats.json import JsonFormat

LOG = "DATALOG"
TIME = "time"
"""The column with the event time; a column with an empty name is skipped."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "LHT65N": ("Ext_value", "TempC_SHT", "Hum_SHT", TIME),
    "LSN50-S31": ("TempC_SHT31", "Hum_SHT31", TIME),
    "S31-LB": ("TempC_SHT31", "Hum_SHT31", "", "", TIME),
}
"""Columns by ``Node_type``. The external sensor of an LHT65N is a probe of any kind, which its stored readings omit."""
MAX_RECORDS = 1_000
_RECORD = re.compile(r"\[([^\[\]]*)\]")
_NO_RECORD = "1970-"
"""Begin of the time of a record of zeros, which a device sends when it has no stored reading."""


class DraginoFormat(JsonFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        super().__init__(settings)
        self._flat = self._element_key = None
        self._columns = settings.columns
        if self._columns and TIME not in self._columns:
            raise ValueError(f"dragino: columns has no {TIME!r}: {', '.join(self._columns)[:80]}")

    def _element(self, scopes: Sequence[Any], each: str, index: int, into: Columns) -> None:
        super()._element(scopes, each, index, into)
        log = scopes[0].get(LOG) if isinstance(scopes[0], dict) else None
        if isinstance(log, str) and not self._settings.rule(LOG).ignore:
            self._records(log, scopes, each, index, into)

    def _records(self, log: str, scopes: Sequence[Any], each: str, index: int, into: Columns) -> None:
        """Append the values of each stored reading; a bad one is a rejection and affects no other."""
        model = scopes[0].get("Node_type")
        columns = self._columns or (COLUMNS.get(model, ()) if isinstance(model, str) else ())
        if not columns:
            text = f"the columns of {LOG} of the model {str(model)[:40]!r} are not known: set columns, or ignore {LOG}"
            into.rejections.append((index, RejectedError("rejected_value", f"{text}: {log[:80]!r}")))
            return
        for count, record in enumerate(_RECORD.findall(log)):
            cells = [cell.strip() for cell in record.split(",")]
            if count >= MAX_RECORDS or len(cells) != len(columns):
                expected = f"{len(columns)} values in each of at most {MAX_RECORDS} records"
                text = f"{LOG} has {len(cells)} values in record {count + 1}, expected {expected}: {record[:80]!r}"
                into.rejections.append((index, RejectedError("rejected_value", text)))
                if count >= MAX_RECORDS:
                    return
                continue
            time = cells[columns.index(TIME)]
            if time.startswith(_NO_RECORD):
                into.skipped += len(cells) - 1
                continue
            for name, cell in zip(columns, cells, strict=True):
                if name and name != TIME:
                    into.add(index, self._field(f"{each}.{name}" if each else name, each, scopes), cell, time)


FORMAT = FormatKind(DraginoFormat)
