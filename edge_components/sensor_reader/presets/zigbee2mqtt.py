"""Zigbee2MQTT: one topic a device, whose name has up to three levels, with all properties in one JSON object."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_REQUESTS = ("set", "get", "availability")
_SKIPPED = (
    *("bridge/+", "bridge/+/+", "+/set/+", "+/get/+"),
    *(f"{device}/{request}" for device in ("+", "+/+") for request in _REQUESTS),
)
"""Topics of the bridge, and of requests to devices."""

PRESET = Preset(
    "Zigbee2MQTT",
    topics=(
        *({"topic": f"zigbee2mqtt/{topic}", "skip": True} for topic in _SKIPPED),
        {"topic": "zigbee2mqtt/{device}"},
        # The last level is a part of the device's name, or a property where the output is by attribute.
        {"topic": "zigbee2mqtt/{group}/{device}", "duplicates": "skip"},
        {"topic": "zigbee2mqtt/{area}/{group}/{device}", "duplicates": "skip"},
    ),
    mapping={
        "value": "**",
        "time": "last_seen",
        "unit": "",
        "quality": "",
        "text_values": "skip",
        "words": {**ON_OFF, "close": 0, "lock": 1, "unlock": 0},
        "ignore": [
            *("update*", "device.*", "elapsed", "color_options.*", "*_countdown", "*transition*", "action_group"),
            *("level_config.*", "power_on_behavior*", "*_calibration", "*_precision", "*_startup"),
        ],
        "fields": {
            **{
                name: {"unit": "Cel"}
                for name in ("temperature", "device_temperature", "local_temperature", "*_setpoint", "soil_temperature")
            },
            "humidity": {"unit": "%RH"},
            "pressure": {"unit": "hPa"},
            "battery": {"unit": "%"},
            "soil_moisture": {"unit": "%"},
            "power": {"unit": "W"},
            "current": {"unit": "A"},
            "energy": {"unit": "kWh"},
            "illuminance*": {"unit": "lx"},
            "co2": {"unit": "ppm"},
            "pm25": {"unit": "ug/m3"},
        },
    },
)
