"""Payload of PagerDuty's Events API v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloud_functions.core.messages.text import alerts_of, facts, subject

_ACTIONS = {"firing": "trigger", "acknowledged": "acknowledge", "resolved": "resolve", "pending": "trigger"}


def payload(event: Mapping[str, Any], routing_key: str, link: str = "") -> dict[str, Any]:
    """Return the event; the alert's id is the key by which PagerDuty removes duplicates."""
    alert = alerts_of(event)[0]
    links = [{"href": f"{link}#/alerts/{alert['id']}", "text": "Open"}] if link else []
    return {
        "routing_key": routing_key,
        "event_action": _ACTIONS[str(alert["state"])],
        "dedup_key": str(alert["id"])[:255],
        "payload": {
            "summary": subject(event),
            "source": str(alert["gateway"]),
            "severity": str(alert["severity"]),
            "timestamp": event["time"],
            "component": str(alert.get("series", "")),
            "class": str(alert.get("cause", "")),
            "custom_details": dict(facts(alert)),
        },
        "links": links,
    }
