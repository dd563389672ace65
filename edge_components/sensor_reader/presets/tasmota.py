"""Tasmota: the periodic SENSOR and STATE messages, and the state of a relay when it changes.

Times have no offset from UTC by default, so the arrival counts.
"""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_RELAYS = ("POWER", *(f"POWER{number}" for number in range(1, 9)))

PRESET = Preset(
    "Tasmota",
    topics=(
        {"topic": "tele/{device}/SENSOR"},
        {"topic": "tele/{device}/STATE"},
        *(
            {"topic": f"stat/{{device}}/{relay}", "format": "plain", "series": f"{{device}}.{relay}"}
            for relay in _RELAYS
        ),
    ),
    mapping={
        "value": "**",
        "time": "",
        "unit": "",
        "quality": "",
        "text_values": "skip",
        "duplicates": "merge",
        "words": dict(ON_OFF),
        "ignore": [
            *("Time", "Epoch", "*TotalStartTime", "UptimeSec", "Heap", "Sleep", "LoadAvg", "MqttCount", "Berry.*"),
            *("Wifi.AP", "Wifi.Channel", "Wifi.LinkCount", "*.Id", "*.Address", "Hostname", "IPAddress", "DeepSleep"),
            *("Fade", "Speed", "LedTable", "Scheme", "*.Endpoint", "*.Cluster", "*.????/????", "*.Read*", "ArtNet.*"),
            *("IrReceived.*", "RfReceived.*", "*.UID", "*.ADCO", "OPENTHERM.settings", "*.RAW"),
            *("*.Heap", "*.DeepSleep", "*Group", "*Group.*", "*Group[CS]*"),
        ],
        "unit_names": {"C": "Cel", "F": "degF"},
        "fields": {  # a device with several channels has lists, such as ENERGY.Power.0
            "*Temperature": {"unit": "{.TempUnit}"},
            "*DewPoint": {"unit": "{.TempUnit}"},
            "*Pressure": {"unit": "{.PressureUnit}"},
            "*Humidity": {"unit": "%RH"},
            "*Illuminance": {"unit": "lx"},
            "*CarbonDioxide": {"unit": "ppm"},
            "*eCO2": {"unit": "ppm"},
            "*TVOC": {"unit": "ppb"},
            "ENERGY.Total*": {"unit": "kWh"},
            "ENERGY.Yesterday*": {"unit": "kWh"},
            "ENERGY.Today*": {"unit": "kWh"},
            "ENERGY.Period*": {"unit": "Wh"},
            "ENERGY.Power*": {"unit": "W"},
            "ENERGY.ApparentPower*": {"unit": "VA"},
            "ENERGY.ReactivePower*": {"unit": "var"},
            "ENERGY.Voltage*": {"unit": "V"},
            "ENERGY.Current*": {"unit": "A"},
            "ENERGY.Frequency*": {"unit": "Hz"},
            "Vcc": {"unit": "V"},
            "Wifi.Signal": {"unit": "dBm"},
            "Wifi.RSSI": {"unit": "%"},
        },
    },
)
