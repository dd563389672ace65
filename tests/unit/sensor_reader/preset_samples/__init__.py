"""Sample payloads of device families by the documents of their makers, and the series that they give.

One module a preset; its ``SAMPLES`` have the forms of the documents named beside them, with values of their own.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Mapping
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """A payload (text, bytes or a JSON value) on a topic, the expected value of each series, and where the form is."""

    topic: str
    payload: Any
    expected: Mapping[str, float]
    source: str


def encoded(payload: Any) -> bytes:
    """Return a sample's payload as it is published."""
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def things_uplink(decoded: dict[str, Any], device: str = "d-1") -> tuple[str, dict[str, Any]]:
    """Return topic and uplink message of The Things Stack with a decoded payload."""
    message = {
        "end_device_ids": {"device_id": device, "dev_eui": "70B3D57ED0000001", "dev_addr": "260B1234"},
        "correlation_ids": ["as:up:01H"],
        "received_at": "2023-11-14T22:13:10.123456789Z",
        "uplink_message": {
            "f_port": 2,
            "f_cnt": 512,
            "frm_payload": "AQ==",
            "decoded_payload": decoded,
            "rx_metadata": [{"gateway_ids": {"gateway_id": "gw"}, "rssi": -97, "snr": 7.5}],
            "consumed_airtime": "0.061696s",
        },
    }
    return f"v3/app@tenant/devices/{device}/up", message


def chirpstack_uplink(decoded: dict[str, Any], device: str = "0102030405060708") -> tuple[str, dict[str, Any]]:
    """Return topic and uplink event of ChirpStack with a decoded object."""
    event = {
        "deduplicationId": "5f0c8c1e-3a52-4c1a-9f57-1d6f0b6d6f01",
        "time": "2023-11-14T22:13:10.559332+00:00",
        "deviceInfo": {"tenantName": "t", "applicationId": "1b7d2c11", "deviceName": "hall", "devEui": device},
        "devAddr": "01a2b3c4",
        "adr": True,
        "dr": 1,
        "fCnt": 4,
        "fPort": 1,
        "confirmed": False,
        "data": "qg==",
        "object": decoded,
        "rxInfo": [{"gatewayId": "0016c001f1500000", "uplinkId": 421710, "rssi": -36, "snr": 10.5}],
        "txInfo": {"frequency": 868100000},
    }
    return f"application/1b7d2c11-be03/device/{device}/event/up", event


def _samples() -> dict[str, list[Sample]]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: list(importlib.import_module(f"{__name__}.{name}").SAMPLES) for name in names}


SAMPLES = _samples()
