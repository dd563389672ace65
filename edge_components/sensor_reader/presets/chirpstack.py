"""ChirpStack: uplink events with the object that the device profile's codec returns, and status events."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

PRESET = Preset(
    "ChirpStack",
    topics=(
        {"topic": "application/+/device/{device}/event/up"},
        {
            "topic": "application/+/device/{device}/event/status",
            "each": "",
            "value": ["margin", "batteryLevel", "externalPowerSource"],
            "fields": {"margin": {"unit": "dB"}, "batteryLevel": {"unit": "%"}},
        },
    ),
    mapping={
        "each": "object",
        "value": "**",
        "time": "time",
        "quality": "",
        "text_values": "skip",
        "words": dict(ON_OFF),
        "ignore": ["*_version", "sn", "*[Cc]ounter", "fCnt", "fPort"],
    },
)
