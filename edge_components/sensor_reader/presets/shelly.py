"""Shelly: topics with bare values of the first generation; notifications and status messages in JSON of the later ones.

Notifications are on by default, status messages are not. A device that sends both gives each series from two topics.
"""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_FIRST = (
    *("relay/{channel}", "relay/{channel}/power", "relay/{channel}/energy", "emeter/{channel}/{quantity}"),
    *("sensor/{quantity}", "input/{channel}", "ext_temperature/{channel}", "ext_humidity/{channel}"),
    *("roller/{channel}/pos", "roller/{channel}/power", "temperature", "overtemperature", "voltage"),
)


def _name(rest: str) -> str:
    return "{device}." + rest.replace("/", ".")


PRESET = Preset(
    "Shelly, first and later generations",
    topics=(
        *(
            {"topic": f"shellies/{{device}}/{rest}", "format": "plain", "series": _name(rest), "value": "value"}
            for rest in _FIRST
        ),
        {"topic": "{device}/events/rpc", "each": "params", "value": "**", "time": "ts"},
        {"topic": "{device}/status/{component}"},
    ),
    mapping={
        "value": "**",
        "time": "",
        "text_values": "skip",
        "words": {**ON_OFF, "close": 0},
        "ignore": [
            *("ts", "events.*", "sys.*", "cloud.*", "mqtt.*", "ws.*", "*.id", "*.errors*", "*.timer_*"),
            *("id", "source", "tF", "*.tF", "*minute_ts", "*by_minute*", "errors*", "*_rev", "unixtime", "uptime"),
            *("ram_*", "fs_*", "restart_required", "last_sync_ts", "available_updates*", "wakeup_*", "timer_*"),
        ],
        "fields": {
            "*apower": {"unit": "W"},
            "*act_power": {"unit": "W"},
            "*voltage": {"unit": "V"},
            "*current": {"unit": "A"},
            "*aenergy.total": {"unit": "Wh"},
            "*tC": {"unit": "Cel"},
            "*rh": {"unit": "%RH"},
            "*.relay.*.power": {"unit": "W"},
            "*.sensor.temperature": {"unit": "Cel"},
            "*.sensor.humidity": {"unit": "%RH"},
            "*.sensor.battery": {"unit": "%"},
            "*.ext_temperature.*": {"unit": "Cel"},
            "*.temperature": {"unit": "Cel"},
        },
    },
)
