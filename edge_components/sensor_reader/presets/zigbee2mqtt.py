"""Zigbee2MQTT: one topic a device, whose name may have two levels, with all its properties in one JSON object."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

PRESET = Preset(
    "Zigbee2MQTT",
    topics=(
        {"topic": "zigbee2mqtt/{device}"},
        *({"topic": topic, "skip": True} for topic in ("zigbee2mqtt/bridge/+", "zigbee2mqtt/+/availability")),
        *({"topic": f"zigbee2mqtt/+/{request}", "skip": True} for request in ("set", "get")),
        # The second level is a part of the device's name, or a property where the output is by attribute.
        {"topic": "zigbee2mqtt/{group}/{device}", "duplicates": "skip"},
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
