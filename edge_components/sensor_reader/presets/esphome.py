"""ESPHome: one topic an entity, with the bare state."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_STATES = ("sensor", "binary_sensor", "switch", "number")

PRESET = Preset(
    "ESPHome",
    topics=(
        *({"topic": f"{{node}}/{domain}/{{entity}}/state", "format": "plain"} for domain in _STATES),
        {"topic": "{node}/light/{entity}/state", "value": ["state", "brightness"]},
    ),
    mapping={"time": "", "text_values": "skip", "words": dict(ON_OFF)},
)
