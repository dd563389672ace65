"""State of an alert, derived from facts: reports in any order and with repetitions, an acknowledgement, and the time.

The same set of reports always gives the same alert: times are merged by maximum, the report shown is the one with the
highest score. The state is derived and never set::

    pending -> firing -> acknowledged -> resolved

An alert is pending until its condition has lasted ``hold_ms``, as with Prometheus' ``for``: either a report shows that,
or this time has passed in the cloud since the alert was opened and its end was not reported (see :func:`settle`, which
a timer calls). One that resolves before that never fires and is not published.

An alert is published only if it was *announced*: it fired while no silence, no inhibition and no flapping suppressed
it. One that is no longer suppressed and still open is announced then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from cloud_functions.core import keys
from cloud_functions.core.errors import RequestError
from cloud_functions.core.ports import Item
from cloud_functions.core.severity import AlertKind, Severity
from cloud_functions.core.summaries import summarize
from wire.anomaly import Anomaly, Phase
from wire.errors import ModelError
from wire.names import Series, check_gateway

FLAPPING_OPENINGS = 6
"""Number of openings within the window above which an alert is flapping."""
CRITICAL_SCORE = 3.0
"""Score from which on an anomaly is critical."""
MAX_COMMENT = 1_000
MAX_ORIGIN = 100
"""Longest key of an origin in characters: a kind and the name of a rule."""


class State(StrEnum):
    """State of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


OPEN = (State.FIRING, State.ACKNOWLEDGED)
_ORDER = tuple(State)


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of an alert: its kind, and of a rule the name, the severity, the summary and the time it must hold."""

    kind: AlertKind = AlertKind.ANOMALY
    rule: str = ""
    severity: str = ""
    summary: str = ""
    hold_ms: int = 0

    @property
    def key(self) -> str:
        """Part of the alert's key; empty for an anomaly."""
        return "" if self.kind is AlertKind.ANOMALY else f"{self.kind}:{self.rule}"


class AlertName(NamedTuple):
    """Identity of an alert: ``origin`` is the key of its origin, empty for an anomaly."""

    gateway: str
    series: str
    onset_ms: int
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """Alert of a gateway, or of the gateway's series, that began at the report's onset.

    ``report`` is the report with the highest score, ``last_ms`` the latest time in any report, ``ended_ms`` the end of
    the condition or None. ``fired`` is True once the alert left pending, at ``fired_ms``; ``announced`` once it is or
    will be published. ``opened_ms`` is the cloud's time of the first report. ``openings`` counts the alerts of the same
    series and origin that fired within the window of flapping, this one included. ``sent`` has the times of repeated
    (``repeat:<route>``) and escalated (``escalate:<route>``) notifications.
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
    origin: Origin = Origin()
    fired_ms: int | None = None
    announced: bool = False
    comment: str = ""
    silenced_by: str = ""
    inhibited_by: str = ""
    openings: int = 0
    sent: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> AlertName:
        """Identity of the alert."""
        return AlertName(self.gateway, self.report.series, self.report.onset_ms, self.origin.key)

    @property
    def id(self) -> str:
        """Id of the alert in the API."""
        return alert_id(*self.name)

    @property
    def severity(self) -> Severity:
        """Severity: of an anomaly by its score, unless the origin sets it."""
        if self.origin.severity:
            return Severity(self.origin.severity)
        return Severity.CRITICAL if self.report.score >= CRITICAL_SCORE else Severity.WARNING

    @property
    def flapping(self) -> bool:
        """True if the alert fires and resolves again and again."""
        return self.openings > FLAPPING_OPENINGS

    @property
    def is_suppressed(self) -> bool:
        """True while nothing may be published: silenced, inhibited, or flapping, except for the first that is."""
        return bool(self.silenced_by or self.inhibited_by) or self.openings > FLAPPING_OPENINGS + 1

    @property
    def summary(self) -> str:
        """One line that describes the alert."""
        return summarize(self.gateway, self.report, self.origin.kind, self.origin.rule, self.origin.summary)

    def to_dict(self) -> dict[str, Any]:
        """Return the alert as JSON-ready values, including those of the report."""
        report = {name: value for name, value in self.report.to_dict().items() if name not in ("phase", "time_ms")}
        return report | {
            "id": self.id,
            "gateway": self.gateway,
            "series": self.report.series,
            "kind": str(self.origin.kind),
            "rule": self.origin.rule,
            "severity": str(self.severity),
            "state": str(self.state),
            "summary": self.summary,
            "last_ms": self.last_ms,
            "ended_ms": self.ended_ms,
            "opened_ms": self.opened_ms,
            "fired_ms": self.fired_ms,
            "acknowledged_ms": self.acknowledged_ms,
            "acknowledged_by": self.acknowledged_by,
            "comment": self.comment,
            "silenced_by": self.silenced_by,
            "inhibited_by": self.inhibited_by,
            "flapping": self.flapping,
        }

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the alert, oldest first: ``time_ms``, ``event``, ``by`` and ``detail``."""
        found = [(self.opened_ms, "opened", "", self.summary)]
        if self.fired_ms is not None:
            found.append((self.fired_ms, "fired", "", ""))
        if self.acknowledged_ms is not None:
            found.append((self.acknowledged_ms, "acknowledged", self.acknowledged_by, self.comment))
        for name, time_ms in self.sent.items():
            event, _, route = name.partition(":")
            found.append((time_ms, {"repeat": "renotified", "escalate": "escalated"}.get(event, event), "", route))
        if self.ended_ms is not None:
            found.append((self.ended_ms, "resolved", "", ""))
        names = ("time_ms", "event", "by", "detail")
        return [dict(zip(names, event, strict=True)) for event in sorted(found, key=lambda event: event[0])]


