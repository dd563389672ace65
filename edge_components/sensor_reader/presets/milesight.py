"""Milesight: the objects that the vendor's decoders return on a LoRaWAN network server."""

from edge_components.sensor_reader.presets import ON_OFF, Preset


def _topic(topic: str, decoded: str, time: str) -> dict[str, object]:
    """Return a topic whose stored readings of the past have their own times."""
    return {"topic": topic, "each": [decoded, f"{decoded}.history.*"], "time": ["timestamp", time]}


_TOPICS = (
    _topic("v3/+/devices/{device}/up", "uplink_message.decoded_payload", "received_at"),
    _topic("application/+/device/{device}/event/up", "object", "time"),
)
"""The uplinks of The Things Stack and of ChirpStack; for another network server give topics with ``each``."""

_WORDS = {
    1: (
        *("leak", "trigger", "triggered", "occupied", "bright", "light", "high", "uninstalled", "uninstall", "tilt"),
        *("yes", "opened", "alarm", "threshold alarm", "threshold_alarm", "mutation alarm", "moving", "start moving"),
    ),
    0: (
        *("close", "normal", "idle", "vacant", "dark", "dim", "low", "installed", "install", "no", "alarm release"),
        *("threshold alarm release", "threshold_alarm_release", "threshold release", "stop moving"),
    ),
}
"""Words of states of two values."""

PRESET = Preset(
    "Milesight decoders",
    topics=_TOPICS,
    mapping={
        "value": "**",
        "quality": "",
        "text_values": "skip",
        "words": {**ON_OFF, **{word: value for value, words in _WORDS.items() for word in words}},
        "ignore": [
            *(
                "history.*",
                "*_version",
                "sn",
                "lorawan_class",
                "device_status",
                "reset_event",
                "*_counter",
                "*timestamp",
            ),
            *("*_id", "id", "wifi.*", "*.group", "*.mac", "version", "protocol*", "frameCnt", "*length", "*[Ff]lag"),
            *("*_settings*", "*_schedule*", "*_config*", "plan_*", "wires.*", "daylight_saving_time.*", "d2d_*"),
            *("reporting_interval", "reboot", "report_*"),
        ],
        "fields": {
            "temperature": {"unit": "Cel"},
            "humidity": {"unit": "%RH"},
            "battery": {"unit": "%"},
            "co2": {"unit": "ppm"},
            "distance": {"unit": "mm"},
            "illumination": {"unit": "lx"},
            "illuminance": {"unit": "lx"},
            "pm2_5": {"unit": "ug/m3"},
            "pm10": {"unit": "ug/m3"},
            "hcho": {"unit": "mg/m3"},
            "o3": {"unit": "ppm"},
            "current_chn[0-9]": {"unit": "A"},
            "current_chn[0-9]_total": {"unit": "Ah"},
            "total_current": {"unit": "Ah"},
            "wind_speed": {"unit": "m/s"},
            "rainfall_total": {"unit": "mm"},
            "angle_[xyz]": {"unit": "deg"},
        },
    },
)
