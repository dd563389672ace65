"""Milesight decoders on The Things Stack and ChirpStack."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample, chirpstack_uplink, things_uplink

_DECODERS = "SensorDecoders, README of the device, https://github.com/Milesight-IoT/SensorDecoders"

SAMPLES = [
    Sample(
        *things_uplink({"battery": 92, "temperature": 30.5, "humidity": 50.5}),
        {"d-1.battery": 92, "d-1.temperature": 30.5, "d-1.humidity": 50.5},
        f"{_DECODERS}, em300-th",
    ),
    Sample(
        *things_uplink({"magnet_status": "open", "tamper_status": "installed", "battery": 90}),
        {"d-1.magnet_status": 1, "d-1.tamper_status": 0, "d-1.battery": 90},
        f"{_DECODERS}, em300-mcs and ws301",
    ),
    Sample(
        *chirpstack_uplink({"leakage_status": "leak", "sn": "6785C1", "ipso_version": "v0.1"}),
        {"0102030405060708.leakage_status": 1},
        f"{_DECODERS}, em300-sld",
    ),
    Sample(
        *things_uplink({"pir": "trigger", "daylight": "dark", "device_status": "on", "firmware_version": "v1.8"}),
        {"d-1.pir": 1, "d-1.daylight": 0},
        f"{_DECODERS}, ws202",
    ),
    Sample(
        *things_uplink({"history": [{"timestamp": 1_699_999_990, "temperature": 27.5, "humidity": 46.5}]}),
        {"d-1.temperature": 27.5, "d-1.humidity": 46.5},
        f"{_DECODERS}, em300-th, history",
    ),
    Sample(
        *things_uplink(
            {
                "temperature": 23.5,
                "humidity": 62,
                "pir": "trigger",
                "light_level": 2,
                "co2": 936,
                "tvoc": 0.37,
                "pressure": 1008.5,
                "hcho": 0.07,
                "pm2_5": 32,
                "pm10": 48,
            }
        ),
        {
            "d-1.temperature": 23.5,
            "d-1.humidity": 62,
            "d-1.pir": 1,
            "d-1.light_level": 2,
            "d-1.co2": 936,
            "d-1.tvoc": 0.37,
            "d-1.pressure": 1008.5,
            "d-1.hcho": 0.07,
            "d-1.pm2_5": 32,
            "d-1.pm10": 48,
        },
        f"{_DECODERS}, am319-hcho",
    ),
    Sample(
        *chirpstack_uplink(
            {
                "current": 25,
                "current_max": 30,
                "current_min": 20,
                "current_alarm": {
                    "current_over_range_alarm": "yes",
                    "current_over_range_alarm_release": "no",
                    "current_threshold_alarm": "yes",
                    "current_threshold_alarm_release": "no",
                },
            }
        ),
        {
            "0102030405060708.current": 25,
            "0102030405060708.current_max": 30,
            "0102030405060708.current_min": 20,
            "0102030405060708.current_alarm.current_over_range_alarm": 1,
            "0102030405060708.current_alarm.current_over_range_alarm_release": 0,
            "0102030405060708.current_alarm.current_threshold_alarm": 1,
            "0102030405060708.current_alarm.current_threshold_alarm_release": 0,
        },
        f"{_DECODERS}, ct101",
    ),
    Sample(
        *things_uplink(
            {
                "battery": 100,
                "motion_status": "moving",
                "position": "tilt",
                "temperature": 28.5,
                "geofence_status": "unset",
                "latitude": 24.625,
                "longitude": 118.03,
                "wifi": [{"group": 8, "mac": "1c:c3:16:22:2d:f9", "motion_status": "moving", "rssi": -61}],
            }
        ),
        {
            "d-1.battery": 100,
            "d-1.motion_status": 1,
            "d-1.position": 1,
            "d-1.temperature": 28.5,
            "d-1.latitude": 24.625,
            "d-1.longitude": 118.03,
        },
        f"{_DECODERS}, at101",
    ),
    Sample(
        *things_uplink({"water_conv": 10, "pluse_conv": 16, "water": "741.50", "water_alarm": "gpio alarm"}),
        {"d-1.water_conv": 10, "d-1.pluse_conv": 16, "d-1.water": 741.5},
        f"{_DECODERS}, em300-di-hall",
    ),
]
