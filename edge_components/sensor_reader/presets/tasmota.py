"""Tasmota: the periodic SENSOR and STATE messages. Their time has no offset from UTC, so the arrival counts."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

PRESET = Preset(
    "Tasmota",
    topics=({"topic": "tele/{device}/SENSOR"}, {"topic": "tele/{device}/STATE"}),
    mapping={
        "value": "**",
        "time": "",
        "text_values": "skip",
        "words": dict(ON_OFF),
        "ignore": [
            *("Time", "*TotalStartTime", "UptimeSec", "Heap", "Sleep", "LoadAvg", "MqttCount", "Berry.*"),
            *("Wifi.AP", "Wifi.Channel", "Wifi.LinkCount", "*.Id", "*.Address", "Hostname", "IPAddress"),
        ],
        "fields": {  # a device with several channels has lists, such as ENERGY.Power.0
            "ENERGY.Total*": {"unit": "kWh"},
            "ENERGY.Yesterday*": {"unit": "kWh"},
            "ENERGY.Today*": {"unit": "kWh"},
            "ENERGY.Power*": {"unit": "W"},
            "ENERGY.ApparentPower*": {"unit": "VA"},
            "ENERGY.ReactivePower*": {"unit": "var"},
            "ENERGY.Voltage*": {"unit": "V"},
            "ENERGY.Current*": {"unit": "A"},
            "*.Humidity": {"unit": "%RH"},
            "*.Pressure": {"unit": "hPa"},
            "Wifi.Signal": {"unit": "dBm"},
        },
    },
)
