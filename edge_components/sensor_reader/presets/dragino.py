"""Dragino: the objects that the vendor's decoders return on a LoRaWAN network server, with numbers in text."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_TOPICS = (
    {"topic": "v3/+/devices/{device}/up", "each": "uplink_message.decoded_payload", "time": "received_at"},
    {"topic": "application/+/device/{device}/event/up", "each": "object", "time": "time"},
)
"""The uplinks of The Things Stack and of ChirpStack; for another network server give topics with ``each``."""

PRESET = Preset(
    "Dragino decoders",
    topics=_TOPICS,
    mapping={
        "value": "**",
        "text_values": "skip",
        "words": dict(ON_OFF),
        "ignore": [
            *("Node_type", "Message_type", "Work_mode", "MOD", "Bat_status", "*[Ff]lag", "*_TIMES", "*[Cc]ount"),
            *("Interrupt*", "Ext_sensor", "Sys*", "DATALOG*", "TDC", "FIRMWARE*", "SENSOR_MODEL", "SUB_BAND"),
        ],
        "fields": {
            "Bat*": {"unit": "V"},
            "TempC*": {"unit": "Cel"},
            "temp_*": {"unit": "Cel"},
            "Hum_*": {"unit": "%RH"},
            "water_*": {"unit": "%"},
            "conduct_*": {"unit": "uS/cm"},
            "ILL_*": {"unit": "lx"},
        },
    },
)
