"""The alert: what is known of an anomaly, from whatever reports came, in whatever order and however often.

Reports are merged so that the same set of them gives the same alert: times by maximum, the report shown by the greatest
score. The state follows from what is known and is never set::

    pending -> firing -> acknowledged -> resolved

An alert is pending until its anomaly has lasted ``hold_ms``, as with Prometheus' ``for``. One that resolves before
that never fires and nobody is told.
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
from wire.model import Anomaly, Phase


class State(StrEnum):
    """Where an alert stands."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


OPEN = (State.FIRING, State.ACKNOWLEDGED)
_ORDER = tuple(State)


@dataclass(frozen=True, slots=True)
class Alert:
    """What is known of the anomaly (gateway, series, onset_ms).

    ``last_ms`` is the latest time that a report speaks of, ``ended_ms`` when the anomaly ended, None while it has not.
    ``report`` is the report with the greatest score. ``fired`` tells whether anybody was or will be told. ``opened_ms``
    is the cloud's clock when it first heard of it.
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
        """Return the alert as JSON-ready values: the report's, and what is known beyond it."""
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
    """Return what is known after a report; a report that adds nothing returns an equal alert."""
    if alert is None:
        alert = Alert(gateway, report, report.time_ms, None, State.PENDING, False, now_ms)
    ended_ms = alert.ended_ms
    if report.phase is Phase.END:
        ended_ms = report.time_ms if ended_ms is None else max(ended_ms, report.time_ms)
    known = replace(
        alert,
        report=max(alert.report, report, key=_loudness),
        last_ms=max(alert.last_ms, report.time_ms),
        ended_ms=ended_ms,
    )
    return _settled(known, hold_ms)


def _loudness(report: Anomaly) -> tuple[float, int, str]:
    # The text decides between reports that differ in nothing else that orders them.
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
    """Return the alert acknowledged; the first who did stays. Raises RequestError for one that is resolved."""
    if alert.state is State.RESOLVED:
        raise RequestError([f"alert of {alert.report.series}: it is resolved and cannot be acknowledged any more"])
    if alert.acknowledged_ms is not None:
        return alert
    return _settled(replace(alert, acknowledged_ms=now_ms, acknowledged_by=by[:256]), 0)


def transitions(before: Alert | None, after: Alert) -> tuple[State, ...]:
    """Return the states that were entered between two versions of an alert, in order, and that people are told of."""
    if not after.fired:
        return ()
    old = before.state if before is not None and before.fired else State.PENDING
    passed = _ORDER[_ORDER.index(old) + 1 : _ORDER.index(after.state) + 1]
    acknowledged_now = after.acknowledged_ms is not None and (before is None or before.acknowledged_ms is None)
    return tuple(state for state in passed if state is not State.ACKNOWLEDGED or acknowledged_now)


def alert_id(gateway: str, series: str, onset_ms: int) -> str:
    """Return the id by which the api names an alert: hexadecimal, so that it needs no quoting anywhere."""
    return f"{gateway}#{onset_ms}#{series}".encode().hex()


def read_alert_id(text: str) -> tuple[str, str, int]:
    """Return (gateway, series, onset_ms) of an id; raises RequestError for anything that is none."""
    try:
        gateway, onset, series = bytes.fromhex(text).decode().split("#")
        return gateway, series, int(onset)
    except ValueError as error:
        raise RequestError([f"alert {text[:100]!r} is no alert's id"]) from error


def to_item(alert: Alert, expires_at: int) -> Item:
    """Return the alert as the table keeps it."""
    key = keys.alert(alert.gateway, alert.report.series, alert.report.onset_ms)
    item: Item = {
        "pk": key.pk,
        "sk": key.sk,
        "kind": "alert",
        "state": str(alert.state),
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
    """Return the alert that the table keeps."""
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
