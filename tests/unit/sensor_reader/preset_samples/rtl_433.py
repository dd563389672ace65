"""rtl_433."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample

_FORMAT = "JSON Data fields, https://triq.org/rtl_433/DATA_FORMAT.html"
_MQTT = "MQTT output, https://triq.org/rtl_433/OPERATION.html"

SAMPLES = [
    Sample(
        "rtl_433/radio/events",
        {
            "time": "2023-11-14 23:13:10",
            "model": "Acurite-Tower",
            "id": 11524,
            "channel": "A",
            "battery_ok": 1,
            "temperature_C": 22.4,
            "humidity": 38,
            "mic": "CHECKSUM",
        },
        {
            "Acurite-Tower.A.11524.battery_ok": 1,
            "Acurite-Tower.A.11524.temperature_C": 22.4,
            "Acurite-Tower.A.11524.humidity": 38,
        },
        f"{_FORMAT}; {_MQTT}",
    ),
    Sample(
        "rtl_433/radio/events",
        {
            "time": "1699999990",
            "protocol": 52,
            "model": "Bresser-3CH",
            "id": 164,
            "channel": 1,
            "battery_ok": 0,
            "temperature_F": 48.2,
            "humidity": 79,
            "mod": "ASK",
            "freq": 433.93,
            "rssi": -0.1,
            "snr": 20.5,
            "noise": -20.6,
        },
        {
            "Bresser-3CH.1.164.battery_ok": 0,
            "Bresser-3CH.1.164.temperature_F": 48.2,
            "Bresser-3CH.1.164.humidity": 79,
            "Bresser-3CH.1.164.rssi": -0.1,
            "Bresser-3CH.1.164.snr": 20.5,
            "Bresser-3CH.1.164.noise": -20.6,
        },
        f"{_FORMAT}; {_MQTT} (options protocol and level)",
    ),
    Sample(
        "rtl_433/radio/events",
        {
            "time": "@0.1s",
            "type": "TPMS",
            "model": "Toyota",
            "id": "f0a1b2c3",
            "pressure_psi": 34.5,
            "temperature_C": 19,
            "status": 128,
            "mic": "CRC",
        },
        {"Toyota.f0a1b2c3.pressure_psi": 34.5, "Toyota.f0a1b2c3.temperature_C": 19, "Toyota.f0a1b2c3.status": 128},
        _FORMAT,
    ),
    Sample(
        "rtl_433/radio/events",
        {
            "time": "",
            "model": "Fineoffset-WH24",
            "id": 9,
            "wind_dir_deg": 45,
            "wind_avg_m_s": 1.4,
            "wind_max_m_s": 2.1,
            "rain_mm": 12.3,
            "rain_rate_mm_h": 0.5,
            "uvi": 0,
            "battery_V": 2.9,
            "subtype": 3,
            "raw_msg": "aa",
        },
        {
            "Fineoffset-WH24.3.9.wind_dir_deg": 45,
            "Fineoffset-WH24.3.9.wind_avg_m_s": 1.4,
            "Fineoffset-WH24.3.9.wind_max_m_s": 2.1,
            "Fineoffset-WH24.3.9.rain_mm": 12.3,
            "Fineoffset-WH24.3.9.rain_rate_mm_h": 0.5,
            "Fineoffset-WH24.3.9.uvi": 0,
            "Fineoffset-WH24.3.9.battery_V": 2.9,
        },
        _FORMAT,
    ),
    Sample(
        "rtl_433/radio/events",
        {"model": "Generic-Motion", "id": 7, "state": "open", "code": "12a"},
        {"Generic-Motion.7.state": 1},
        _FORMAT,
    ),
    Sample(
        "rtl_433/radio/events",
        {"time": "2023-11-14 23:13:10", "model": "Soil", "moisture": 31, "sequence_num": 7, "msg_counter": 3},
        {"Soil.moisture": 31},
        f"{_FORMAT} (id and channel are optional)",
    ),
]
