"""Home Assistant's MQTT state stream: one topic an entity with the bare state, and one an attribute."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_DOMAINS = (
    *("sensor", "binary_sensor", "switch", "light", "fan", "input_boolean", "input_number", "number", "lock", "cover"),
    *("valve", "siren", "humidifier", "counter", "device_tracker", "person"),
)

_ATTRIBUTES = {
    "climate": ("current_temperature", "temperature", "current_humidity", "humidity"),
    "cover": ("current_position",),
    "fan": ("percentage",),
    "light": ("brightness",),
    "water_heater": ("current_temperature", "temperature"),
    "weather": ("temperature", "humidity", "pressure", "wind_speed"),
}
"""Measurements that entities have beside their state, where attributes are published, too."""

PRESET = Preset(
    "Home Assistant state stream",
    topics=(
        *({"topic": f"homeassistant/{one}/{{entity}}/state", "series": f"{one}.{{entity}}"} for one in _DOMAINS),
        *(
            {"topic": f"homeassistant/{domain}/{{entity}}/{name}", "series": f"{domain}.{{entity}}.{name}"}
            for domain, names in _ATTRIBUTES.items()
            for name in names
        ),
    ),
    mapping={
        "format": "plain",
        "time": "",
        "quality": "",
        "text_values": "skip",
        "words": {**ON_OFF, "locked": 1, "unlocked": 0, "home": 1, "not_home": 0},
    },
)
