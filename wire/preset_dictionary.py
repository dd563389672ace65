"""Preset dictionary for deflate (RFC 1950, section 2.2): strings that are frequent in the directory of a batch.

It holds channel names, and SenML units (RFC 8428) with their most common resolutions, in the form in which a directory
writes them. It is part of the format: the dictionary of version 1 never changes.
"""

from __future__ import annotations

_CHANNELS = (
    "altitude acceleration angle battery brightness charge concentration conductivity counter cpu.percent current_a "
    "density depth disk.percent displacement distance duration error frequency heading height illuminance load "
    "mass memory.percent moisture noise occupancy oxygen ph position radiation rainfall rotation rpm setpoint signal "
    "soil state strain tension thickness tilt torque total turbidity valve velocity volume weight wind_speed air inlet "
    "outlet energy speed force level flow co2 power voltage current humidity vibration pressure temperature"
)
_UNITS = (
    ("count", 0), ("Hz", 0), ("lx", 0), ("rad", -3), ("deg", -1), ("K", -1), ("Pa", 0), ("kPa", -1), ("hPa", -1),
    ("mA", 0), ("mV", 0), ("kW", -2), ("kWh", -1), ("J", 0), ("N", -1), ("kg", -2), ("g", 0), ("m/s2", -2), ("m/s", -1),
    ("m3/h", -1), ("pH", -2), ("dB", -1), ("rpm", 0), ("1/min", 0), ("/", -2), ("%", 0), ("%", -1), ("%EL", 0),
    ("ppm", 0), ("W", 0), ("V", -1), ("l/min", -1), ("m", -3), ("%RH", -1), ("A", -2), ("mm/s", -2), ("bar", -2),
    ("Cel", -2), ("Cel", -1),
)  # fmt: skip

WORDS = tuple(word.encode() for word in _CHANNELS.split())
"""Names that a directory may replace by their index."""
UNITS = tuple((unit, 10.0**tens if tens >= 0 else 1 / 10**-tens) for unit, tens in _UNITS)
"""Units with a resolution that a directory may replace by their index."""
DICTIONARY = b"".join(
    [b"\0" + bytes((len(word),)) + word.encode() for word in _CHANNELS.split()]
    + [bytes((len(unit),)) + unit.encode() + bytes((32 + tens, 1, 0)) for unit, tens in _UNITS]
)
