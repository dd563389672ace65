"""Dragino decoders on The Things Stack and ChirpStack."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample, chirpstack_uplink, things_uplink

_DECODERS = "dragino-end-node-decoder, https://github.com/dragino/dragino-end-node-decoder"

SAMPLES = [
    Sample(
        *things_uplink(
            {
                "BatV": 3.04,
                "Bat_status": "Good",
                "Ext_sensor": "Temperature Sensor",
                "Hum_SHT": 57.3,
                "TempC_DS": 21.31,
                "TempC_SHT": 23.42,
                "Node_type": "LHT65N",
            }
        ),
        {"d-1.BatV": 3.04, "d-1.Hum_SHT": 57.3, "d-1.TempC_DS": 21.31, "d-1.TempC_SHT": 23.42},
        f"{_DECODERS}, LHT65N",
    ),
    Sample(
        *things_uplink(
            {"SENSOR_MODEL": "LHT65N", "FIRMWARE_VERSION": "1.4", "FREQUENCY_BAND": "EU868", "SUB_BAND": 2, "BAT": 3.05}
        ),
        {"d-1.BAT": 3.05},
        f"{_DECODERS}, LHT65N, device information",
    ),
    Sample(
        *things_uplink(
            {
                "BAT_V": 3.2,
                "MOD": 1,
                "DOOR_OPEN_STATUS": 1,
                "DOOR_OPEN_TIMES": 33,
                "LAST_DOOR_OPEN_DURATION": 2,
                "ALARM": 0,
            }
        ),
        {
            "d-1.BAT_V": 3.2,
            "d-1.DOOR_OPEN_STATUS": 1,
            "d-1.DOOR_OPEN_TIMES": 33,
            "d-1.LAST_DOOR_OPEN_DURATION": 2,
            "d-1.ALARM": 0,
        },
        f"{_DECODERS}, LDS02",
    ),
    Sample(
        *things_uplink(
            {
                "BatV": 3.6,
                "water_SOIL": "21.20",
                "conduct_SOIL": 112,
                "temp_SOIL": "19.41",
                "s_flag": 1,
                "temp_DS18B20": "18.50",
                "i_flag": 0,
                "Mod": 0,
                "Node_type": "LSE01",
            }
        ),
        {
            "d-1.BatV": 3.6,
            "d-1.water_SOIL": 21.2,
            "d-1.conduct_SOIL": 112,
            "d-1.temp_SOIL": 19.41,
            "d-1.temp_DS18B20": 18.5,
        },
        f"{_DECODERS}, LSE01",
    ),
    Sample(
        *chirpstack_uplink(
            {
                "BatV": "3.60",
                "TempC1": "22.50",
                "Work_mode": "IIC",
                "Digital_IStatus": "L",
                "EXTI_Trigger": "FALSE",
                "Door_status": "OPEN",
                "ADC_CH0V": 0.25,
            }
        ),
        {
            "0102030405060708.BatV": 3.6,
            "0102030405060708.TempC1": 22.5,
            "0102030405060708.Digital_IStatus": 0,
            "0102030405060708.EXTI_Trigger": 0,
            "0102030405060708.Door_status": 1,
            "0102030405060708.ADC_CH0V": 0.25,
        },
        f"{_DECODERS}, LSN50-v2",
    ),
    Sample(
        *things_uplink({"Bat": "3.314", "Distance": 1730, "Interrupt_status": 0, "TempC_DS18B20": "18"}),
        {"d-1.Bat": 3.314, "d-1.Distance": 1730, "d-1.TempC_DS18B20": 18},
        f"{_DECODERS}, LDDS20",
    ),
    Sample(
        *things_uplink(
            {
                "AVI1_V": 5.25,
                "ACI1_mA": 4.125,
                "DI1_status": "H",
                "DO1_status": "L",
                "RO1_status": "ON",
                "Count1_times": 12,
                "Hardware_mode": "LT22222",
                "Work_mode": "2ACI+2AVI",
            }
        ),
        {
            "d-1.AVI1_V": 5.25,
            "d-1.ACI1_mA": 4.125,
            "d-1.DI1_status": 1,
            "d-1.DO1_status": 0,
            "d-1.RO1_status": 1,
            "d-1.Count1_times": 12,
        },
        f"{_DECODERS}, LT22222-L",
    ),
    Sample(
        *things_uplink({"Node_type": "LHT65N", "DATALOG": "[24.9,25.3,47.1,2023-11-14 21:53:20],"}),
        {"d-1.Ext_value": 24.9, "d-1.TempC_SHT": 25.3, "d-1.Hum_SHT": 47.1},
        f"{_DECODERS}, LHT65N, stored readings",
    ),
    Sample(
        *chirpstack_uplink({"Node_type": "S31-LB", "DATALOG": "[19.5,61.2,Low,False,2023-11-14 21:53:20],"}),
        {"0102030405060708.TempC_SHT31": 19.5, "0102030405060708.Hum_SHT31": 61.2},
        f"{_DECODERS}, S31-LB, stored readings",
    ),
    Sample(
        *things_uplink({"Node_type": "LSN50-S31", "DATALOG": "[-3.5,88.1,2023-11-14 21:53:20],"}),
        {"d-1.TempC_SHT31": -3.5, "d-1.Hum_SHT31": 88.1},
        f"{_DECODERS}, LSN50v2-S31, stored readings",
    ),
    Sample(
        *things_uplink({"Node_type": "LHT65N", "DATALOG": "[0,0,0,1970-01-01 00:00:00],"}),
        {},
        f"{_DECODERS}, LHT65N, without a stored reading in the time that was asked for",
    ),
]
