"""Sparkplug B: births, data and deaths of nodes and devices."""

from edge_components.sensor_reader.presets import Preset

PRESET = Preset(
    "Sparkplug B",
    topics=({"topic": "spBv1.0/#"},),
    mapping={
        "format": "sparkplug",
        "ignore": ["*.Properties/*", "*.Node Info/*", "*.Device Info/*", "*.Node Properties/*"],
    },
)
