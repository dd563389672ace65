"""ChirpStack."""

from __future__ import annotations

from tests.unit.sensor_reader.preset_samples import Sample, chirpstack_uplink

_UP = "Event types, up, https://www.chirpstack.io/docs/chirpstack/integrations/events.html"
_STATUS = "Event types, status, https://www.chirpstack.io/docs/chirpstack/integrations/events.html"
_DEVICE = "0102030405060708"


def _status(**keys: float) -> tuple[str, dict[str, object]]:
    _topic, event = chirpstack_uplink({})
    kept = {key: event[key] for key in ("deduplicationId", "time", "deviceInfo")}
    return f"application/1b7d2c11-be03/device/{_DEVICE}/event/status", {**kept, **keys}


SAMPLES = [
    Sample(*chirpstack_uplink({"temperature": 21.5}), {f"{_DEVICE}.temperature": 21.5}, _UP),
    Sample(*chirpstack_uplink({"temperatureSensor": {"1": 22.5}}), {f"{_DEVICE}.temperatureSensor.1": 22.5}, _UP),
    Sample(*chirpstack_uplink({"status": "on", "sn": "6136"}), {f"{_DEVICE}.status": 1}, _UP),
    Sample(*chirpstack_uplink({"moisture": "31.2 %", "model": "x"}), {f"{_DEVICE}.moisture": 31.2}, _UP),
    Sample(*chirpstack_uplink({"valve": True, "fCnt": 9}), {f"{_DEVICE}.valve": 1}, _UP),
    Sample(*_status(margin=11, batteryLevel=88.5), {f"{_DEVICE}.margin": 11, f"{_DEVICE}.batteryLevel": 88.5}, _STATUS),
    Sample(
        *_status(margin=7, externalPowerSource=True),
        {f"{_DEVICE}.margin": 7, f"{_DEVICE}.externalPowerSource": 1},
        _STATUS,
    ),
]
