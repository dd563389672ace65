"""Advertisements of Ruuvi sensors as a Ruuvi Gateway publishes them: data formats 3, 5, 6 and E1, or decoded. Pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings, PayloadFormat
from edge_components.sensor_reader.mapping import paths
from edge_components.sensor_reader.mapping.paths import MISSING
from edge_components.sensor_reader.payloads import decode_json

_MARK = bytes.fromhex("ff9904")
"""Manufacturer data of Ruuvi Innovations."""
_FORMAT_3 = struct.Struct(">BbBHhhhH")
_FORMAT_5 = struct.Struct(">hHHhhhHB")
_FORMAT_6 = struct.Struct(">hHHHHBBBxxB")
_FORMAT_E1 = struct.Struct(">hHHHHHHHBB3s6xB")
_LUMINOSITY_STEP = math.log(65_536) / 254
"""The natural logarithm of the step between two codes of the luminosity in format 6."""
_DECODED = {
    "temperature": ("temperature", "Cel"),
    "humidity": ("humidity", "%RH"),
    "pressure": ("pressure", "Pa"),
    "accelX": ("acceleration_x", "g"),
    "accelY": ("acceleration_y", "g"),
    "accelZ": ("acceleration_z", "g"),
    "voltage": ("battery", "V"),
    "movementCounter": ("movements", ""),
}
"""Name and unit of the values that a gateway decodes itself."""
_MAX_EXTENDED = 10_000

Fields = dict[str, tuple[float | None, str]]
"""Value and unit by name; None for a value that the sensor does not have."""


class RuuviFormat(PayloadFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        self._times = [paths.parse(text) for text in settings.time]
        self._extended: set[bytes] = set()
        """Topics of sensors that send format E1, whose advertisements in format 6 repeat a part of it."""

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the measurements of one advertisement; raises RejectedError."""
        body = decode_json(payload)
        if not isinstance(body, dict):
            raise RejectedError("rejected_ruuvi", f"the payload is not an object: {payload[:60]!r}")
        content = _content(body.get("data"))
        if self._repeats(topic, content):
            into.skipped += 1
            return
        fields = (_fields(content) if content else None) or _decoded(body)
        if not fields:
            raise RejectedError("rejected_ruuvi", f"neither an advertisement of Ruuvi nor decoded: {payload[:60]!r}")
        found = (paths.get(body, path) for path in self._times)
        time = next((one for one in found if one is not MISSING), None)
        for name, (value, unit) in fields.items():
            if value is not None:
                into.add(index, name, round(value, 4), time, None, unit)
        if isinstance(body.get("rssi"), int | float):
            into.add(index, "rssi", body["rssi"], time, None, "dBm")

    def _repeats(self, topic: bytes, content: bytes) -> bool:
        """Return whether an advertisement repeats what its sensor sends in more detail."""
        if content[:1] == b"\xe1":
            if len(self._extended) >= _MAX_EXTENDED:
                self._extended.clear()
            self._extended.add(topic)
        return content[:1] == b"\6" and topic in self._extended


def _content(data: Any) -> bytes:
    """Return an advertisement from its data format on, nothing for those of other makers; raises RejectedError."""
    if not isinstance(data, str):
        return b""
    try:
        content = bytes.fromhex(data[:512])
    except ValueError as error:
        raise RejectedError("rejected_ruuvi", f"the data are not hexadecimal: {data[:40]!r}") from error
    at = content.find(_MARK)
    return content[at + len(_MARK) :] if at >= 0 else b""


def _fields(data: bytes) -> Fields | None:
    """Return the values of an advertisement, None for one of another format."""
    kind, size = data[0], len(data) - 1
    if kind == 5 and size >= _FORMAT_5.size:
        return _format_5(data)
    if kind == 3 and size >= _FORMAT_3.size:
        return _format_3(data)
    if kind == 6 and size >= _FORMAT_6.size:
        return _format_6(data)
    if kind == 0xE1 and size >= _FORMAT_E1.size:
        return _format_e1(data)
    return None


def _decoded(body: Mapping[str, Any]) -> Fields:
    """Return the values of an advertisement that the gateway has decoded."""
    found: Fields = {}
    for key, (name, unit) in _DECODED.items():
        value = body.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9:
            found[name] = value, unit
    return found


def _format_3(data: bytes) -> Fields:
    humidity, whole, hundredths, pressure, x, y, z, millivolts = _FORMAT_3.unpack_from(data, 1)
    sign = -1 if whole < 0 else 1
    return {
        "temperature": (sign * ((whole & 0x7F) + hundredths / 100), "Cel"),
        "humidity": (humidity * 0.5, "%RH"),
        "pressure": (pressure + 50_000, "Pa"),
        **_acceleration(x, y, z),
        "battery": (millivolts / 1000, "V"),
    }


def _format_5(data: bytes) -> Fields:
    temperature, humidity, pressure, x, y, z, power, movements = _FORMAT_5.unpack_from(data, 1)
    return {
        **_climate(temperature, humidity, pressure),
        **_acceleration(x, y, z),
        "battery": (None if power >> 5 == 0x7FF else (power >> 5) / 1000 + 1.6, "V"),
        "movements": (None if movements == 0xFF else movements, ""),
    }


def _format_6(data: bytes) -> Fields:
    temperature, humidity, pressure, pm2_5, co2, voc, nox, luminosity, flags = _FORMAT_6.unpack_from(data, 1)
    return {
        **_climate(temperature, humidity, pressure),
        "pm2_5": (_known(pm2_5, 0xFFFF, 0.1), "ug/m3"),
        **_gases(co2, voc, nox, flags),
        "luminosity": (None if luminosity == 0xFF else math.exp(luminosity * _LUMINOSITY_STEP) - 1, "lx"),
    }


def _format_e1(data: bytes) -> Fields:
    temperature, humidity, pressure, *dust, co2, voc, nox, luminosity, flags = _FORMAT_E1.unpack_from(data, 1)
    sizes = ("pm1", "pm2_5", "pm4", "pm10")
    return {
        **_climate(temperature, humidity, pressure),
        **{size: (_known(one, 0xFFFF, 0.1), "ug/m3") for size, one in zip(sizes, dust, strict=True)},
        **_gases(co2, voc, nox, flags),
        "luminosity": (_known(int.from_bytes(luminosity, "big"), 0xFF_FFFF, 0.01), "lx"),
    }


def _known(raw: int, absent: int, step: float) -> float | None:
    return None if raw == absent else raw * step


def _climate(temperature: int, humidity: int, pressure: int) -> Fields:
    return {
        "temperature": (_known(temperature, -0x8000, 0.005), "Cel"),
        "humidity": (_known(humidity, 0xFFFF, 0.0025), "%RH"),
        "pressure": (None if pressure == 0xFFFF else pressure + 50_000, "Pa"),
    }


def _gases(co2: int, voc: int, nox: int, flags: int) -> Fields:
    """Return carbon dioxide, and the two indexes whose lowest bit is among the flags."""
    return {
        "co2": (_known(co2, 0xFFFF, 1), "ppm"),
        "voc": (_known(voc << 1 | flags >> 6 & 1, 0x1FF, 1), ""),
        "nox": (_known(nox << 1 | flags >> 7, 0x1FF, 1), ""),
    }


def _acceleration(*axes: int) -> Fields:
    values = (None if axis == -0x8000 else axis / 1000 for axis in axes)
    return {f"acceleration_{name}": (value, "g") for name, value in zip("xyz", values, strict=True)}


FORMAT = FormatKind(RuuviFormat)
