"""ESPHome: one topic an entity with the bare state, and further ones for the parts of some kinds of entities."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_STATES = ("sensor", "binary_sensor", "switch", "number", "fan", "lock", "cover", "valve")
_PARTS = ("climate", "cover", "valve", "fan")

PRESET = Preset(
    "ESPHome",
    topics=(
        *({"topic": f"{{node}}/{domain}/{{entity}}/state", "format": "plain"} for domain in _STATES),
        *({"topic": f"{{node}}/{domain}/{{entity}}/{{part}}/state", "format": "plain"} for domain in _PARTS),
        {"topic": "{node}/light/{entity}/state", "value": "**"},
    ),
    mapping={
        "time": "",
        "unit": "",
        "quality": "",
        "text_values": "skip",
        "words": {**ON_OFF, "locked": 1, "unlocked": 0, "oscillate_on": 1, "oscillate_off": 0},
        "fields": {
            "*_temperature": {"unit": "Cel"},
            "*.*_temperature": {"unit": "Cel"},
            "*.*_humidity": {"unit": "%RH"},
        },
    },
)
