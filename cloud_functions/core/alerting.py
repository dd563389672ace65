"""Two steps, each driven by a table's stream: merge reports into alerts, and publish transitions of alerts.

The stream of the alerts table is the outbox between the two: a change is published even if its writer crashes right
after writing it, and at least once, because the stream repeats records after a failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cloud_functions.core import alert as alerts
from cloud_functions.core import keys
from cloud_functions.core.alert import Alert, State
from cloud_functions.core.cloudevents import envelope
from cloud_functions.core.errors import ConflictError, NotFoundError
from cloud_functions.core.ports import Item, NowMs, Publisher, Table
from wire.anomaly import Anomaly

ATTEMPTS = 12


class AlertBook:
    """The alerts table; updates are optimistic and retried on conflict."""

    def __init__(self, table: Table, now_ms: NowMs, retention_ms: int, hold_ms: int = 0) -> None:
        self._table, self._now_ms = table, now_ms
        self._retention_ms, self._hold_ms = retention_ms, hold_ms

    def report(self, gateway: str, report: Anomaly) -> Alert:
        """Merge a report into its alert; a report without new information writes nothing. Raises StoreError."""
        key = keys.alert(gateway, report.series, report.onset_ms)
        for _ in range(ATTEMPTS):
            before = self._read(self._table.get(key))
            after = alerts.merge(before, gateway, report, self._now_ms(), self._hold_ms)
            if after == before or self._replace(after):
                return after
        raise ConflictError(f"alert {key.pk} {key.sk}: changed by others {ATTEMPTS} times in a row")

    def acknowledge(self, gateway: str, series: str, onset_ms: int, by: str) -> Alert:
        """Acknowledge an alert; raises NotFoundError, RequestError when it is resolved, StoreError."""
        key = keys.alert(gateway, series, onset_ms)
        for _ in range(ATTEMPTS):
            before = self._read(self._table.get(key))
            if before is None:
                raise NotFoundError([f"gateway {gateway} has no alert of series {series} with onset {onset_ms}"])
            after = alerts.acknowledge(before, by, self._now_ms())
            if after == before or self._replace(after):
                return after
        raise ConflictError(f"alert {key.pk} {key.sk}: changed by others {ATTEMPTS} times in a row")

    def _replace(self, alert: Alert) -> bool:
        expires_at = (self._now_ms() + self._retention_ms) // 1000
        return self._table.replace(alerts.to_item(alert, expires_at), alert.version)

    @staticmethod
    def _read(item: Item | None) -> Alert | None:
        return None if item is None else alerts.from_item(item)


def anomaly_of(image: Mapping[str, Any]) -> tuple[str, Anomaly] | None:
    """Return (gateway, report) of a telemetry item, or None for another item; raises WireError for an invalid one."""
    if image.get("kind") != "anomaly":
        return None
    return str(image["gateway"]), Anomaly.from_dict(json.loads(str(image["report"])))


def publish_transitions(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], publishers: Sequence[Publisher]
) -> tuple[State, ...]:
    """Publish the transitions between two images of an alert; return the states that it entered.

    Raises StoreError when a publisher fails: all of them are published again when the stream repeats the record.
    """
    if new.get("kind") != "alert":
        return ()
    after = alerts.from_item(new)
    entered = alerts.transitions(alerts.from_item(old) if old else None, after)
    for state in entered:
        for publisher in publishers:
            publisher.publish(after.gateway, envelope(after, state))
    return entered
