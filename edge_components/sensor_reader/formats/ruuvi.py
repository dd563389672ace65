"""Advertisements of RuuviTags as a Ruuvi Gateway publishes them: data formats 3 and 5. Pure."""

from __future__ import annotations

import struct
from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, PayloadFormat
from edge_components.sensor_reader.mapping import paths
from edge_components.sensor_reader.mapping.paths import MISSING
from edge_components.sensor_reader.mapping.settings import MappingSettings
from edge_components.sensor_reader.payloads import decode_json

_MARK = bytes.fromhex("ff9904")
"""Manufacturer data of Ruuvi Innovations."""
_FORMAT_5, _FORMAT_3 = struct.Struct(">hHHhhhH"), struct.Struct(">BbBHhhhH")


class RuuviFormat(PayloadFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: MappingSettings) -> None:
        self._time = paths.parse(settings.time)

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the measurements of one advertisement; raises RejectedError."""
        body = decode_json(payload)
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, str):
            raise RejectedError("rejected_ruuvi", f"the payload has no data: {payload[:60]!r}")
        try:
            content = bytes.fromhex(data[:512])
        except ValueError as error:
            raise RejectedError("rejected_ruuvi", f"the data are not hexadecimal: {data[:40]!r}") from error
        at = content.find(_MARK)
        fields = _fields(content[at + len(_MARK) :]) if at >= 0 else None
        if fields is None:
            raise RejectedError("rejected_ruuvi", f"not an advertisement in format 3 or 5: {data[:60]!r}")
        time = paths.get(body, self._time) if self._time else None
        for name, (value, unit) in fields.items():
            into.add(index, name, value, None if time is MISSING else time, None, unit)
        if isinstance(body.get("rssi"), int | float):
            into.add(index, "rssi", body["rssi"], None if time is MISSING else time, None, "dBm")


def _fields(data: bytes) -> dict[str, tuple[Any, str]] | None:
    """Return value and unit of each measurement that the tag has; None for another format."""
    if data[:1] == b"\5" and len(data) > _FORMAT_5.size:
        temperature, humidity, pressure, x, y, z, power = _FORMAT_5.unpack_from(data, 1)
        raw: dict[str, tuple[float | None, str]] = {
            "temperature": (None if temperature == -0x8000 else temperature * 0.005, "Cel"),
            "humidity": (None if humidity == 0xFFFF else humidity * 0.0025, "%RH"),
            "pressure": (None if pressure == 0xFFFF else pressure + 50_000, "Pa"),
            **{
                f"acceleration_{axis}": (None if mg == -0x8000 else mg / 1000, "g")
                for axis, mg in zip("xyz", (x, y, z), strict=True)
            },
            "battery": (None if power >> 5 == 0x7FF else (power >> 5) / 1000 + 1.6, "V"),
        }
    elif data[:1] == b"\3" and len(data) > _FORMAT_3.size:
        humidity, whole, hundredths, pressure, x, y, z, millivolts = _FORMAT_3.unpack_from(data, 1)
        sign = -1 if whole < 0 else 1
        raw = {
            "temperature": (sign * ((whole & 0x7F) + hundredths / 100), "Cel"),
            "humidity": (humidity * 0.5, "%RH"),
            "pressure": (pressure + 50_000, "Pa"),
            **_acceleration(x, y, z),
            "battery": (millivolts / 1000, "V"),
        }
    else:
        return None
    return {name: (round(value, 4), unit) for name, (value, unit) in raw.items() if value is not None}


def _acceleration(*axes: int) -> dict[str, tuple[float | None, str]]:
    values = (None if axis == -0x8000 else axis / 1000 for axis in axes)
    return {f"acceleration_{name}": (value, "g") for name, value in zip("xyz", values, strict=True)}


FORMAT = FormatKind(RuuviFormat)
