"""Zigbee2MQTT: one topic a device, with all its properties in one JSON object."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

PRESET = Preset(
    "Zigbee2MQTT",
    topics=({"topic": "zigbee2mqtt/{device}"},),
    mapping={
        "value": "**",
        "time": "last_seen",
        "text_values": "skip",
        "words": {**ON_OFF, "close": 0, "lock": 1, "unlock": 0},
        "ignore": ["update*", "device.*", "elapsed", "color_options.*", "*_countdown", "*transition*"],
        "fields": {
            "temperature": {"unit": "Cel"},
            "device_temperature": {"unit": "Cel"},
            "humidity": {"unit": "%RH"},
            "pressure": {"unit": "hPa"},
            "battery": {"unit": "%"},
            "power": {"unit": "W"},
            "current": {"unit": "A"},
            "energy": {"unit": "kWh"},
            "illuminance": {"unit": "lx"},
            "co2": {"unit": "ppm"},
        },
    },
)
