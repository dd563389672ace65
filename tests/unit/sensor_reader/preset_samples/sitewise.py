"""AWS IoT SiteWise."""

from __future__ import annotations

from typing import Any

from tests.unit.sensor_reader.preset_samples import Sample

_PAGES = "https://docs.aws.amazon.com/iot-sitewise/latest"
_NOTIFICATIONS = f"Query asset property notifications, {_PAGES}/userguide/query-notification-messages.html"
_STREAM = f"Destinations and stream manager, message structure, {_PAGES}/userguide/destinations-gg-stream-manager.html"
_BATCH = f"BatchPutAssetPropertyValue, request body, {_PAGES}/APIReference/API_BatchPutAssetPropertyValue.html"


def _item(value: dict[str, Any], quality: str = "GOOD") -> dict[str, Any]:
    return {"timestamp": {"timeInSeconds": 1_699_999_990, "offsetInNanos": 5}, "quality": quality, "value": value}


def _notification(prop: str, *items: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    payload = {"assetId": "a-1", "propertyId": prop, "values": list(items)}
    topic = f"$aws/sitewise/asset-models/model-1/assets/a-1/properties/{prop}"
    return topic, {"type": "PropertyValueUpdate", "payload": payload}


SAMPLES = [
    Sample(*_notification("p-1", _item({"doubleValue": 12.5})), {"a-1.p-1": 12.5}, _NOTIFICATIONS),
    Sample(*_notification("p-2", _item({"integerValue": 4})), {"a-1.p-2": 4}, _NOTIFICATIONS),
    Sample(*_notification("p-3", _item({"booleanValue": True}, "UNCERTAIN")), {"a-1.p-3": 1}, _NOTIFICATIONS),
    Sample(*_notification("p-4", _item({"stringValue": "7.5"})), {}, _NOTIFICATIONS),
    Sample(*_notification("p-5", _item({"nullValue": {"valueType": "D"}}, "BAD")), {}, _NOTIFICATIONS),
    Sample(
        "sitewise/edge",
        {"propertyAlias": "/plant/press/temp", "propertyValues": [_item({"doubleValue": 80.5})]},
        {"x/plant/press/temp": 80.5},
        _STREAM,
    ),
    Sample(
        "sitewise/edge",
        {"assetId": "a-2", "propertyId": "p-1", "propertyValues": [_item({"integerValue": 3})]},
        {"a-2.p-1": 3},
        _STREAM,
    ),
    Sample(
        "sitewise/requests",
        {
            "entries": [
                {"entryId": "1", "propertyAlias": "press/force", "propertyValues": [_item({"doubleValue": 4.5})]},
                {
                    "entryId": "2",
                    "assetId": "a-3",
                    "propertyId": "p-9",
                    "propertyValues": [_item({"booleanValue": False})],
                },
            ]
        },
        {"press/force": 4.5, "a-3.p-9": 0},
        _BATCH,
    ),
]