def merge(alert: Alert | None, gateway: str, report: Anomaly, now_ms: int, origin: Origin) -> Alert:
    """Return the alert after a report, a new one with ``origin``; without new information it equals the given one."""
    if alert is None:
        alert = Alert(gateway, report, report.time_ms, None, State.PENDING, False, now_ms, origin=origin)
    ended_ms = alert.ended_ms
    if report.phase is Phase.END:
        ended_ms = report.time_ms if ended_ms is None else max(ended_ms, report.time_ms)
    known = replace(
        alert,
        report=max(alert.report, report, key=_severity_key),
        last_ms=max(alert.last_ms, report.time_ms),
        ended_ms=ended_ms,
    )
    return _settled(known, now_ms)


def _severity_key(report: Anomaly) -> tuple[float, int, str]:
    # The text breaks ties, so that the order of merging does not matter.
    return report.score, report.time_ms, json.dumps(report.to_dict(), sort_keys=True)


def settle(
    alert: Alert,
    now_ms: int,
    silenced_by: str | None = None,
    inhibited_by: str | None = None,
    openings: int | None = None,
    *,
    announced: bool | None = None,
) -> Alert:
    """Return the alert at a time, under these silences, inhibitions and numbers of openings; None keeps the known.

    ``announced`` is True if an earlier version was announced, False to decide it again.
    """
    known = replace(
        alert,
        silenced_by=alert.silenced_by if silenced_by is None else silenced_by,
        inhibited_by=alert.inhibited_by if inhibited_by is None else inhibited_by,
        openings=alert.openings if openings is None else openings,
        announced=alert.announced if announced is None else announced,
    )
    return _settled(known, now_ms)


def _settled(alert: Alert, now_ms: int) -> Alert:
    hold_ms = alert.origin.hold_ms
    lasted = alert.last_ms - alert.report.onset_ms >= hold_ms
    waited = alert.ended_ms is None and now_ms - alert.opened_ms >= hold_ms
    fired = alert.fired or lasted or waited or alert.acknowledged_ms is not None
    if alert.ended_ms is not None:
        state = State.RESOLVED
    elif alert.acknowledged_ms is not None:
        state = State.ACKNOWLEDGED
    else:
        state = State.FIRING if fired else State.PENDING
    fired_ms = alert.fired_ms if alert.fired_ms is not None or not fired or alert.fired else now_ms
    announced = alert.announced or (fired and not alert.is_suppressed)
    return replace(alert, state=state, fired=fired, fired_ms=fired_ms, announced=announced)


def acknowledge(alert: Alert, by: str, now_ms: int, comment: str = "") -> Alert:
    """Return the acknowledged alert; the first acknowledgement is kept. Raises RequestError for a resolved alert."""
    if alert.state is State.RESOLVED:
        raise RequestError(
            [f"alert of {alert.report.series or alert.gateway}: it is resolved and cannot be acknowledged any more"]
        )
    if alert.acknowledged_ms is not None:
        return alert
    known = replace(alert, acknowledged_ms=now_ms, acknowledged_by=by[:256], comment=comment[:MAX_COMMENT])
    return _settled(known, now_ms)


def with_sent(alert: Alert, sent: Mapping[str, int]) -> Alert:
    """Return the alert with times of repeated or escalated notifications."""
    return replace(alert, sent={**alert.sent, **sent})


def transitions(before: Alert | None, after: Alert) -> tuple[State, ...]:
    """Return the states entered between two versions of an alert that are to be published, in order."""
    if not after.announced:
        return ()
    old = before.state if before is not None and before.announced else State.PENDING
    passed = _ORDER[_ORDER.index(old) + 1 : _ORDER.index(after.state) + 1]
    acknowledged_now = after.acknowledged_ms is not None and (
        before is None or not before.announced or before.acknowledged_ms is None
    )
    return tuple(state for state in passed if state is not State.ACKNOWLEDGED or acknowledged_now)


