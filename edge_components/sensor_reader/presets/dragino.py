"""Dragino: the objects that the vendor's decoders return on a LoRaWAN network server, with numbers in text.

The decoders write the times of stored readings in the zone of the network server, which is UTC by default here.
"""

from edge_components.sensor_reader.presets import ON_OFF, Preset

_TOPICS = (
    {"topic": "v3/+/devices/{device}/up", "each": "uplink_message.decoded_payload", "time": "received_at"},
    {"topic": "application/+/device/{device}/event/up", "each": "object", "time": "time"},
)
"""The uplinks of The Things Stack and of ChirpStack; for another network server give topics with ``each``."""

PRESET = Preset(
    "Dragino decoders",
    topics=_TOPICS,
    mapping={
        "format": "dragino",
        "time_zone": "UTC",
        "value": "**",
        "quality": "",
        "text_values": "skip",
        "words": {**ON_OFF, "close": 0, "high": 1, "low": 0, "h": 1, "l": 0},
        "ignore": [
            *(
                "Node_type",
                "*essage_type",
                "*es_type",
                "Work_mode",
                "*MOD",
                "MOD[0-9]*",
                "[Mm]od",
                "*_mod*",
                "*[Mm]ode",
            ),
            *("Bat_status", "BatV_status", "*_flag", "*_flag[HL]", "Interrupt*", "Ext_sensor", "Ext", "Status", "*_ID"),
            *("ID", "[Dd]ata[Ll]og*", "Data_[Tt]ime", "*[Tt]imestamp", "Time", "TDC*", "ATDC", "tdc*"),
            *(
                "*_[Tt]imer",
                "FIRMWARE*",
                "[Ff]irmware*",
                "SENSOR_MODEL",
                "[Ss]ensor_[Mm]odel",
                "SUB_BAND",
                "[Ss]ub_[Bb]and",
            ),
            *("FREQUENCY_BAND", "Fre*_[Bb]and", "PNACKMD", "Pay[Vv]er", "Payload_Ver", "Ver", "retransmission_*"),
            *("total_packages", "subcontracting_count", "Hardware_*", "MAC*", "[Mm]ajor", "[Mm]inor", "Temp.[0-9]*"),
        ],
        "fields": {
            "Bat*": {"unit": "V"},
            "BAT*": {"unit": "V"},
            "bat": {"unit": "mV"},
            "Bat_mV": {"unit": "mV"},
            "*TempC*": {"unit": "Cel"},
            "temp_*": {"unit": "Cel"},
            "TEMP_SOIL": {"unit": "Cel"},
            "Temp_Channel*": {"unit": "Cel"},
            "*Hum_*": {"unit": "%RH"},
            "water_*": {"unit": "%"},
            "conduct_*": {"unit": "uS/cm"},
            "ILL_*": {"unit": "lx"},
            "ADC_*V": {"unit": "V"},
            "*_mA": {"unit": "mA"},
            "*_cm": {"unit": "cm"},
            "*_mm": {"unit": "mm"},
            "*_kPa": {"unit": "kPa"},
            "CO2_ppm": {"unit": "ppm"},
            "TVOC_ppb": {"unit": "ppb"},
            "LAST_*_DURATION": {"unit": "min"},
        },
    },
)
