"""KEPServerEX."""

from __future__ import annotations

from typing import Any

from tests.unit.sensor_reader.preset_samples import Sample

_GATEWAY = (
    "IoT Gateway, MQTT, https://support.ptc.com/help/kepware/kepware_edge/en/kepware/kepware-edge/edge-iot-mqtt.html"
)
_TEMPLATE = f"{_GATEWAY}; standard template (timestamp, values) with id, v, q, t"
_ARRAYS = "tags that are arrays, https://support.ptc.com/help/kepware"
_ADVANCED = "advanced template of Clarify, https://docs.clarify.io/developers/tools/mqtt-broker/formats/kepserver"


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
    Sample(
        "iotgateway/plant",
        _tags(("S7.Press.Profile", [20.5, 21, 22.5], True), ("S7.Press.Steps", [True, False], True)),
        {
            "S7.Press.Profile.0": 20.5,
            "S7.Press.Profile.1": 21,
            "S7.Press.Profile.2": 22.5,
            "S7.Press.Steps.0": 1,
            "S7.Press.Steps.1": 0,
        },
        f"{_TEMPLATE}; {_ARRAYS}",
    ),
    Sample(
        "iotgateway/plant",
        _tags(("S7.Press.Map", [[1, 2], [3, 4]], True), ("S7.Press.Names", ["a", "b"], True)),
        {"S7.Press.Map.0.0": 1, "S7.Press.Map.0.1": 2, "S7.Press.Map.1.0": 3, "S7.Press.Map.1.1": 4},
        f"{_TEMPLATE}; {_ARRAYS}",
    ),
    Sample(
        "iotgateway/plant",
        [{"id": "S7.Press.Temp", "v": 81.5, "q": True, "t": 1_699_999_990_000}, {"id": "S7.Press.P", "v": [3, 4]}],
        {"S7.Press.Temp": 81.5, "S7.Press.P.0": 3, "S7.Press.P.1": 4},
        f"{_ADVANCED}, tags without an object around them",
    ),
    Sample(
        "iotgateway/plant",
        [{"tagname": "Hall 2.Press.Temp", "timestamp": 1_699_999_990_000, "value": 81.5}],
        {"Hall_2.Press.Temp": 81.5},
        f"{_ADVANCED}, keys tagname, value and timestamp",
    ),
    Sample("iotgateway/plant", _tags(("S7.Press.Temp", 0, False)), {"S7.Press.Temp": 0}, _TEMPLATE),
    Sample(
        "iotgateway",
        _tags(("S7._System._NoError", True, True), ("S7.X.Füllstand", 7, True)),
        {"S7.X.F_fc_llstand": 7},
        _TEMPLATE,
    ),
]
