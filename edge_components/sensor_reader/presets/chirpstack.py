"""ChirpStack: uplink events with the object that the device profile's codec returns."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

PRESET = Preset(
    "ChirpStack",
    topics=({"topic": "application/+/device/{device}/event/up"},),
    mapping={
        "each": "object",
        "value": "**",
        "time": "time",
        "text_values": "skip",
        "words": dict(ON_OFF),
        "ignore": ["*_version", "sn", "*[Cc]ounter", "fCnt", "fPort"],
    },
)
