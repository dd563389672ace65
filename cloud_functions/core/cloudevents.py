"""The envelope in which an alert's transitions leave: CloudEvents 1.0, structured mode, JSON.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md. Delivery is at least once; ``source`` and ``id``
name the transition, so a subscriber can detect duplicates.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cloud_functions.core.alert import Alert, State

TYPE_PREFIX = "io.strandline.alert."


def envelope(alert: Alert, entered: State) -> dict[str, Any]:
    """Return the CloudEvent for ``alert`` entering a state; the same transition has the same id."""
    report = alert.report
    at_ms = {
        State.RESOLVED: alert.ended_ms,
        State.ACKNOWLEDGED: alert.acknowledged_ms,
    }.get(entered, alert.opened_ms)
    return {
        "specversion": "1.0",
        "id": f"{alert.id}-{entered}",
        "source": f"/strandline/gateways/{alert.gateway}",
        "type": TYPE_PREFIX + entered,
        "subject": report.series or alert.gateway,
        "time": rfc3339(at_ms if at_ms is not None else alert.opened_ms),
        "datacontenttype": "application/json",
        "data": alert.to_dict() | {"state": str(entered)},
    }


def rfc3339(ms: int) -> str:
    """Return a time as RFC 3339 with milliseconds; those that a date cannot hold become the last it can."""
    moment = datetime.fromtimestamp(min(max(ms, 0), 253_402_300_799_000) / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
