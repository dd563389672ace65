"""Victron Venus OS: one topic a value of the D-Bus, as an object with the key ``value``."""

from edge_components.sensor_reader.presets import Preset

PRESET = Preset(
    "Victron Venus OS",
    topics=({"topic": "N/{portal}/{service}/{instance}/#", "series": "{service}.{instance}.{rest}"},),
    mapping={
        "value": "value",
        "time": "",
        "text_values": "skip",
        "ignore": [
            *("*.ProductId", "*.Serial", "*.DeviceInstance", "*.DeviceType", "*.FirmwareVersion", "*.HardwareVersion"),
            *("*.Mgmt.*", "settings.*", "*.VrmPortalId", "*.UpdateIndex", "*.NrOf*", "platform.*"),
        ],
        "fields": {
            "*.Voltage": {"unit": "V"},
            "*.V": {"unit": "V"},
            "*.Current": {"unit": "A"},
            "*.I": {"unit": "A"},
            "*.Power": {"unit": "W"},
            "*.P": {"unit": "W"},
            "*.Soc": {"unit": "%"},
            "*.Temperature": {"unit": "Cel"},
            "*.Frequency": {"unit": "Hz"},
            "*.Yield.*": {"unit": "kWh"},
            "*.Yield.Power": {"unit": "W"},
            "*.Energy.*": {"unit": "kWh"},
        },
    },
)
