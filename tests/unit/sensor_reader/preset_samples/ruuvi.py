"""Ruuvi Gateway."""

from __future__ import annotations

from typing import Any

from tests.unit.sensor_reader.preset_samples import Sample

_PAGES = "https://docs.ruuvi.com"
_GATEWAY = f"MQTT: Time-stamped data from Bluetooth-sensors, {_PAGES}/ruuvi-gateway-firmware/data-formats"
_ADVERTISEMENTS = f"{_PAGES}/communication/bluetooth-advertisements"
_FIVE = f"{_GATEWAY}; Data format 5 (RAWv2), test vectors, {_ADVERTISEMENTS}/data-format-5-rawv2"
_TAG = "CB:B8:33:4C:88:4F"


def _message(data: str, tag: str = _TAG) -> tuple[str, dict[str, Any]]:
    body = {"gw_mac": "C8:25:2D:8E:9C:2C", "rssi": -62, "aoa": [], "gwts": "1699999991", "ts": "1699999990"}
    return f"ruuvi/C8:25:2D:8E:9C:2C/{tag}", {**body, "data": data, "coords": ""}


def _named(tag: str, **values: float) -> dict[str, float]:
    return {f"{tag}.{name}": value for name, value in values.items()}


SAMPLES = [
    Sample(
        *_message("0201061BFF99040512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"),
        _named(
            _TAG,
            temperature=24.3,
            humidity=53.49,
            pressure=100_044,
            acceleration_x=0.004,
            acceleration_y=-0.004,
            acceleration_z=1.036,
            battery=2.977,
            movements=66,
            rssi=-62,
        ),
        _FIVE,
    ),
    Sample(*_message("0201061BFF9904058000FFFFFFFF800080008000FFFFFFFFFFCBB8334C884F"), _named(_TAG, rssi=-62), _FIVE),
    Sample(
        *_message("0201061BFF9904057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F"),
        _named(
            _TAG,
            temperature=163.835,
            humidity=163.835,
            pressure=115_534,
            acceleration_x=32.767,
            acceleration_y=32.767,
            acceleration_z=32.767,
            battery=3.646,
            movements=254,
            rssi=-62,
        ),
        _FIVE,
    ),
    Sample(
        *_message("02010611FF990403291A1ECE1EFC18F94202CA0B53", "old"),
        _named(
            "old",
            temperature=26.3,
            humidity=20.5,
            pressure=102_766,
            acceleration_x=-1.0,
            acceleration_y=-1.726,
            acceleration_z=0.714,
            battery=2.899,
            rssi=-62,
        ),
        f"{_GATEWAY}; Data format 3 (RAWv1), test vectors, {_ADVERTISEMENTS}/data-format-3-rawv1",
    ),
    Sample(
        *_message("02010617FF990406170C5668C79E007000C90501D9FFCD004C884F", "air-4"),
        _named(
            "air-4",
            temperature=29.5,
            humidity=55.3,
            pressure=101_102,
            pm2_5=11.2,
            co2=201,
            voc=10,
            nox=2,
            luminosity=13_026.67,
            rssi=-62,
        ),
        f"{_GATEWAY}; Data format 6, test vectors, {_ADVERTISEMENTS}/data-format-6",
    ),
    Sample(
        *_message("2BFF9904E1170C5668C79E0065007004BD11CA00C90A0213E0ACFFFFFFDECDEE01FFFFFFFFFFCBB8334C884F", "air-5"),
        _named(
            "air-5",
            temperature=29.5,
            humidity=55.3,
            pressure=101_102,
            pm1=10.1,
            pm2_5=11.2,
            pm4=121.3,
            pm10=455.4,
            co2=201,
            voc=20,
            nox=4,
            luminosity=13_027,
            rssi=-62,
        ),
        f"{_GATEWAY}; Data format E1 (Extended v1), test vectors, {_ADVERTISEMENTS}/data-format-e1",
    ),
    Sample(
        "ruuvi/C8:25:2D:8E:9C:2C/decoded",
        {
            "gw_mac": "C8:25:2D:8E:9C:2C",
            "rssi": -46,
            "aoa": [],
            "ts": "1699999990",
            "dataFormat": 5,
            "coords": "",
            "temperature": 21.5,
            "humidity": 46.155,
            "pressure": 100_787,
            "accelX": 0.056,
            "accelY": 0.016,
            "accelZ": 1.008,
            "movementCounter": 80,
            "voltage": 2.651,
            "txPower": -32,
            "measurementSequenceNumber": 8273,
            "id": "F4:C6:46:2C:3E:B4",
        },
        _named(
            "decoded",
            temperature=21.5,
            humidity=46.155,
            pressure=100_787,
            acceleration_x=0.056,
            acceleration_y=0.016,
            acceleration_z=1.008,
            movements=80,
            battery=2.651,
            rssi=-46,
        ),
        f"GET /history with decoding, {_PAGES}/ruuvi-gateway-firmware/data-formats (names of decoded values)",
    ),
    Sample(
        "ruuvi/C8:25:2D:8E:9C:2C/gw_status",
        {"state": "online"},
        {},
        f"MQTT examples, {_PAGES}/ruuvi-gateway-firmware/examples/mqtt-examples",
    ),
    Sample(*_message("0201061AFF4C000215"), {}, f"{_GATEWAY}; an advertisement of another maker"),
]
