"""The Things Stack."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample, things_uplink

_PAGES = "https://www.thethingsindustries.com/docs/integrations"
_FORMATS = f"Data Formats, uplink messages, {_PAGES}/data-formats/"
_SCRIPT = f"JavaScript payload formatters, uplink, {_PAGES}/payload-formatters/javascript/uplink/"
_CAYENNE = f"CayenneLPP payload formatter, {_PAGES}/payload-formatters/cayenne/"

SAMPLES = [
    Sample(
        *things_uplink({"temperature": 21.5, "humidity": 40}), {"d-1.temperature": 21.5, "d-1.humidity": 40}, _FORMATS
    ),
    Sample(*things_uplink({"air": {"co2": 611}, "serial": "SN-12"}), {"d-1.air.co2": 611}, _SCRIPT),
    Sample(*things_uplink({"door": "open", "battery": "3.61"}), {"d-1.door": 1, "d-1.battery": 3.61}, _SCRIPT),
    Sample(*things_uplink({"leak": False, "messageCounter": 12, "hardware_version": 2}), {"d-1.leak": 0}, _SCRIPT),
    Sample(
        *things_uplink({"channels": [1.5, 2.5]}, "kühler"),
        {"k_fc_hler.channels.0": 1.5, "k_fc_hler.channels.1": 2.5},
        _SCRIPT,
    ),
    Sample(
        *things_uplink(
            {
                "temperature_3": 27.2,
                "digital_in_5": 1,
                "accelerometer_6": {"x": 1.25, "y": -0.5, "z": 0},
                "gps_1": {"latitude": 42.25, "longitude": -87.5, "altitude": 10},
            }
        ),
        {
            "d-1.temperature_3": 27.2,
            "d-1.digital_in_5": 1,
            "d-1.accelerometer_6.x": 1.25,
            "d-1.accelerometer_6.y": -0.5,
            "d-1.accelerometer_6.z": 0,
            "d-1.gps_1.latitude": 42.25,
            "d-1.gps_1.longitude": -87.5,
            "d-1.gps_1.altitude": 10,
        },
        _CAYENNE,
    ),
]
