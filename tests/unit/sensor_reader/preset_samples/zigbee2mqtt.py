"""Zigbee2MQTT."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample

_TOPICS = "MQTT Topics and Messages, https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html"
_OPTIONS = (
    "MQTT settings (include_device_information, last_seen), https://www.zigbee2mqtt.io/guide/configuration/mqtt.html"
)
_ATTRIBUTE = f"{_OPTIONS}, output attribute"
_PLUG = "Exposes of a plug (TS011F), https://www.zigbee2mqtt.io/devices/TS011F_plug_1.html"
_CONTACT = "Exposes of a contact sensor (MCCGQ11LM), https://www.zigbee2mqtt.io/devices/MCCGQ11LM.html"
_VALVE = "Exposes of a radiator valve (TS0601), https://www.zigbee2mqtt.io/devices/TS0601_thermostat.html"

SAMPLES = [
    Sample(
        "zigbee2mqtt/cellar",
        {"battery": 97, "humidity": 61.2, "linkquality": 120, "temperature": 12.4, "voltage": 2995},
        {
            "cellar.battery": 97,
            "cellar.humidity": 61.2,
            "cellar.linkquality": 120,
            "cellar.temperature": 12.4,
            "cellar.voltage": 2995,
        },
        _TOPICS,
    ),
    Sample(
        "zigbee2mqtt/Steckdose Küche",
        {
            "state": "ON",
            "power": 43.1,
            "current": 0.21,
            "energy": 17.02,
            "voltage": 231,
            "child_lock": "UNLOCK",
            "power_outage_memory": "restore",
            "indicator_mode": "off/on",
            "countdown": 0,
            "update": {"state": "idle", "installed_version": 12, "latest_version": 12},
            "update_available": False,
        },
        {
            "Steckdose_K_fc_che.state": 1,
            "Steckdose_K_fc_che.power": 43.1,
            "Steckdose_K_fc_che.current": 0.21,
            "Steckdose_K_fc_che.energy": 17.02,
            "Steckdose_K_fc_che.voltage": 231,
            "Steckdose_K_fc_che.child_lock": 0,
            "Steckdose_K_fc_che.countdown": 0,
        },
        _PLUG,
    ),
    Sample(
        "zigbee2mqtt/door",
        {
            "contact": True,
            "battery_low": False,
            "tamper": False,
            "last_seen": "2023-11-14T22:13:10.000Z",
            "device": {"friendlyName": "door", "ieeeAddr": "0x00124b0022", "networkAddress": 4660},
        },
        {"door.contact": 1, "door.battery_low": 0, "door.tamper": 0},
        f"{_CONTACT}; {_OPTIONS}",
    ),
    Sample("zigbee2mqtt/button", {"action": "single", "battery": 80, "elapsed": 5012}, {"button.battery": 80}, _TOPICS),
    Sample(
        "zigbee2mqtt/cellar/lamp",
        {"state": "OFF", "brightness": 0, "color_temp": 300, "color": {"x": 0.31, "y": 0.33}, "color_mode": "xy"},
        {
            "cellar.lamp.state": 0,
            "cellar.lamp.brightness": 0,
            "cellar.lamp.color_temp": 300,
            "cellar.lamp.color.x": 0.31,
            "cellar.lamp.color.y": 0.33,
        },
        _TOPICS,
    ),
    Sample(
        "zigbee2mqtt/hall",
        {"occupancy": True, "illuminance": 211, "temperature": None},
        {"hall.occupancy": 1, "hall.illuminance": 211},
        _TOPICS,
    ),
    Sample(
        "zigbee2mqtt/radiator",
        {
            "local_temperature": 20.5,
            "current_heating_setpoint": 21,
            "position": 35,
            "system_mode": "auto",
            "local_temperature_calibration": -1.5,
            "window_detection": "OFF",
            "valve_detection": "ON",
        },
        {
            "radiator.local_temperature": 20.5,
            "radiator.current_heating_setpoint": 21,
            "radiator.position": 35,
            "radiator.window_detection": 0,
            "radiator.valve_detection": 1,
        },
        _VALVE,
    ),
    Sample("zigbee2mqtt/bridge/state", {"state": "online"}, {}, _TOPICS),
    Sample("zigbee2mqtt/bridge/info", {"network": {"channel": 15, "pan_id": 5674}, "permit_join": True}, {}, _TOPICS),
    Sample("zigbee2mqtt/lamp/set", {"state": "ON", "brightness": 255}, {}, _TOPICS),
    Sample("zigbee2mqtt/lamp/availability", "online", {}, _TOPICS),
    Sample("zigbee2mqtt/house/cellar/pump", {"state": "ON"}, {"house.cellar.pump.state": 1}, _TOPICS),
    Sample(
        "zigbee2mqtt/cellar/temperature", "12.4", {"cellar.temperature": 12.4}, f"{_OPTIONS}, output attribute_and_json"
    ),
    Sample("zigbee2mqtt/plug/state", "ON", {"plug.state": 1}, _ATTRIBUTE),
    Sample("zigbee2mqtt/plug/state", "OFF", {"plug.state": 0}, _ATTRIBUTE),
    Sample("zigbee2mqtt/plug/child_lock", "UNLOCK", {"plug.child_lock": 0}, _ATTRIBUTE),
    Sample("zigbee2mqtt/door/contact", "true", {"door.contact": 1}, _ATTRIBUTE),
    Sample("zigbee2mqtt/hall/cellar/lamp/color-x", "0.31", {"hall.cellar.lamp.color-x": 0.31}, _ATTRIBUTE),
    Sample("zigbee2mqtt/lamp/color", "255,0,64", {}, _ATTRIBUTE),
    Sample("zigbee2mqtt/button/action", "single", {}, _ATTRIBUTE),
    Sample("zigbee2mqtt/hall/temperature", "", {}, f"{_ATTRIBUTE}, null"),
    Sample("zigbee2mqtt/plug/update-installed_version", "12", {}, _ATTRIBUTE),
    Sample("zigbee2mqtt/plug/device-networkAddress", "4660", {}, _ATTRIBUTE),
    Sample("zigbee2mqtt/plug/last_seen", "1699999990000", {}, _ATTRIBUTE),
    Sample("zigbee2mqtt/hall/pump/availability", "online", {}, _TOPICS),
    Sample("zigbee2mqtt/bridge/response/device/rename", {"data": {"value": 1}, "status": "ok"}, {}, _TOPICS),
    Sample("zigbee2mqtt/bridge/response/permit_join", {"data": {"value": True}, "status": "ok"}, {}, _TOPICS),
    Sample("zigbee2mqtt/lamp/set/state", "ON", {}, _TOPICS),
]
