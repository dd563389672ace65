"""Requests of Opsgenie's Alert API v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from cloud_functions.core.messages.text import alerts_of, body, facts, subject

MAX_ALIAS, MAX_MESSAGE = 512, 130
_PRIORITIES = {"critical": "P1", "warning": "P3", "info": "P5"}


class Request(NamedTuple):
    """A request: what follows the URL of the API's alerts, and the body."""

    suffix: str
    payload: dict[str, Any]


def request(event: Mapping[str, Any], link: str = "") -> Request:
    """Return the request that creates, acknowledges or closes the alert, named by its id as alias."""
    alert = alerts_of(event)[0]
    alias = str(alert["id"])[:MAX_ALIAS]
    action = {"acknowledged": "acknowledge", "resolved": "close"}.get(str(alert["state"]))
    if action is not None:
        note = {"source": "strandline", "note": subject(event)}
        return Request(f"/{quote(alias, safe='')}/{action}?identifierType=alias", note)
    payload = {
        "message": subject(event)[:MAX_MESSAGE],
        "alias": alias,
        "description": body(event, link)[:15_000],
        "priority": _PRIORITIES[str(alert["severity"])],
        "source": str(alert["gateway"])[:100],
        "entity": str(alert.get("series", ""))[:512],
        "details": dict(facts(alert)),
    }
    return Request("", payload)
