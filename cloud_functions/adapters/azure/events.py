"""Events of IoT Hub as messages of the core.

The device comes from the system property that the hub sets from the connection's credentials, never from the body.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import azure.functions as func

DEVICE, SOURCE = "connection-device-id", "message-source"
LANES = ("urgent", "bulk", "backfill")
_TELEMETRY = "Telemetry"


def envelopes_of(events: Sequence[func.EventHubEvent], now_ms: int) -> list[str]:
    """Return the envelopes of the batches among events; events of the hub itself, as of twins, are not batches.

    ``now_ms`` is the time of arrival of an event that the hub gave none.
    """
    return [
        _envelope(event, _property(event, at, "lane"), now_ms)
        for at, event in enumerate(events)
        if (event.iothub_metadata or {}).get(SOURCE, _TELEMETRY) == _TELEMETRY
    ]


def _envelope(event: func.EventHubEvent, lane: str, now_ms: int) -> str:
    device = str((event.iothub_metadata or {}).get(DEVICE, ""))
    enqueued = event.enqueued_time
    fields = {
        "data": base64.b64encode(event.get_body()).decode(),
        # A device whose id is not the name of a gateway, or is missing, is rejected and kept as a dead letter.
        "topic": f"strandline/v1/{device}/{lane if lane in LANES else 'bulk'}",
        "client": device,
        "principal": "",
        "received_at": now_ms if enqueued is None else round(enqueued.timestamp() * 1000),
    }
    return json.dumps(fields)


def _property(event: func.EventHubEvent, at: int, name: str) -> str:
    """Return an application property of an event: all events of an invocation share the arrays of their metadata."""
    metadata: Any = event.metadata or {}
    found = metadata.get("PropertiesArray")
    own = found[at] if isinstance(found, list) and at < len(found) else metadata.get("Properties")
    return str(own.get(name, "")) if isinstance(own, dict) else ""
