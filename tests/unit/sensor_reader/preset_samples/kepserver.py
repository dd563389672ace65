"""KEPServerEX."""

from __future__ import annotations

from typing import Any

from tests.unit.sensor_reader.preset_samples import Sample

_GATEWAY = (
    "IoT Gateway, MQTT, https://support.ptc.com/help/kepware/kepware_edge/en/kepware/kepware-edge/edge-iot-mqtt.html"
)
_TEMPLATE = f"{_GATEWAY}; standard template (timestamp, values) with id, v, q, t"


def _tags(*tags: tuple[str, Any, bool]) -> dict[str, Any]:
    values = [{"id": name, "v": value, "q": good, "t": 1_699_999_990_000} for name, value, good in tags]
    return {"timestamp": 1_699_999_999_000, "values": values}


SAMPLES = [
    Sample("iotgateway/plant", _tags(("Channel1.Device1.Tag1", 42, True)), {"Channel1.Device1.Tag1": 42}, _TEMPLATE),
    Sample(
        "iotgateway/plant",
        _tags(("S7.Press.Temp", 81.5, True), ("S7.Press.On", True, True)),
        {"S7.Press.Temp": 81.5, "S7.Press.On": 1},
        _TEMPLATE,
    ),
    Sample(
        "iotgateway/plant",
        _tags(("S7.Press.Recipe", "A-12", True), ("S7.Press.P", 3, True)),
        {"S7.Press.P": 3},
        _TEMPLATE,
    ),
    Sample("iotgateway/plant", _tags(("S7.Press.Temp", 0, False)), {"S7.Press.Temp": 0}, _TEMPLATE),
    Sample(
        "iotgateway",
        _tags(("S7._System._NoError", True, True), ("S7.X.Füllstand", 7, True)),
        {"S7.X.F_fc_llstand": 7},
        _TEMPLATE,
    ),
]
