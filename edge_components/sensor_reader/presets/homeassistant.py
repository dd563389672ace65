"""Home Assistant's MQTT state stream: one topic an entity, with the bare state."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_DOMAINS = (
    *("sensor", "binary_sensor", "switch", "light", "fan", "input_boolean", "input_number", "number", "lock", "cover"),
    *("valve", "siren", "humidifier", "counter", "device_tracker", "person"),
)

PRESET = Preset(
    "Home Assistant state stream",
    topics=tuple(
        {"topic": f"homeassistant/{domain}/{{entity}}/state", "series": f"{domain}.{{entity}}"} for domain in _DOMAINS
    ),
    mapping={
        "format": "plain",
        "time": "",
        "quality": "",
        "text_values": "skip",
        "words": {**ON_OFF, "locked": 1, "unlocked": 0, "home": 1, "not_home": 0},
    },
)
