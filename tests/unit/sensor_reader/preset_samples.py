"""Sample payloads of device families, mostly written from knowledge of the devices, and the series that they give."""

from __future__ import annotations

import json
from typing import Any

Sample = tuple[str, Any, dict[str, float]]
"""Topic, payload (text, bytes or a JSON value), and the expected value of each series."""


def _kepserver(*tags: tuple[str, Any, bool]) -> dict[str, Any]:
    values = [{"id": name, "v": value, "q": good, "t": 1_699_999_990_000} for name, value, good in tags]
    return {"timestamp": 1_699_999_999_000, "values": values}


def _things(decoded: dict[str, Any], device: str = "d-1") -> tuple[str, dict[str, Any]]:
    message = {
        "end_device_ids": {"device_id": device, "dev_eui": "70B3D57ED0000001", "dev_addr": "260B1234"},
        "correlation_ids": ["as:up:01H"],
        "received_at": "2023-11-14T22:13:10.123456789Z",
        "uplink_message": {
            "f_port": 2,
            "f_cnt": 512,
            "frm_payload": "AQ==",
            "decoded_payload": decoded,
            "rx_metadata": [{"gateway_ids": {"gateway_id": "gw"}, "rssi": -97, "snr": 7.5}],
            "consumed_airtime": "0.061696s",
        },
    }
    return f"v3/app@tenant/devices/{device}/up", message


def _chirpstack(decoded: dict[str, Any], device: str = "0102030405060708") -> tuple[str, dict[str, Any]]:
    event = {
        "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
        "time": "2023-11-14T22:13:10.559332+00:00",
        "deviceInfo": {"tenantName": "t", "applicationId": "17c82e96", "deviceName": "hall", "devEui": device},
        "devAddr": "00189440",
        "adr": True,
        "dr": 1,
        "fCnt": 4,
        "fPort": 1,
        "confirmed": False,
        "data": "qg==",
        "object": decoded,
        "rxInfo": [{"gatewayId": "0016c001f153a14c", "uplinkId": 4217106255, "rssi": -36, "snr": 10.5}],
        "txInfo": {"frequency": 868100000},
    }
    return f"application/17c82e96-be03/device/{device}/event/up", event


def _sitewise(asset: str, prop: str, value: dict[str, Any], quality: str = "GOOD") -> tuple[str, dict[str, Any]]:
    item = {"timestamp": {"timeInSeconds": 1_699_999_990, "offsetInNanos": 5}, "quality": quality, "value": value}
    payload = {"assetId": asset, "propertyId": prop, "values": [item]}
    topic = f"$aws/sitewise/asset-models/model-1/assets/{asset}/properties/{prop}"
    return topic, {"type": "PropertyValueUpdate", "payload": payload}


def _ruuvi(data: str, tag: str = "CB:B8:33:4C:88:4F") -> tuple[str, dict[str, Any]]:
    body = {"gw_mac": "C8:25:2D:8E:9C:2C", "rssi": -62, "aoa": [], "gwts": "1699999991", "ts": "1699999990"}
    return f"ruuvi/C8:25:2D:8E:9C:2C/{tag}", {**body, "data": data, "coords": ""}


_TAG = "CB:B8:33:4C:88:4F"

