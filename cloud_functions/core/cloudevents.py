"""The envelopes in which alerts leave: CloudEvents 1.0, structured mode, JSON.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md. Delivery is at least once; ``source`` and ``id``
name the event, so a subscriber can detect duplicates. ``cloud_functions/schemas`` has the JSON Schema of each type; a
type's last part is its version, which changes when a key is removed or changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cloud_functions.core.alert import Alert, State
from cloud_functions.core.severity import Severity

VERSION = "v1"
TYPE_PREFIX = "io.strandline.alert."
NOTIFICATION = f"io.strandline.notification.{VERSION}"
SCHEMAS = "urn:io.strandline:schema:"
MAX_SHOWN = 20
"""Alerts that a notification lists; the others are counted."""
_SHOWN = (
    *("id", "gateway", "series", "kind", "rule", "severity", "state", "summary", "unit", "onset_ms", "ended_ms"),
    *("observed", "expected", "lower", "upper", "score", "cause", "direction", "channel", "flapping", "comment"),
    "acknowledged_by",
)


def event_type(state: str) -> str:
    """Return the type of the event of an alert that enters a state."""
    return f"{TYPE_PREFIX}{state}.{VERSION}"


def envelope(alert: Alert, entered: State, suffix: str = "") -> dict[str, Any]:
    """Return the CloudEvent for ``alert`` entering a state; the same transition has the same id.

    ``suffix`` distinguishes a repeated or escalated event from the first one.
    """
    at_ms = {
        State.RESOLVED: alert.ended_ms,
        State.ACKNOWLEDGED: alert.acknowledged_ms,
        State.FIRING: alert.fired_ms,
    }.get(entered)
    return {
        "specversion": "1.0",
        "id": f"{alert.id}-{entered}{suffix}",
        "source": f"/strandline/gateways/{alert.gateway}",
        "type": event_type(entered),
        "subject": alert.report.series or alert.gateway,
        "time": rfc3339(at_ms if at_ms is not None else alert.opened_ms),
        "datacontenttype": "application/json",
        "dataschema": f"{SCHEMAS}alert.{VERSION}",
        "data": alert.to_dict() | {"state": str(entered)},
    }


def member(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an alert's event that a notification contains."""
    data = event["data"]
    return {name: data[name] for name in _SHOWN if data.get(name) not in (None, "")} | {"series": data["series"]}


def notification(
    event_id: str, route: str, group: str, members: Sequence[Mapping[str, Any]], now_ms: int
) -> dict[str, Any]:
    """Return the CloudEvent of a notification: the newest state of each alert, the most urgent first."""
    newest: dict[str, Mapping[str, Any]] = {}
    for one in members:
        known = newest.get(str(one["id"]))
        if known is None or _order(one["state"]) >= _order(known["state"]):
            newest[str(one["id"])] = one
    alerts = sorted(newest.values(), key=lambda one: (_order(one["state"]), _rank(one["severity"]), one["onset_ms"]))
    counts = {str(state): sum(1 for one in alerts if one["state"] == state) for state in State}
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/strandline/routes/{route}",
        "type": NOTIFICATION,
        "subject": group,
        "time": rfc3339(now_ms),
        "datacontenttype": "application/json",
        "dataschema": f"{SCHEMAS}notification.{VERSION}",
        "data": {
            "route": route,
            "group": group,
            "count": len(alerts),
            "counts": {state: number for state, number in counts.items() if number},
            "severity": min((str(one["severity"]) for one in alerts), key=_rank),
            "gateways": sorted({str(one["gateway"]) for one in alerts})[:MAX_SHOWN],
            "alerts": [dict(one) for one in alerts[:MAX_SHOWN]],
        },
    }


def _order(state: str) -> int:
    return list(State).index(State(state))


def _rank(severity: str) -> int:
    return list(Severity).index(Severity(severity))


def rfc3339(ms: int) -> str:
    """Return a time as RFC 3339 with milliseconds; those that a date cannot hold become the last it can."""
    moment = datetime.fromtimestamp(min(max(ms, 0), 253_402_300_799_000) / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
