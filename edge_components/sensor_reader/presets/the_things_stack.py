"""The Things Stack: uplink messages with the fields of the payload formatter."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

PRESET = Preset(
    "The Things Stack",
    topics=({"topic": "v3/+/devices/{device}/up"},),
    mapping={
        "each": "uplink_message.decoded_payload",
        "value": "**",
        "time": "received_at",
        "quality": "",
        "text_values": "skip",
        "words": dict(ON_OFF),
        "ignore": ["*_version", "sn", "*[Cc]ounter", "fcnt", "port"],
    },
)
