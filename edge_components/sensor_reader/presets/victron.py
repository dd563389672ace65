"""Victron Venus OS: one topic a value of the D-Bus, as an object with the key ``value``."""

from edge_components.sensor_reader.presets import Preset

PRESET = Preset(
    "Victron Venus OS",
    topics=(
        {
            "topic": "N/{portal}/system/{instance}/Batteries",
            "each": "value.*",
            "value": "**",
            "series": "system.{instance}.Batteries.{.id}.{field}",
            "ignore": ["id", "instance", "name"],
            "fields": {
                "voltage": {"unit": "V"},
                "current": {"unit": "A"},
                "power": {"unit": "W"},
                "soc": {"unit": "%"},
                "temperature": {"unit": "Cel"},
                "timetogo": {"unit": "s"},
            },
        },
        {"topic": "N/{portal}/{service}/{instance}/#", "series": "{service}.{instance}.{rest}"},
    ),
    mapping={
        "value": "value",
        "time": "",
        "unit": "",
        "quality": "",
        "text_values": "skip",
        "ignore": [
            *("*.ProductId", "*.Serial", "*Instance", "*.DeviceType", "*Version", "*.CustomName", "*.ProductName"),
            *(
                "*.Mgmt.*",
                "settings.*",
                "*.VrmPortalId",
                "*.UpdateIndex",
                "*.NrOf*",
                "platform.*",
                "*.AvailableBatteries",
            ),
        ],
        "fields": {
            "*Voltage": {"unit": "V"},
            "*.V": {"unit": "V"},
            "*.Current": {"unit": "A"},
            "*.I": {"unit": "A"},
            "*Power": {"unit": "W"},
            "*.P": {"unit": "W"},
            "*.S": {"unit": "VA"},
            "*.F": {"unit": "Hz"},
            "*.Soc": {"unit": "%"},
            "*.TimeToGo": {"unit": "s"},
            "*.ConsumedAmphours": {"unit": "Ah"},
            "*.Temperature": {"unit": "Cel"},
            "*.Frequency": {"unit": "Hz"},
            "*.Yield.*": {"unit": "kWh"},
            "*.Yield.Power": {"unit": "W"},
            "*.Energy.*": {"unit": "kWh"},
        },
    },
)
