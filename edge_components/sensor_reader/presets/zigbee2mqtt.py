"""Zigbee2MQTT: one topic a device, whose name has up to three levels, or one a property (``output: attribute``).

The topic of a device has all properties in one JSON object; that of a property has its value as plain text, and joins
the keys of a property in a property by hyphens.
"""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_REQUESTS = ("set", "get", "availability")
_SKIPPED = (
    *("bridge/+", "bridge/+/+", "bridge/+/+/+", "+/set/+", "+/get/+", "+/+/set/+", "+/+/get/+"),
    *(f"{device}/{request}" for device in ("+", "+/+", "+/+/+") for request in _REQUESTS),
)
"""Topics of the bridge, and of requests to devices."""

_IGNORED = (
    *("update*", "device.*", "elapsed", "color_options.*", "*_countdown", "*transition*", "action_group"),
    *("level_config.*", "power_on_behavior*", "*_calibration", "*_precision", "*_startup"),
)
_UNITS = {
    **dict.fromkeys(
        ("temperature", "device_temperature", "local_temperature", "*_setpoint", "soil_temperature"), "Cel"
    ),
    "humidity": "%RH",
    "pressure": "hPa",
    "battery": "%",
    "soil_moisture": "%",
    "power": "W",
    "current": "A",
    "energy": "kWh",
    "illuminance*": "lx",
    "co2": "ppm",
    "pm25": "ug/m3",
}

PRESET = Preset(
    "Zigbee2MQTT",
    topics=(
        *({"topic": f"zigbee2mqtt/{topic}", "skip": True} for topic in _SKIPPED),
        {"topic": "zigbee2mqtt/{device}"},
        # The last level is a part of the device's name, or a property where the output is by attribute.
        {"topic": "zigbee2mqtt/{group}/{device}", "duplicates": "skip"},
        {"topic": "zigbee2mqtt/{area}/{group}/{device}", "duplicates": "skip"},
        {"topic": "zigbee2mqtt/{area}/{group}/{device}/{property}", "duplicates": "skip"},
    ),
    mapping={
        "value": "**",
        "time": "last_seen",
        "unit": "",
        "quality": "",
        "text_values": "skip",
        "words": {**ON_OFF, "close": 0, "lock": 1, "unlock": 0},
        "plain_text": True,
        # A property that has a topic of its own is not a field: its globs match the end of the series' name.
        "ignore": [*_IGNORED, *(f"*.{glob.replace('.', '-')}" for glob in _IGNORED), "*.last_seen"],
        "fields": {prefix + glob: {"unit": unit} for glob, unit in _UNITS.items() for prefix in ("", "*.")},
    },
)
