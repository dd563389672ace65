"""Shelly: topics with bare values of the first generation; notifications and status messages in JSON of the later ones.

Notifications are on by default, status messages are not. Of a device that sends both, each series is read from the
topic that gave it first.
"""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_FIRST = (
    *("relay/{channel}", "relay/{channel}/power", "emeter/{channel}/{quantity}", "sensor/{quantity}"),
    *("input/{channel}", "longpush/{channel}", "ext_temperature/{channel}", "ext_humidity/{channel}"),
    *("ext_switch/{channel}", "adc/{channel}", "roller/{channel}/pos", "roller/{channel}/power"),
    *("light/{channel}", "light/{channel}/power", "white/{channel}", "color/{channel}"),
    *("temperature", "overtemperature", "voltage"),
)
_WATT_MINUTES = (
    *(f"{part}/{{channel}}/energy" for part in ("relay", "roller", "light", "emeter")),
    "emeter/{channel}/returned_energy",
)
_STATUS = tuple(f"{part}/{{channel}}/status" for part in ("light", "white", "color"))
_WATT_HOURS = {"*": {"unit": "Wh", "scale": 1 / 60}}


def _name(rest: str) -> str:
    return "{device}." + rest.replace("/", ".")


PRESET = Preset(
    "Shelly, first and later generations",
    topics=(
        *(
            {"topic": f"shellies/{{device}}/{rest}", "format": "plain", "series": _name(rest), "fields": _WATT_HOURS}
            for rest in _WATT_MINUTES
        ),
        *({"topic": f"shellies/{{device}}/{rest}", "format": "plain", "series": _name(rest)} for rest in _FIRST),
        *(
            {"topic": f"shellies/{{device}}/{rest}", "series": f"{_name(rest.removesuffix('/status'))}.{{field}}"}
            for rest in _STATUS
        ),
        {"topic": "shellies/{device}/status"},
        {"topic": "{device}/events/rpc", "each": "params", "time": "ts", "duplicates": "skip"},
        {"topic": "{device}/status/{component}", "duplicates": "skip"},
    ),
    mapping={
        "value": "**",
        "time": "",
        "unit": "",
        "quality": "",
        "text_values": "skip",
        "words": {**ON_OFF, "close": 0},
        "ignore": [
            *("ts", "events.*", "sys.*", "cloud.*", "mqtt.*", "ws.*", "ble.*", "eth.*", "script:*", "matter.*", "*.id"),
            *("*.errors*", "*.timer_*", "*.pos_control", "*.*_ts", "*.tF", "*.by_minute*", "*.user_calibrated_phase*"),
            *("id", "source", "tF", "*minute_ts", "*by_minute*", "errors*", "*_rev", "unixtime", "uptime", "timestamp"),
            *("ram_*", "fs_*", "restart_required", "last_sync_ts", "available_updates*", "wakeup_*", "timer_*"),
            *("has_timer", "transition", "*.sensor.act_reasons", "*.sensor.error", "wifi.ap_*", "pos_control", "*_ts"),
            *("*.status.sys.*", "*.cloud.connected", "*.mqtt.connected", "*.ws.connected"),
        ],
        "fields": {
            "*apower": {"unit": "W"},
            "*act_power": {"unit": "W"},
            "*aprt_power": {"unit": "VA"},
            "*voltage": {"unit": "V"},
            "*current": {"unit": "A"},
            "*freq": {"unit": "Hz"},
            "*aenergy.total": {"unit": "Wh"},
            "*_energy": {"unit": "Wh"},
            "*tC": {"unit": "Cel"},
            "*rh": {"unit": "%RH"},
            "*battery.V": {"unit": "V"},
            "*battery.percent": {"unit": "%"},
            "bat": {"unit": "%"},
            "*lux": {"unit": "lx"},
            "*.relay.*.power": {"unit": "W"},
            "*.roller.*.power": {"unit": "W"},
            "*.light.*.power": {"unit": "W"},
            "*.emeter.*.power": {"unit": "W"},
            "*.emeter.*.reactive_power": {"unit": "var"},
            "*.emeter.*.total*": {"unit": "Wh"},
            # The unit of sensor/temperature is Celsius or Fahrenheit by the device's settings.
            "*.sensor.humidity": {"unit": "%RH"},
            "*.sensor.battery": {"unit": "%"},
            "*.sensor.lux": {"unit": "lx"},
            "*.sensor.concentration": {"unit": "ppm"},
            "*.ext_temperature.*": {"unit": "Cel"},
            "*.ext_humidity.*": {"unit": "%RH"},
            "*.temperature": {"unit": "Cel"},
            "*.sensor.temperature": {"unit": ""},
        },
    },
)
