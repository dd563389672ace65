"""Shelly of the first and the later generations."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample

_FIRST = "Shelly Gen1 API reference, MQTT support of the devices, https://shelly-api-docs.shelly.cloud/gen1"
_LATER = "https://shelly-api-docs.shelly.cloud/gen2"
_NOTIFICATIONS = f"Notifications, {_LATER}/General/Notifications"
_MQTT = f"MQTT, {_LATER}/ComponentsAndServices/Mqtt"

SAMPLES = [
    Sample("shellies/shelly1pm-AB12/relay/0", "on", {"shelly1pm-AB12.relay.0": 1}, _FIRST),
    Sample("shellies/shelly1pm-AB12/relay/0/power", "12.75", {"shelly1pm-AB12.relay.0.power": 12.75}, _FIRST),
    Sample("shellies/shelly1pm-AB12/relay/0/energy", "90", {"shelly1pm-AB12.relay.0.energy": 1.5}, _FIRST),
    Sample("shellies/shelly1pm-AB12/relay/0/command", "off", {}, _FIRST),
    Sample("shellies/shellyht-1/sensor/temperature", "21.5", {"shellyht-1.sensor.temperature": 21.5}, _FIRST),
    Sample("shellies/shellydw-1/sensor/state", "open", {"shellydw-1.sensor.state": 1}, _FIRST),
    Sample("shellies/shellyflood-1/sensor/flood", "false", {"shellyflood-1.sensor.flood": 0}, _FIRST),
    Sample("shellies/shellyflood-1/sensor/act_reasons", ["sensor"], {}, _FIRST),
    Sample("shellies/shellyem-1/emeter/0/returned_energy", "120", {"shellyem-1.emeter.0.returned_energy": 2}, _FIRST),
    Sample("shellies/shellyem-1/emeter/0/pf", "0.93", {"shellyem-1.emeter.0.pf": 0.93}, _FIRST),
    Sample(
        "shellies/shellymotionsensor-1/status",
        {"motion": True, "timestamp": 1699999980, "active": True, "vibration": False, "lux": 303, "bat": 87},
        {
            "shellymotionsensor-1.motion": 1,
            "shellymotionsensor-1.active": 1,
            "shellymotionsensor-1.vibration": 0,
            "shellymotionsensor-1.lux": 303,
            "shellymotionsensor-1.bat": 87,
        },
        _FIRST,
    ),
    Sample(
        "shellies/shellydimmer-1/light/0/status",
        {
            "ison": True,
            "source": "input",
            "has_timer": False,
            "timer_started": 0,
            "timer_duration": 0,
            "timer_remaining": 0,
            "mode": "white",
            "brightness": 48,
            "transition": 0,
        },
        {"shellydimmer-1.light.0.ison": 1, "shellydimmer-1.light.0.brightness": 48},
        _FIRST,
    ),
    Sample(
        "shellyplus1pm-x/status/switch:0",
        {
            "id": 0,
            "source": "init",
            "output": True,
            "apower": 8.9,
            "voltage": 230.1,
            "current": 0.06,
            "freq": 50.1,
            "aenergy": {"total": 2345.6, "by_minute": [120.1, 118.3, 119.0], "minute_ts": 1699999980},
            "temperature": {"tC": 41.2, "tF": 106.2},
        },
        {
            "shellyplus1pm-x.switch:0.output": 1,
            "shellyplus1pm-x.switch:0.apower": 8.9,
            "shellyplus1pm-x.switch:0.voltage": 230.1,
            "shellyplus1pm-x.switch:0.current": 0.06,
            "shellyplus1pm-x.switch:0.freq": 50.1,
            "shellyplus1pm-x.switch:0.aenergy.total": 2345.6,
            "shellyplus1pm-x.switch:0.temperature.tC": 41.2,
        },
        f"Switch, {_LATER}/ComponentsAndServices/Switch; {_MQTT}",
    ),
    Sample(
        "shellyplusht-y/status/humidity:0",
        {"id": 0, "rh": 42.2},
        {"shellyplusht-y.humidity:0.rh": 42.2},
        f"Humidity, {_LATER}/ComponentsAndServices/Humidity",
    ),
    Sample(
        "shellyplusht-y/status/temperature:0",
        {"id": 0, "tC": 19.8, "tF": 67.6},
        {"shellyplusht-y.temperature:0.tC": 19.8},
        f"Temperature, {_LATER}/ComponentsAndServices/Temperature",
    ),
    Sample(
        "shellyplusht-y/status/devicepower:0",
        {"id": 0, "battery": {"V": 5.98, "percent": 92}, "external": {"present": False}},
        {
            "shellyplusht-y.devicepower:0.battery.V": 5.98,
            "shellyplusht-y.devicepower:0.battery.percent": 92,
            "shellyplusht-y.devicepower:0.external.present": 0,
        },
        f"DevicePower, {_LATER}/ComponentsAndServices/DevicePower",
    ),
    Sample(
        "shellypro-z/status/sys",
        {
            "mac": "B8D61A8B17CC",
            "restart_required": False,
            "time": "22:13",
            "unixtime": 1699999990,
            "uptime": 3,
            "ram_size": 235300,
            "ram_free": 164244,
            "cfg_rev": 10,
            "available_updates": {"beta": {"version": "1"}},
        },
        {},
        f"Sys, {_LATER}/ComponentsAndServices/Sys",
    ),
    Sample(
        "shellyproem-e/status/em1:0",
        {
            "id": 0,
            "current": 2.598,
            "voltage": 234.9,
            "act_power": 501.8,
            "aprt_power": 612.4,
            "pf": 0.84,
            "freq": 50,
            "calibration": "factory",
        },
        {
            "shellyproem-e.em1:0.current": 2.598,
            "shellyproem-e.em1:0.voltage": 234.9,
            "shellyproem-e.em1:0.act_power": 501.8,
            "shellyproem-e.em1:0.aprt_power": 612.4,
            "shellyproem-e.em1:0.pf": 0.84,
            "shellyproem-e.em1:0.freq": 50,
        },
        f"EM1, {_LATER}/ComponentsAndServices/EM1",
    ),
    Sample(
        "shellyplus2pm-r/events/rpc",
        {
            "src": "shellyplus2pm-r",
            "dst": "shellyplus2pm-r/events",
            "method": "NotifyStatus",
            "params": {
                "ts": 1699999990.25,
                "switch:1": {
                    "id": 1,
                    "apower": 31.5,
                    "output": True,
                    "aenergy": {"total": 12.5, "by_minute": [1.5, 2.5, 3.5], "minute_ts": 1699999980},
                },
            },
        },
        {
            "shellyplus2pm-r.switch:1.apower": 31.5,
            "shellyplus2pm-r.switch:1.output": 1,
            "shellyplus2pm-r.switch:1.aenergy.total": 12.5,
        },
        _NOTIFICATIONS,
    ),
    Sample(
        "shellyplus2pm-r/events/rpc",
        {
            "src": "shellyplus2pm-r",
            "method": "NotifyEvent",
            "params": {"ts": 1699999990.5, "events": [{"component": "input:0", "event": "btn_up", "ts": 1699999990.5}]},
        },
        {},
        _NOTIFICATIONS,
    ),
]
