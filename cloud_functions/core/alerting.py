"""The alerts table: every change of an alert is one optimistic write, retried on conflict.

The writer decides what is announced: it knows the active silences and how often the series fired lately, so that the
stream of the table, the outbox, carries the decision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cloud_functions.core import alert as alerts
from cloud_functions.core import keys
from cloud_functions.core.alert import Alert, AlertName, Origin, State
from cloud_functions.core.errors import ConflictError, NotFoundError
from cloud_functions.core.ports import Item, Key, NowMs, Table
from cloud_functions.core.silences import Silence, silencing
from wire.anomaly import Anomaly

ATTEMPTS = 12
FLAPPING_WINDOW_MS = 1_800_000
"""Window in which openings of one series and origin are counted."""
MAX_ONSETS = 32
Ahead = dict[Key, Item | None]
"""Items that were read before they are needed, None for those that do not exist."""


def no_silences() -> Sequence[Silence]:
    """Return no silences: the default where none are configured."""
    return ()


class AlertBook:
    """The alerts of a table; ``silences`` returns the configured silences."""

    def __init__(
        self,
        table: Table,
        now_ms: NowMs,
        retention_ms: int,
        hold_ms: int = 0,
        silences: Callable[[], Sequence[Silence]] = no_silences,
    ) -> None:
        self._table, self._now_ms = table, now_ms
        self._retention_ms, self._hold_ms, self._silences = retention_ms, hold_ms, silences

    def read_ahead(self, reports: Iterable[tuple[str, Anomaly]]) -> Ahead:
        """Return what the reports of gateways need of the table, by few requests; raises StoreError.

        It may be a second old: a write that follows from it is refused then, and what is there is read again.
        """
        wanted: dict[Key, None] = {}
        for gateway, report in reports:
            wanted[keys.alert(gateway, report.series, report.onset_ms)] = None
            wanted[keys.openings(gateway, report.series, "")] = None
        return {**dict.fromkeys(wanted), **self._table.get_many(list(wanted))}

    def report(
        self,
        gateway: str,
        report: Anomaly,
        origin: Origin | None = None,
        inhibited_by: str | None = None,
        *,
        ahead: Ahead | None = None,
    ) -> Alert:
        """Merge a report into its alert; a report without new information writes nothing. Raises StoreError.

        ``ahead`` is what :meth:`read_ahead` returned; each item in it is used once.
        """
        first = origin if origin is not None else Origin(hold_ms=self._hold_ms)
        name = AlertName(gateway, report.series, report.onset_ms, first.key)

        def change(before: Alert | None) -> Alert:
            now_ms = self._now_ms()
            after = alerts.merge(before, gateway, report, now_ms, origin=first)
            if after == before and before is not None:
                return before
            return self._judged(before, after, inhibited_by, ahead=ahead)

        return self._change(name, change, ahead)

    def settle(self, name: AlertName, inhibited_by: str | None = None, *, steady: bool = False) -> Alert:
        """Derive the state of an alert again at the present time; ``steady`` ends its flapping.

        Raises NotFoundError and StoreError.
        """

        def change(before: Alert | None) -> Alert:
            known = self._known(name, before)
            if known.state is State.RESOLVED:
                return known
            return self._judged(known, known, inhibited_by, openings=0 if steady else None)

        return self._change(name, change)

    def mark_sent(self, name: AlertName, sent: dict[str, int]) -> Alert:
        """Record times of repeated or escalated notifications; raises NotFoundError and StoreError."""
        return self._change(name, lambda before: alerts.with_sent(self._known(name, before), sent))

    def find(self, alert_id: str) -> Alert:
        """Return an alert by its id; raises RequestError for an invalid id, NotFoundError, StoreError."""
        name = alerts.read_alert_id(alert_id)
        return self._known(name, self._read(name))

    def acknowledge(self, alert_id: str, by: str, comment: str = "") -> Alert:
        """Acknowledge an alert; raises as :meth:`find`, and RequestError when it is resolved."""
        name = alerts.read_alert_id(alert_id)
        return self._change(
            name, lambda before: alerts.acknowledge(self._known(name, before), by, self._now_ms(), comment)
        )

    def _judged(
        self,
        before: Alert | None,
        after: Alert,
        inhibited_by: str | None,
        openings: int | None = None,
        ahead: Ahead | None = None,
    ) -> Alert:
        """Return a changed alert with what suppresses it now; a resolved one keeps what suppressed it before."""
        if before is not None and before.fired and after.state is State.RESOLVED:
            return after
        now_ms = self._now_ms()
        rule = after.origin.rule or after.report.cause
        silenced_by = silencing(self._silences(), after.gateway, after.report.series, rule, after.severity, now_ms)
        announced = before is not None and before.announced
        settled = alerts.settle(after, now_ms, silenced_by, inhibited_by, openings, announced=announced)
        if settled.fired and (before is None or not before.fired):
            openings = self._count_opening(settled, ahead)
            settled = alerts.settle(settled, now_ms, openings=openings, announced=announced)
        return settled

    def _count_opening(self, alert: Alert, ahead: Ahead | None) -> int:
        """Record that an alert fired; return the number of those that fired in the window, this one included.

        Recording the same alert again changes nothing.
        """
        key = keys.openings(alert.gateway, alert.report.series, alert.origin.key)
        onset_ms = alert.report.onset_ms
        for _ in range(ATTEMPTS):
            item = self._get(key, ahead)
            known = set(json.loads(str(item["onsets"]))) if item is not None else set()
            onsets = sorted(known | {onset_ms})[-MAX_ONSETS:]
            if onset_ms in known or self._table.replace(self._openings(key, onsets), _version(item)):
                return sum(1 for one in onsets if 0 <= onset_ms - one <= FLAPPING_WINDOW_MS)
        raise ConflictError(f"{key.pk} {key.sk}: changed by others {ATTEMPTS} times in a row")

    def _openings(self, key: Key, onsets: list[int]) -> Item:
        return {
            "pk": key.pk,
            "sk": key.sk,
            "kind": "openings",
            "onsets": json.dumps(onsets, separators=(",", ":")),
            "expires_at": (self._now_ms() + 10 * FLAPPING_WINDOW_MS) // 1000,
        }

    def _change(self, name: AlertName, change: Callable[[Alert | None], Alert], ahead: Ahead | None = None) -> Alert:
        for _ in range(ATTEMPTS):
            before = self._read(name, ahead)
            after = change(before)
            if after == before or self._replace(after):
                return after
        key = keys.alert(*name)
        raise ConflictError(f"alert {key.pk} {key.sk}: changed by others {ATTEMPTS} times in a row")

    def _replace(self, alert: Alert) -> bool:
        expires_at = (self._now_ms() + self._retention_ms) // 1000
        return self._table.replace(alerts.to_item(alert, expires_at), alert.version)

    def _read(self, name: AlertName, ahead: Ahead | None = None) -> Alert | None:
        item = self._get(keys.alert(*name), ahead)
        return None if item is None else alerts.from_item(item)

    def _get(self, key: Key, ahead: Ahead | None) -> Item | None:
        """Return the item that was read ahead, once; otherwise the present one."""
        if ahead is not None and key in ahead:
            return ahead.pop(key)
        return self._table.get(key)

    @staticmethod
    def _known(name: AlertName, alert: Alert | None) -> Alert:
        if alert is None:
            raise NotFoundError(
                [f"gateway {name.gateway} has no alert of series {name.series} with onset {name.onset_ms}"]
            )
        return alert


def _version(item: Item | None) -> int:
    return 0 if item is None else int(item["version"])


def anomaly_of(image: Mapping[str, Any]) -> tuple[str, Anomaly] | None:
    """Return (gateway, report) of a telemetry item, or None for another item; raises WireError for an invalid one."""
    if image.get("kind") != "anomaly":
        return None
    return str(image["gateway"]), Anomaly.from_dict(json.loads(str(image["report"])))
