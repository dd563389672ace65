"""State of an alert, merged from the reports of an anomaly in any order and with repetitions.

The same set of reports always gives the same alert: times are merged by maximum, the report shown is the one with the
highest score. The state is derived and never set::

    pending -> firing -> acknowledged -> resolved

An alert is pending until its anomaly has lasted ``hold_ms``, as with Prometheus' ``for``. One that resolves before
that never fires and is not published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from cloud_functions.core import keys
from cloud_functions.core.errors import RequestError
from cloud_functions.core.ports import Item
from wire.anomaly import Anomaly, Phase


class State(StrEnum):
    """State of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


OPEN = (State.FIRING, State.ACKNOWLEDGED)
_ORDER = tuple(State)


@dataclass(frozen=True, slots=True)
class Alert:
    """Alert for the anomaly (gateway, series, onset_ms).

    ``report`` is the report with the highest score, ``last_ms`` the latest time in any report, ``ended_ms`` the end of
    the anomaly or None. ``fired`` is True once the alert is or will be published. ``opened_ms`` is the cloud's time of
    the first report.
    """

    gateway: str
    report: Anomaly
    last_ms: int
    ended_ms: int | None
    state: State
    fired: bool
    opened_ms: int
    acknowledged_ms: int | None = None
    acknowledged_by: str = ""
    version: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the alert as JSON-ready values, including those of the report."""
        report = {name: value for name, value in self.report.to_dict().items() if name not in ("phase", "time_ms")}
        return report | {
            "id": alert_id(self.gateway, self.report.series, self.report.onset_ms),
            "gateway": self.gateway,
            "state": str(self.state),
            "last_ms": self.last_ms,
            "ended_ms": self.ended_ms,
            "opened_ms": self.opened_ms,
            "acknowledged_ms": self.acknowledged_ms,
            "acknowledged_by": self.acknowledged_by,
        }


def merge(alert: Alert | None, gateway: str, report: Anomaly, now_ms: int, hold_ms: int = 0) -> Alert:
    """Return the alert after a report; a report without new information returns an equal alert."""
    if alert is None:
        alert = Alert(gateway, report, report.time_ms, None, State.PENDING, False, now_ms)
    ended_ms = alert.ended_ms
    if report.phase is Phase.END:
        ended_ms = report.time_ms if ended_ms is None else max(ended_ms, report.time_ms)
    known = replace(
        alert,
        report=max(alert.report, report, key=_severity_key),
        last_ms=max(alert.last_ms, report.time_ms),
        ended_ms=ended_ms,
    )
    return _settled(known, hold_ms)


def _severity_key(report: Anomaly) -> tuple[float, int, str]:
    # The text breaks ties, so that the order of merging does not matter.
    return report.score, report.time_ms, json.dumps(report.to_dict(), sort_keys=True)


def _settled(alert: Alert, hold_ms: int) -> Alert:
    fired = alert.fired or alert.last_ms - alert.report.onset_ms >= hold_ms or alert.acknowledged_ms is not None
    if alert.ended_ms is not None:
        state = State.RESOLVED
    elif alert.acknowledged_ms is not None:
        state = State.ACKNOWLEDGED
    else:
        state = State.FIRING if fired else State.PENDING
    return replace(alert, state=state, fired=fired)


def acknowledge(alert: Alert, by: str, now_ms: int) -> Alert:
    """Return the acknowledged alert; the first acknowledgement is kept. Raises RequestError for a resolved alert."""
    if alert.state is State.RESOLVED:
        raise RequestError([f"alert of {alert.report.series}: it is resolved and cannot be acknowledged any more"])
    if alert.acknowledged_ms is not None:
        return alert
    return _settled(replace(alert, acknowledged_ms=now_ms, acknowledged_by=by[:256]), 0)


def transitions(before: Alert | None, after: Alert) -> tuple[State, ...]:
    """Return the states entered between two versions of an alert that are to be published, in order."""
    if not after.fired:
        return ()
    old = before.state if before is not None and before.fired else State.PENDING
    passed = _ORDER[_ORDER.index(old) + 1 : _ORDER.index(after.state) + 1]
    acknowledged_now = after.acknowledged_ms is not None and (before is None or before.acknowledged_ms is None)
    return tuple(state for state in passed if state is not State.ACKNOWLEDGED or acknowledged_now)


def alert_id(gateway: str, series: str, onset_ms: int) -> str:
    """Return the id of an alert in the API: hexadecimal, so that it never needs quoting."""
    return f"{gateway}#{onset_ms}#{series}".encode().hex()


def read_alert_id(text: str) -> tuple[str, str, int]:
    """Return (gateway, series, onset_ms) of an alert id; raises RequestError for an invalid id."""
    try:
        gateway, onset, series = bytes.fromhex(text).decode().split("#")
        return gateway, series, int(onset)
    except ValueError as error:
        raise RequestError([f"alert {text[:100]!r} is not an alert id"]) from error


def to_item(alert: Alert, expires_at: int) -> Item:
    """Return the alert as an item of the table."""
    key = keys.alert(alert.gateway, alert.report.series, alert.report.onset_ms)
    item: Item = {
        "pk": key.pk,
        "sk": key.sk,
        "kind": "alert",
        "state": str(alert.state),
        "listed": keys.listed(alert.state, keys.bucket(alert.gateway, keys.STATE_BUCKETS)),
        "fired": int(alert.fired),
        "report": json.dumps(alert.report.to_dict(), separators=(",", ":"), sort_keys=True),
        "last_ms": alert.last_ms,
        "opened_ms": alert.opened_ms,
        "acknowledged_by": alert.acknowledged_by,
        "expires_at": expires_at,
    }
    times = {"ended_ms": alert.ended_ms, "acknowledged_ms": alert.acknowledged_ms}
    return item | {name: ms for name, ms in times.items() if ms is not None}


def from_item(item: Mapping[str, Any]) -> Alert:
    """Return the alert of an item."""
    return Alert(
        gateway=str(item["pk"]),
        report=Anomaly.from_dict(json.loads(item["report"])),
        last_ms=int(item["last_ms"]),
        ended_ms=int(item["ended_ms"]) if "ended_ms" in item else None,
        state=State(item["state"]),
        fired=bool(item["fired"]),
        opened_ms=int(item["opened_ms"]),
        acknowledged_ms=int(item["acknowledged_ms"]) if "acknowledged_ms" in item else None,
        acknowledged_by=str(item["acknowledged_by"]),
        version=int(item["version"]),
    )
