"""Theengs Gateway and OpenMQTTGateway: decoded advertisements of Bluetooth devices."""

from edge_components.sensor_reader.presets import ON_OFF, Preset

PRESET = Preset(
    "Theengs Gateway and OpenMQTTGateway, Bluetooth",
    topics=({"topic": "home/{gateway}/BTtoMQTT/{device}", "series": "{device}.{field}"},),
    mapping={
        "value": "**",
        "time": "",
        "text_values": "skip",
        "words": dict(ON_OFF),
        "ignore": [
            *("id", "mac", "mac_type", "adv_type", "mfid", "uuid", "servicedatauuid", "txpower", "tempf", "tempf[0-9]"),
            *("cidc", "acts", "cont", "track", "encr", "prmac", "packet", "ctr", "counter", "seq", "*volt_raw"),
        ],
        "fields": {
            "tempc": {"unit": "Cel"},
            "hum": {"unit": "%RH"},
            "batt": {"unit": "%"},
            "volt": {"unit": "V"},
            "pres": {"unit": "hPa"},
            "rssi": {"unit": "dBm"},
            "lux": {"unit": "lx"},
            "co2": {"unit": "ppm"},
            "distance": {"unit": "m"},
        },
    },
)
