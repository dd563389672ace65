"""Milesight: the objects that the vendor's decoders return on a LoRaWAN network server."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_TOPICS = (
    {"topic": "v3/+/devices/{device}/up", "each": "uplink_message.decoded_payload", "time": "received_at"},
    {"topic": "application/+/device/{device}/event/up", "each": "object", "time": "time"},
)
"""The uplinks of The Things Stack and of ChirpStack; for another network server give topics with ``each``."""

PRESET = Preset(
    "Milesight decoders",
    topics=_TOPICS,
    mapping={
        "value": "**",
        "text_values": "skip",
        "words": {
            **ON_OFF,
            "close": 0,
            "normal": 0,
            "leak": 1,
            "idle": 0,
            "trigger": 1,
            "vacant": 0,
            "occupied": 1,
            "dark": 0,
            "bright": 1,
            "light": 1,
            "low": 0,
            "high": 1,
            "installed": 0,
            "uninstalled": 1,
        },
        # Stored readings of the past have their own times, which one mapping cannot take.
        "ignore": ["history.*", "*_version", "sn", "lorawan_class", "device_status", "reset_event", "*_counter"],
        "fields": {
            "temperature": {"unit": "Cel"},
            "humidity": {"unit": "%RH"},
            "battery": {"unit": "%"},
            "co2": {"unit": "ppm"},
            "pressure": {"unit": "hPa"},
            "distance": {"unit": "mm"},
            "illumination": {"unit": "lx"},
        },
    },
)
