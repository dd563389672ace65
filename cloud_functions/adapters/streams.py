"""Records of a DynamoDB stream in the format of Lambda events."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cloud_functions.adapters.dynamodb import to_item
from cloud_functions.core.ports import Item


def images(record: Mapping[str, Any]) -> tuple[Item | None, Item | None]:
    """Return the item before and after a change; None if it did not exist or is not part of the stream record."""
    change = record["dynamodb"]
    return _image(change.get("OldImage")), _image(change.get("NewImage"))


def _image(raw: Mapping[str, Mapping[str, Any]] | None) -> Item | None:
    if not raw:
        return None
    decoded = {}
    for name, typed in raw.items():
        # In JSON, bytes are base64.
        decoded[name] = {"B": base64.b64decode(typed["B"])} if "B" in typed else typed
    return to_item(decoded)