def alert_id(gateway: str, series: str, onset_ms: int, origin: str = "") -> str:
    """Return the id of an alert in the API: hexadecimal, so that it never needs quoting."""
    return f"{gateway}#{onset_ms}#{series}{'#' if origin else ''}{origin}".encode().hex()


def read_alert_id(text: str) -> AlertName:
    """Return the identity of an alert of an id; raises RequestError for an invalid id."""
    try:
        gateway, onset, series, *rest = bytes.fromhex(text).decode().split("#")
        origin = rest[0] if rest else ""
        kind = origin.partition(":")[0] if rest else AlertKind.ANOMALY
        if not (onset.isascii() and onset.isdecimal() and len(onset) <= 13) or len(rest) > 1:
            raise ValueError(onset)
        if (AlertKind(kind) is AlertKind.ANOMALY and rest) or len(origin) > MAX_ORIGIN:
            raise ValueError(origin)
        name = series if origin and not series else Series(series).name
        return AlertName(check_gateway(gateway), name, int(onset), origin)
    except (ValueError, ModelError) as error:
        raise RequestError([f"alert {text[:100]!r} is not an alert id"]) from error


def to_item(alert: Alert, expires_at: int) -> Item:
    """Return the alert as an item of the table."""
    key = keys.alert(*alert.name)
    item: Item = {
        "pk": key.pk,
        "sk": key.sk,
        "kind": "alert",
        "state": str(alert.state),
        "listed": keys.listed(alert.state, keys.bucket(alert.gateway, keys.STATE_BUCKETS)),
        "fired": int(alert.fired),
        "announced": int(alert.announced),
        "severity": str(alert.severity),
        "report": json.dumps(alert.report.to_dict(), separators=(",", ":"), sort_keys=True),
        "last_ms": alert.last_ms,
        "opened_ms": alert.opened_ms,
        "acknowledged_by": alert.acknowledged_by,
        "expires_at": expires_at,
    }
    origin = alert.origin
    if origin.kind is not AlertKind.ANOMALY:
        item |= {"alert_kind": str(origin.kind), "rule": origin.rule, "set_severity": origin.severity}
    known: dict[str, Any] = {
        "summary": origin.summary,
        "hold_ms": origin.hold_ms,
        "comment": alert.comment,
        "silenced_by": alert.silenced_by,
        "inhibited_by": alert.inhibited_by,
        "openings": alert.openings,
        "sent": json.dumps(dict(alert.sent), separators=(",", ":"), sort_keys=True) if alert.sent else "",
    }
    times = {"ended_ms": alert.ended_ms, "acknowledged_ms": alert.acknowledged_ms, "fired_ms": alert.fired_ms}
    item |= {name: value for name, value in known.items() if value}
    return item | {name: ms for name, ms in times.items() if ms is not None}


def from_item(item: Mapping[str, Any]) -> Alert:
    """Return the alert of an item; attributes that earlier versions did not write have defaults."""
    origin = Origin(
        AlertKind(item.get("alert_kind", AlertKind.ANOMALY)),
        str(item.get("rule", "")),
        str(item.get("set_severity", "")),
        str(item.get("summary", "")),
        int(item.get("hold_ms", 0)),
    )
    return Alert(
        gateway=str(item["pk"]),
        report=_report(json.loads(item["report"])),
        last_ms=int(item["last_ms"]),
        ended_ms=int(item["ended_ms"]) if "ended_ms" in item else None,
        state=State(item["state"]),
        fired=bool(item["fired"]),
        opened_ms=int(item["opened_ms"]),
        acknowledged_ms=int(item["acknowledged_ms"]) if "acknowledged_ms" in item else None,
        acknowledged_by=str(item["acknowledged_by"]),
        version=int(item["version"]),
        origin=origin,
        fired_ms=int(item["fired_ms"]) if "fired_ms" in item else None,
        announced=bool(item.get("announced", item["fired"])),
        comment=str(item.get("comment", "")),
        silenced_by=str(item.get("silenced_by", "")),
        inhibited_by=str(item.get("inhibited_by", "")),
        openings=int(item.get("openings", 0)),
        sent=json.loads(str(item.get("sent") or "{}")),
    )


def _report(data: dict[str, Any]) -> Anomaly:
    """Return a stored report; that of a gateway itself has no series."""
    if "series" in data:
        return Anomaly.from_dict(data)
    return replace(Anomaly.from_dict(data | {"series": "gateway"}), series="")
