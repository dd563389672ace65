"""Victron Venus OS."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample

_MQTT = "dbus-flashmq, Notifications, https://github.com/victronenergy/dbus-flashmq"
_PATHS = "Venus OS wiki, dbus, https://github.com/victronenergy/venus/wiki/dbus"
_BATTERIES = "dbus-systemcalc-py, batterydata, https://github.com/victronenergy/dbus-systemcalc-py"
_NEST = "system.0.Batteries.com.victronenergy.battery"

SAMPLES = [
    Sample(
        "N/e0ff50a097c0/system/0/Dc/Battery/Voltage",
        {"value": 26.41},
        {"system.0.Dc.Battery.Voltage": 26.41},
        f"{_MQTT}; {_PATHS}",
    ),
    Sample("N/e0ff50a097c0/battery/256/Soc", {"value": 87.5}, {"battery.256.Soc": 87.5}, f"{_MQTT}; {_PATHS}"),
    Sample("N/e0ff50a097c0/pvinverter/20/Ac/Power", {"value": 912}, {"pvinverter.20.Ac.Power": 912}, _MQTT),
    Sample(
        "N/e0ff50a097c0/solarcharger/278/Yield/Power",
        {"max": None, "min": None, "value": 412},
        {"solarcharger.278.Yield.Power": 412},
        f"{_MQTT}; {_PATHS}",
    ),
    Sample("N/e0ff50a097c0/vebus/276/Ac/ActiveIn/L1/P", {"value": None}, {}, _MQTT),
    Sample("N/e0ff50a097c0/pvinverter/20/Ac/L2/Power", "", {}, _MQTT),
    Sample("N/e0ff50a097c0/battery/256/Serial", {"value": "HQ2132"}, {}, _PATHS),
    Sample("N/e0ff50a097c0/battery/256/CustomName", {"value": "2"}, {}, _PATHS),
    Sample("N/e0ff50a097c0/battery/256/ProductId", {"value": 41861}, {}, f"{_MQTT}; {_PATHS}"),
    Sample("N/e0ff50a097c0/battery/256/DeviceInstance", {"value": 256}, {}, f"{_MQTT}; {_PATHS}"),
    Sample(
        "N/e0ff50a097c0/system/0/Batteries",
        {
            "value": [
                {
                    "id": "com.victronenergy.battery.ttyO2",
                    "instance": 256,
                    "name": "House",
                    "voltage": 26.5,
                    "current": -4.5,
                    "power": -119.25,
                    "soc": 87.5,
                    "state": 2,
                    "active_battery_service": True,
                },
                {"id": "com.victronenergy.battery.ttyO2:1", "name": "Starter", "voltage": 12.9},
            ]
        },
        {
            f"{_NEST}.ttyO2.voltage": 26.5,
            f"{_NEST}.ttyO2.current": -4.5,
            f"{_NEST}.ttyO2.power": -119.25,
            f"{_NEST}.ttyO2.soc": 87.5,
            f"{_NEST}.ttyO2.state": 2,
            f"{_NEST}.ttyO2.active_battery_service": 1,
            f"{_NEST}.ttyO2:1.voltage": 12.9,
        },
        _BATTERIES,
    ),
]
