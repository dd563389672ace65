"""Tasmota."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample

_PAGES = "https://tasmota.github.io/docs"
_STATUS = f"JSON Status Responses, {_PAGES}/JSON-Status-Responses/"

SAMPLES = [
    Sample(
        "tele/plug/SENSOR",
        {
            "Time": "2023-11-14T23:13:10",
            "ENERGY": {
                "TotalStartTime": "2023-01-01T00:00:00",
                "Total": 3.185,
                "Yesterday": 0.041,
                "Today": 0.012,
                "Period": 2,
                "Power": 5,
                "ApparentPower": 9,
                "ReactivePower": 7,
                "Factor": 0.58,
                "Voltage": 231,
                "Current": 0.034,
            },
        },
        {
            "plug.ENERGY.Total": 3.185,
            "plug.ENERGY.Yesterday": 0.041,
            "plug.ENERGY.Today": 0.012,
            "plug.ENERGY.Period": 2,
            "plug.ENERGY.Power": 5,
            "plug.ENERGY.ApparentPower": 9,
            "plug.ENERGY.ReactivePower": 7,
            "plug.ENERGY.Factor": 0.58,
            "plug.ENERGY.Voltage": 231,
            "plug.ENERGY.Current": 0.034,
        },
        f"Power Monitoring Calibration, {_PAGES}/Power-Monitoring-Calibration/",
    ),
    Sample(
        "tele/plug/STATE",
        {
            "Time": "2023-11-14T23:13:10+01:00",
            "Uptime": "1T02:03:04",
            "UptimeSec": 93784,
            "Vcc": 3.423,
            "Heap": 27,
            "Sleep": 50,
            "SleepMode": "Dynamic",
            "LoadAvg": 19,
            "MqttCount": 1,
            "POWER": "ON",
            "Dimmer": 40,
            "Fade": "OFF",
            "Speed": 1,
            "LedTable": "ON",
            "Wifi": {
                "AP": 1,
                "SSId": "net",
                "BSSId": "AA:BB",
                "Channel": 11,
                "Mode": "11n",
                "RSSI": 78,
                "Signal": -61,
                "LinkCount": 1,
                "Downtime": "0T00:00:05",
            },
        },
        {"plug.Vcc": 3.423, "plug.POWER": 1, "plug.Dimmer": 40, "plug.Wifi.RSSI": 78, "plug.Wifi.Signal": -61},
        f"Deep Sleep, the message STATE, {_PAGES}/DeepSleep/",
    ),
    Sample(
        "tele/attic/SENSOR",
        {
            "Time": "2023-11-14T23:13:10",
            "BME280": {"Temperature": 19.4, "Humidity": 44.1, "DewPoint": 6.9, "Pressure": 1004.2},
            "PressureUnit": "hPa",
            "TempUnit": "C",
        },
        {
            "attic.BME280.Temperature": 19.4,
            "attic.BME280.Humidity": 44.1,
            "attic.BME280.DewPoint": 6.9,
            "attic.BME280.Pressure": 1004.2,
        },
        f"BME280, {_PAGES}/BME280/",
    ),
    Sample(
        "tele/garage/SENSOR",
        {"Time": "2023-11-14T23:13:10", "DHT11": {"Temperature": 71.6, "Humidity": 27.0}, "TempUnit": "F"},
        {"garage.DHT11.Temperature": 71.6, "garage.DHT11.Humidity": 27.0},
        _STATUS,
    ),
    Sample(
        "tele/boiler/SENSOR",
        {
            "Time": "2023-11-14T23:13:10",
            "DS18B20-1": {"Id": "00000566CC01", "Temperature": 54.2},
            "DS18B20-2": {"Id": "000005937C02", "Temperature": 41.5},
            "TempUnit": "C",
        },
        {"boiler.DS18B20-1.Temperature": 54.2, "boiler.DS18B20-2.Temperature": 41.5},
        f"DS18x20, {_PAGES}/DS18x20/",
    ),
    Sample(
        "tele/gate/SENSOR",
        {"Time": "2023-11-14T23:13:10", "Switch1": "OFF", "Switch2": "ON"},
        {"gate.Switch1": 0, "gate.Switch2": 1},
        f"Buttons and Switches, {_PAGES}/Buttons-and-Switches/",
    ),
    Sample(
        "tele/air/SENSOR",
        {
            "Time": "2023-11-14T23:13:10",
            "SCD40": {"CarbonDioxide": 655, "eCO2": 660, "Temperature": 22.8},
            "PMS5003": {"PM1": 1, "PM2.5": 2, "PB0.3": 423},
            "TempUnit": "C",
        },
        {
            "air.SCD40.CarbonDioxide": 655,
            "air.SCD40.eCO2": 660,
            "air.SCD40.Temperature": 22.8,
            "air.PMS5003.PM1": 1,
            "air.PMS5003.PM2.5": 2,
            "air.PMS5003.PB0.3": 423,
        },
        f"Matter, SCD40, {_PAGES}/Matter/; {_STATUS}",
    ),
    Sample(
        "tele/bridge/SENSOR",
        {
            "ZbReceived": {
                "0x2916": {
                    "Device": "0x2916",
                    "Name": "north",
                    "Temperature": 25.5,
                    "Humidity": 47.5,
                    "0006/4001": 0,
                    "Endpoint": 1,
                    "LinkQuality": 116,
                }
            }
        },
        {
            "bridge.ZbReceived.0x2916.Temperature": 25.5,
            "bridge.ZbReceived.0x2916.Humidity": 47.5,
            "bridge.ZbReceived.0x2916.LinkQuality": 116,
        },
        f"Zigbee, {_PAGES}/Zigbee/",
    ),
    Sample("stat/fan/POWER", "ON", {"fan.POWER": 1}, f"MQTT, {_PAGES}/MQTT/"),
]