SAMPLES: dict[str, list[Sample]] = {
    "zigbee2mqtt": [
        (
            "zigbee2mqtt/cellar",
            {"battery": 97, "humidity": 61.2, "linkquality": 120, "temperature": 12.4, "voltage": 2995},
            {"cellar.battery": 97, "cellar.humidity": 61.2, "cellar.linkquality": 120, "cellar.temperature": 12.4,
             "cellar.voltage": 2995},
        ),
        (
            "zigbee2mqtt/Steckdose Küche",
            {"state": "ON", "power": 43.1, "current": 0.21, "energy": 17.02, "power_on_behavior": "previous",
             "update": {"state": "idle", "installed_version": 12}, "update_available": False},
            {"Steckdose_K_fc_che.state": 1, "Steckdose_K_fc_che.power": 43.1, "Steckdose_K_fc_che.current": 0.21,
             "Steckdose_K_fc_che.energy": 17.02},
        ),
        (
            "zigbee2mqtt/door",
            {"contact": True, "battery_low": False, "tamper": False, "last_seen": "2023-11-14T22:13:10.000Z",
             "device": {"friendlyName": "door", "ieeeAddr": "0x00124b0022", "networkAddress": 4660}},
            {"door.contact": 1, "door.battery_low": 0, "door.tamper": 0},
        ),
        ("zigbee2mqtt/button", {"action": "single", "battery": 80, "elapsed": 5012}, {"button.battery": 80}),
        (
            "zigbee2mqtt/lamp",
            {"state": "OFF", "brightness": 0, "color": {"x": 0.31, "y": 0.33}, "color_mode": "xy"},
            {"lamp.state": 0, "lamp.brightness": 0, "lamp.color.x": 0.31, "lamp.color.y": 0.33},
        ),
        ("zigbee2mqtt/hall", {"occupancy": True, "illuminance": 211, "temperature": None},
         {"hall.occupancy": 1, "hall.illuminance": 211}),
    ],
    "tasmota": [
        (
            "tele/plug/SENSOR",
            {"Time": "2023-11-14T23:13:10", "ENERGY": {"TotalStartTime": "2023-01-01T00:00:00", "Total": 3.185,
             "Yesterday": 0.041, "Today": 0.012, "Power": 5, "Voltage": 231, "Current": 0.034}},
            {"plug.ENERGY.Total": 3.185, "plug.ENERGY.Yesterday": 0.041, "plug.ENERGY.Today": 0.012,
             "plug.ENERGY.Power": 5, "plug.ENERGY.Voltage": 231, "plug.ENERGY.Current": 0.034},
        ),
        (
            "tele/plug/STATE",
            {"Time": "2023-11-14T23:13:10", "Uptime": "1T02:03:04", "UptimeSec": 93784, "Heap": 27, "Sleep": 50,
             "SleepMode": "Dynamic", "LoadAvg": 19, "MqttCount": 1, "POWER": "ON",
             "Wifi": {"AP": 1, "SSId": "net", "BSSId": "AA:BB", "Channel": 11, "RSSI": 78, "Signal": -61,
             "LinkCount": 1, "Downtime": "0T00:00:05"}},
            {"plug.POWER": 1, "plug.Wifi.RSSI": 78, "plug.Wifi.Signal": -61},
        ),
        (
            "tele/attic/SENSOR",
            {"Time": "2023-11-14T23:13:10", "BME280": {"Temperature": 19.4, "Humidity": 44.1, "DewPoint": 6.9,
             "Pressure": 1004.2}, "PressureUnit": "hPa", "TempUnit": "C"},
            {"attic.BME280.Temperature": 19.4, "attic.BME280.Humidity": 44.1, "attic.BME280.DewPoint": 6.9,
             "attic.BME280.Pressure": 1004.2},
        ),
        ("tele/boiler/SENSOR", {"Time": "2023-11-14T23:13:10", "DS18B20-1": {"Id": "01131B123456", "Temperature": 54.2},
         "TempUnit": "C"}, {"boiler.DS18B20-1.Temperature": 54.2}),
        ("tele/gate/SENSOR", {"Time": "2023-11-14T23:13:10", "Switch1": "OFF"}, {"gate.Switch1": 0}),
    ],
    "shelly": [
        ("shellies/shelly1pm-AB12/relay/0", "on", {"shelly1pm-AB12.relay.0": 1}),
        ("shellies/shelly1pm-AB12/relay/0/power", "12.75", {"shelly1pm-AB12.relay.0.power": 12.75}),
        ("shellies/shellyht-1/sensor/temperature", "21.5", {"shellyht-1.sensor.temperature": 21.5}),
        ("shellies/shellydw-1/sensor/state", "open", {"shellydw-1.sensor.state": 1}),
        (
            "shellyplus1pm-x/status/switch:0",
            {"id": 0, "source": "init", "output": True, "apower": 8.9, "voltage": 230.1, "current": 0.06,
             "aenergy": {"total": 2345.6, "by_minute": [120.1, 118.3, 119.0], "minute_ts": 1699999980},
             "temperature": {"tC": 41.2, "tF": 106.2}},
            {"shellyplus1pm-x.switch:0.output": 1, "shellyplus1pm-x.switch:0.apower": 8.9,
             "shellyplus1pm-x.switch:0.voltage": 230.1, "shellyplus1pm-x.switch:0.current": 0.06,
             "shellyplus1pm-x.switch:0.aenergy.total": 2345.6, "shellyplus1pm-x.switch:0.temperature.tC": 41.2},
        ),
        ("shellyplusht-y/status/humidity:0", {"id": 0, "rh": 42.2}, {"shellyplusht-y.humidity:0.rh": 42.2}),
        ("shellyplusht-y/status/temperature:0", {"id": 0, "tC": 19.8, "tF": 67.6},
         {"shellyplusht-y.temperature:0.tC": 19.8}),
        (
            "shellypro-z/status/sys",
            {"mac": "B8D61A8B17CC", "restart_required": False, "time": "22:13", "unixtime": 1699999990, "uptime": 3,
             "ram_size": 235300, "ram_free": 164244, "cfg_rev": 10, "available_updates": {"beta": {"version": "1"}}},
            {},
        ),
        ("shellies/shelly1pm-AB12/relay/0/command", "off", {}),
        (
            "shellyplus2pm-r/events/rpc",
            {"src": "shellyplus2pm-r", "dst": "shellyplus2pm-r/events", "method": "NotifyStatus",
             "params": {"ts": 1699999990.25, "switch:1": {
                 "id": 1, "apower": 31.5, "output": True, "aenergy": {
                     "total": 12.5, "by_minute": [1.5, 2.5, 3.5], "minute_ts": 1699999980}}}},
            {"shellyplus2pm-r.switch:1.apower": 31.5, "shellyplus2pm-r.switch:1.output": 1,
             "shellyplus2pm-r.switch:1.aenergy.total": 12.5},
        ),
        (
            "shellyplus2pm-r/events/rpc",
            {"src": "shellyplus2pm-r", "method": "NotifyEvent", "params": {
                "ts": 1699999990.5, "events": [{"component": "input:0", "event": "btn_up", "ts": 1699999990.5}]}},
            {},
        ),
    ],
    "esphome": [
        ("weather/sensor/outside_temperature/state", "-3.25", {"weather.outside_temperature": -3.25}),
        ("weather/binary_sensor/rain/state", "ON", {"weather.rain": 1}),
        ("weather/switch/heater/state", "OFF", {"weather.heater": 0}),
        ("weather/sensor/wind/state", "nan", {}),
        ("weather/light/lamp/state", {"state": "ON", "brightness": 128, "color_mode": "rgb", "effect": "None"},
         {"weather.lamp.state": 1, "weather.lamp.brightness": 128}),
        ("weather/text_sensor/version/state", "2023.10.1", {}),
    ],
    "the_things_stack": [
        (*_things({"temperature": 21.5, "humidity": 40}), {"d-1.temperature": 21.5, "d-1.humidity": 40}),
        (*_things({"air": {"co2": 611}, "serial": "SN-12"}), {"d-1.air.co2": 611}),
        (*_things({"door": "open", "battery": "3.61"}), {"d-1.door": 1, "d-1.battery": 3.61}),
        (*_things({"leak": False, "messageCounter": 12, "hardware_version": 2}), {"d-1.leak": 0}),
        (*_things({"channels": [1.5, 2.5]}, "kühler"), {"k_fc_hler.channels.0": 1.5, "k_fc_hler.channels.1": 2.5}),
    ],
    "chirpstack": [
        (*_chirpstack({"temperature": 21.5}), {"0102030405060708.temperature": 21.5}),
        (*_chirpstack({"temperatureSensor": {"1": 22.5}}), {"0102030405060708.temperatureSensor.1": 22.5}),
        (*_chirpstack({"status": "on", "sn": "6136"}), {"0102030405060708.status": 1}),
        (*_chirpstack({"moisture": "31.2 %", "model": "x"}), {"0102030405060708.moisture": 31.2}),
        (*_chirpstack({"valve": True, "fCnt": 9}), {"0102030405060708.valve": 1}),
    ],
    "homeassistant": [
        ("homeassistant/sensor/living_room_temperature/state", "20.7", {"sensor.living_room_temperature": 20.7}),
        ("homeassistant/binary_sensor/front_door/state", "off", {"binary_sensor.front_door": 0}),
        ("homeassistant/switch/pump/state", "on", {"switch.pump": 1}),
        ("homeassistant/sensor/weather/state", "cloudy", {}),
        ("homeassistant/input_number/setpoint/state", "55.0", {"input_number.setpoint": 55}),
        ("homeassistant/sensor/pump_power/state", "unavailable", {}),
    ],
    "kepserver": [
        ("iotgateway/plant", _kepserver(("Channel1.Device1.Tag1", 42, True)), {"Channel1.Device1.Tag1": 42}),
        ("iotgateway/plant", _kepserver(("S7.Press.Temp", 81.5, True), ("S7.Press.On", True, True)),
         {"S7.Press.Temp": 81.5, "S7.Press.On": 1}),
        ("iotgateway/plant", _kepserver(("S7.Press.Recipe", "A-12", True), ("S7.Press.P", 3, True)),
         {"S7.Press.P": 3}),
        ("iotgateway/plant", _kepserver(("S7.Press.Temp", 0, False)), {"S7.Press.Temp": 0}),
        ("iotgateway/a/b", _kepserver(("S7._System._NoError", True, True), ("S7.X.Füllstand", 7, True)),
         {"S7.X.F_fc_llstand": 7}),
    ],
    "victron": [
        ("N/e0ff50a097c0/system/0/Dc/Battery/Voltage", {"value": 26.41}, {"system.0.Dc.Battery.Voltage": 26.41}),
        ("N/e0ff50a097c0/battery/256/Soc", {"value": 87.5}, {"battery.256.Soc": 87.5}),
        ("N/e0ff50a097c0/solarcharger/278/Yield/Power", {"value": 412}, {"solarcharger.278.Yield.Power": 412}),
        ("N/e0ff50a097c0/vebus/276/Ac/ActiveIn/L1/P", {"value": None}, {}),
        ("N/e0ff50a097c0/battery/256/Serial", {"value": "HQ2132"}, {}),
        ("N/e0ff50a097c0/battery/256/ProductId", {"value": 41861}, {}),
    ],
    "ruuvi": [
        (
            *_ruuvi("0201061BFF99040512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"),
            {f"{_TAG}.temperature": 24.3, f"{_TAG}.humidity": 53.49, f"{_TAG}.pressure": 100_044,
             f"{_TAG}.acceleration_x": 0.004, f"{_TAG}.acceleration_y": -0.004, f"{_TAG}.acceleration_z": 1.036,
             f"{_TAG}.battery": 2.977, f"{_TAG}.rssi": -62},
        ),
        (
            *_ruuvi("0201061BFF9904058000FFFFFFFF800080008000FFFFFFFFFFCBB8334C884F"),
            {f"{_TAG}.rssi": -62},
        ),
        (
            *_ruuvi("0201061BFF9904057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F"),
            {f"{_TAG}.temperature": 163.835, f"{_TAG}.humidity": 163.835, f"{_TAG}.pressure": 115_534,
             f"{_TAG}.acceleration_x": 32.767, f"{_TAG}.acceleration_y": 32.767, f"{_TAG}.acceleration_z": 32.767,
             f"{_TAG}.battery": 3.646, f"{_TAG}.rssi": -62},
        ),
        (
            *_ruuvi("02010611FF990403291A1ECE1EFC18F94202CA0B53"),
            {f"{_TAG}.temperature": 26.3, f"{_TAG}.humidity": 20.5, f"{_TAG}.pressure": 102_766,
             f"{_TAG}.acceleration_x": -1.0, f"{_TAG}.acceleration_y": -1.726, f"{_TAG}.acceleration_z": 0.714,
             f"{_TAG}.battery": 2.899, f"{_TAG}.rssi": -62},
        ),
        (*_ruuvi("0201061AFF4C000215"), {}),
    ],
    "theengs": [
        (
            "home/TheengsGateway/BTtoMQTT/A4C138000001",
            {"id": "A4:C1:38:00:00:01", "rssi": -71, "brand": "Xiaomi", "model": "TH", "model_id": "LYWSD03MMC",
             "type": "THB", "acts": True, "cidc": False, "tempc": 21.3, "tempf": 70.34, "hum": 41.2, "batt": 88,
             "volt": 2.95},
            {"A4C138000001.rssi": -71, "A4C138000001.tempc": 21.3, "A4C138000001.hum": 41.2,
             "A4C138000001.batt": 88, "A4C138000001.volt": 2.95},
        ),
        ("home/OMG/BTtoMQTT/D1", {"id": "D1", "rssi": -60, "txpower": 12, "distance": 1.5},
         {"D1.rssi": -60, "D1.distance": 1.5}),
        ("home/OMG/BTtoMQTT/D2", {"id": "D2", "name": "CGDN1", "rssi": -80, "open": True, "batt": 50},
         {"D2.rssi": -80, "D2.open": 1, "D2.batt": 50}),
        ("home/OMG/BTtoMQTT/D3", {"id": "D3", "servicedata": "5000", "servicedatauuid": "0xfe95", "rssi": -77},
         {"D3.rssi": -77}),
        ("home/OMG/BTtoMQTT/D4", {"id": "D4", "mac_type": 1, "adv_type": 0, "co2": 800, "pres": 1001.5, "rssi": -50},
         {"D4.co2": 800, "D4.pres": 1001.5, "D4.rssi": -50}),
    ],
    "rtl_433": [
        (
            "rtl_433/radio/events",
            {"time": "2023-11-14 23:13:10", "model": "Acurite-Tower", "id": 11524, "channel": "A", "battery_ok": 1,
             "temperature_C": 22.4, "humidity": 38, "mic": "CHECKSUM"},
            {"Acurite-Tower.11524.battery_ok": 1, "Acurite-Tower.11524.temperature_C": 22.4,
             "Acurite-Tower.11524.humidity": 38},
        ),
        (
            "rtl_433/radio/events",
            {"time": "1699999990", "protocol": 52, "model": "Bresser-3CH", "id": 164, "channel": 1, "battery_ok": 0,
             "temperature_F": 48.2, "humidity": 79, "mod": "ASK", "freq": 433.93, "rssi": -0.1, "snr": 20.5,
             "noise": -20.6},
            {"Bresser-3CH.164.battery_ok": 0, "Bresser-3CH.164.temperature_F": 48.2, "Bresser-3CH.164.humidity": 79,
             "Bresser-3CH.164.rssi": -0.1, "Bresser-3CH.164.snr": 20.5, "Bresser-3CH.164.noise": -20.6},
        ),
        (
            "rtl_433/radio/events",
            {"time": "@0.1s", "type": "TPMS", "model": "Toyota", "id": "f0a1b2c3", "pressure_kPa": 241.0,
             "temperature_C": 19, "mic": "CRC"},
            {"Toyota.f0a1b2c3.pressure_kPa": 241, "Toyota.f0a1b2c3.temperature_C": 19},
        ),
        (
            "rtl_433/radio/events",
            {"time": "", "model": "Fineoffset-WH24", "id": 9, "wind_avg_m_s": 1.4, "rain_mm": 12.3, "uvi": 0,
             "subtype": 3, "raw_msg": "aa"},
            {"Fineoffset-WH24.9.wind_avg_m_s": 1.4, "Fineoffset-WH24.9.rain_mm": 12.3, "Fineoffset-WH24.9.uvi": 0},
        ),
        ("rtl_433/radio/events", {"model": "Generic-Motion", "id": 7, "state": "open", "code": "12a"},
         {"Generic-Motion.7.state": 1}),
    ],
    "milesight": [
        (*_things({"battery": 92, "temperature": 30.8, "humidity": 50.5}),
         {"d-1.battery": 92, "d-1.temperature": 30.8, "d-1.humidity": 50.5}),
        (*_things({"magnet_status": "open", "tamper_status": "installed", "battery": 90}),
         {"d-1.magnet_status": 1, "d-1.tamper_status": 0, "d-1.battery": 90}),
        (*_chirpstack({"leakage_status": "leak", "sn": "6785C1", "ipso_version": "v0.1"}),
         {"0102030405060708.leakage_status": 1}),
        (*_things({"pir": "trigger", "daylight": "dark", "device_status": "on", "firmware_version": "v1.8"}),
         {"d-1.pir": 1, "d-1.daylight": 0}),
        (*_things({"history": [{"timestamp": 1665561758, "temperature": 27.2, "humidity": 46.5}]}), {}),
        (*_things({"co2": 650, "tvoc": 12, "pressure": 1013.2, "hardware_version": "v2.0"}),
         {"d-1.co2": 650, "d-1.tvoc": 12, "d-1.pressure": 1013.2}),
    ],
    "dragino": [
        (*_things({"BatV": 3.04, "Bat_status": 3, "Ext_sensor": "Temperature Sensor", "Hum_SHT": "57.3",
         "TempC_DS": "21.31", "TempC_SHT": "23.42", "Node_type": "LHT65N"}),
         {"d-1.BatV": 3.04, "d-1.Hum_SHT": 57.3, "d-1.TempC_DS": 21.31, "d-1.TempC_SHT": 23.42}),
        (*_things({"BatV": 3.2, "DOOR_OPEN_STATUS": 1, "DOOR_OPEN_TIMES": 33, "LAST_DOOR_OPEN_DURATION": 2, "MOD": 1}),
         {"d-1.BatV": 3.2, "d-1.DOOR_OPEN_STATUS": 1, "d-1.LAST_DOOR_OPEN_DURATION": 2}),
        (*_things({"water_SOIL": "21.20", "conduct_SOIL": 112, "temp_SOIL": "19.41", "Interrupt_flag": 0,
         "Message_type": 1, "Sensor_flag": 1}),
         {"d-1.water_SOIL": 21.2, "d-1.conduct_SOIL": 112, "d-1.temp_SOIL": 19.41}),
        (*_chirpstack({"BatV": "3.60", "TempC1": "22.50", "Work_mode": "IIC", "Digital_IStatus": "L"}),
         {"0102030405060708.BatV": 3.6, "0102030405060708.TempC1": 22.5}),
        (*_things({"Bat": "3.314", "Distance": 1730, "Interrupt_status": 0, "TempC_DS18B20": "18"}),
         {"d-1.Bat": 3.314, "d-1.Distance": 1730, "d-1.TempC_DS18B20": 18}),
    ],
    "sitewise": [
        (*_sitewise("a-1", "p-1", {"doubleValue": 12.5}), {"a-1.p-1": 12.5}),
        (*_sitewise("a-1", "p-2", {"integerValue": 4}), {"a-1.p-2": 4}),
        (*_sitewise("a-1", "p-3", {"booleanValue": True}, "UNCERTAIN"), {"a-1.p-3": 1}),
        (*_sitewise("a-1", "p-4", {"stringValue": "RUNNING"}), {}),
        (
            "sitewise/edge",
            {"propertyAlias": "/plant/press/temp", "propertyValues": [
                {"value": {"doubleValue": 80.5}, "timestamp": {"timeInSeconds": 1_699_999_990}, "quality": "GOOD"}]},
            {"x/plant/press/temp": 80.5},
        ),
    ],
}  # fmt: skip


def encoded(payload: Any) -> bytes:
    """Return a sample's payload as it is published."""
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
