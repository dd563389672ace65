"""SenML as JSON (RFC 8428): packs of records with base fields and relative times. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings, PayloadFormat, Relative
from edge_components.sensor_reader.payloads import decode_json

_RELATIVE_BELOW = 2**28
"""Seconds below which a time is a distance from now (RFC 8428, section 4.5.3)."""
_MAX_VERSION = 10


class SenmlPack:
    """Resolves the records of one pack; shared by the JSON and the CBOR form."""

    def __init__(self) -> None:
        self._base: dict[str, Any] = {}

    def take(self, record: Any, into: Columns, index: int) -> None:
        """Append the measurement of one record; raises RejectedError."""
        if not isinstance(record, Mapping):
            raise RejectedError("rejected_senml", f"a record is not an object: {repr(record)[:60]}")
        unknown = [key for key in record if isinstance(key, str) and key.endswith("_")]
        if unknown:
            raise RejectedError("rejected_senml", f"the record has {unknown[0][:40]!r}, which must be understood")
        for key in ("bn", "bt", "bu", "bv", "bs", "bver"):
            if key in record:
                self._base[key] = record[key]
        if not any(key in record for key in ("v", "vb", "vs", "vd", "s")):
            return
        if _seconds(self._base.get("bver", 5), "bver") > _MAX_VERSION:
            raise RejectedError("rejected_senml", "the version of the pack is above 10")
        name = f"{_text(self._base.get('bn', ''))}{_text(record.get('n', ''))}"
        if not name:
            raise RejectedError("rejected_senml", "a record without a name")
        unit = record.get("u", self._base.get("bu", ""))
        into.add(index, name, self._value(record), self._time(record), None, unit if isinstance(unit, str) else "")

    def _value(self, record: Mapping[str, Any]) -> Any:
        if "v" in record:
            base = self._base.get("bv", 0)
            value = record["v"]
            return value + base if base and _is_number(value) and _is_number(base) else value
        if "vb" in record:
            return record["vb"]
        if "s" in record:
            base = self._base.get("bs", 0)
            return record["s"] + base if base and _is_number(record["s"]) and _is_number(base) else record["s"]
        return record.get("vs", record.get("vd"))

    def _time(self, record: Mapping[str, Any]) -> Relative | int | None:
        base, own = self._base.get("bt", 0), record.get("t", 0)
        seconds = _seconds(base, "bt") + _seconds(own, "t")
        if not -(2**40) < seconds < 2**40:
            raise RejectedError("rejected_time", f"time {seconds:g} s")
        if seconds == 0:
            return None
        return Relative(round(seconds * 1000)) if seconds < _RELATIVE_BELOW else round(seconds * 1000)


class SenmlJsonFormat(PayloadFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        """All settings apply after parsing."""

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the records of one pack; a bad record is a rejection and affects no other. Raises RejectedError."""
        take_pack(decode_json(payload), into, index)


def take_pack(pack: Any, into: Columns, index: int) -> None:
    """Append the records of a decoded pack; raises RejectedError where it is not a list."""
    if not isinstance(pack, list):
        raise RejectedError("rejected_senml", f"a pack is a list of records: {repr(pack)[:60]}")
    records = SenmlPack()
    for record in pack:
        try:
            records.take(record, into, index)
        except RejectedError as error:
            into.rejections.append((index, error))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seconds(value: Any, key: str) -> float:
    try:
        seconds = float(value) if _is_number(value) else math.nan
    except OverflowError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise RejectedError("rejected_senml", f"{key} is {repr(value)[:40]}, expected a number")
    return seconds


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise RejectedError("rejected_senml", f"a name is {repr(value)[:40]}, expected text")
    return value


FORMAT = FormatKind(SenmlJsonFormat, complete_names=True)
