"""The work of a timer: what becomes due without a message.

Groups whose notification is due; alerts that leave pending, are no longer or newly silenced, inhibited or flapping,
are repeated or escalated; and the gateways (see gateway_watch). The work is divided into shards by gateway. A run takes
the lease of one shard after the other, and saves how far it came when its time is over: the next run continues there.
Two runs at once work on different shards, and each step may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cloud_functions.core import alert as alerts
from cloud_functions.core import keys
from cloud_functions.core.alert import Alert, State
from cloud_functions.core.alerting import FLAPPING_WINDOW_MS, AlertBook
from cloud_functions.core.dispatch import Dispatcher, matching
from cloud_functions.core.errors import StoreError
from cloud_functions.core.gateway_watch import GatewayWatch
from cloud_functions.core.grouping import Groups
from cloud_functions.core.inhibition import inhibitor_of, inhibitors
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Item, NowMs, Table
from cloud_functions.core.routes import Route
from cloud_functions.core.silences import Silence, silencing

SHARDS = keys.STATE_BUCKETS
RESERVED_MS = 5_000
"""Time of a run that is reserved for saving its progress."""
LEASE_MS = 90_000
MAX_ALERTS = 20_000
"""Open alerts of a shard that one run examines."""
_STATES = (State.PENDING, State.FIRING, State.ACKNOWLEDGED)
log = logging.getLogger(__name__)


class Watch:
    """One run of the timer; ``remaining_ms`` returns how much of its time is left."""

    def __init__(
        self,
        telemetry: Table,
        alerts_table: Table,
        book: AlertBook,
        dispatcher: Dispatcher,
        groups: Groups,
        gateway_watch: GatewayWatch,
        silences: Callable[[], Sequence[Silence]],
        routes: Callable[[], Sequence[Route]],
        now_ms: NowMs,
        metrics: Metrics,
    ) -> None:
        self._telemetry, self._alerts, self._book = telemetry, alerts_table, book
        self._dispatcher, self._groups, self._gateways = dispatcher, groups, gateway_watch
        self._silences, self._routes, self._now_ms, self._metrics = silences, routes, now_ms, metrics

    def run(self, remaining_ms: Callable[[], int]) -> int:
        """Work on the shards, the one that waits longest first; return the number of finished shards."""
        items = [self._alerts.get(keys.watch_shard(shard)) or {} for shard in range(SHARDS)]
        order = sorted(range(SHARDS), key=lambda shard: int(items[shard].get("done_ms", 0)))
        finished = 0
        for shard in order:
            if remaining_ms() < RESERVED_MS:
                break
            finished += self._shard(shard, items[shard], remaining_ms)
        return finished

    def _shard(self, shard: int, item: Item, remaining_ms: Callable[[], int]) -> int:
        now_ms = self._now_ms()
        if int(item.get("lease_ms", 0)) > now_ms:
            return 0
        key, version = keys.watch_shard(shard), int(item.get("version", 0))
        state: Item = {
            "pk": key.pk,
            "sk": key.sk,
            "kind": "shard",
            "done_ms": int(item.get("done_ms", 0)),
            "next": str(item.get("next", "")),
        }
        if not self._alerts.replace(state | {"lease_ms": now_ms + LEASE_MS}, version):
            return 0
        try:
            self._guarded("groups", lambda: self._flush(shard))
            self._watch_alerts(shard, remaining_ms)
            state["next"] = self._watch_gateways(shard, str(state["next"]), remaining_ms)
        finally:
            if not state["next"]:
                state["done_ms"] = now_ms
            self._alerts.replace(state | {"lease_ms": 0}, version + 1)
        return int(not state["next"])

    def _flush(self, shard: int) -> None:
        self._metrics.count("notifications", self._groups.flush_due(shard))

    def _watch_alerts(self, shard: int, remaining_ms: Callable[[], int]) -> None:
        found = [alerts.from_item(item) for item in self._open(shard)]
        hiding = inhibitors(found)
        for alert in found:
            if remaining_ms() < RESERVED_MS:
                return
            self._guarded(f"alert {alert.id}", lambda alert=alert: self._watch_alert(alert, hiding))  # type: ignore[misc]

    def _open(self, shard: int) -> Iterator[Item]:
        for state in _STATES:
            for read, item in enumerate(self._alerts.query_index(keys.BY_STATE, keys.listed(state, shard))):
                if read == MAX_ALERTS:
                    self._metrics.count("alerts_not_watched")
                    break
                yield item

    def _watch_alert(self, alert: Alert, hiding: dict[str, str]) -> None:
        now_ms = self._now_ms()
        inhibited_by = inhibitor_of(alert, hiding)
        rule = alert.origin.rule or alert.report.cause
        silenced_by = silencing(self._silences(), alert.gateway, alert.report.series, rule, alert.severity, now_ms)
        steady = alert.flapping and now_ms - (alert.fired_ms or alert.opened_ms) >= FLAPPING_WINDOW_MS
        fires = alert.state is State.PENDING and now_ms - alert.opened_ms >= alert.origin.hold_ms
        if fires or steady or inhibited_by != alert.inhibited_by or silenced_by != alert.silenced_by:
            alert = self._book.settle(alert.name, inhibited_by, steady=steady)
            self._metrics.count("settled_alerts")
        if alert.state is State.FIRING and alert.announced and not alert.is_suppressed:
            for route in matching(self._routes(), alert):
                self._remind(alert, route, now_ms)

    def _remind(self, alert: Alert, route: Route, now_ms: int) -> None:
        """Repeat the notification of an alert that is not acknowledged, and escalate it once."""
        fired_ms = alert.fired_ms if alert.fired_ms is not None else alert.opened_ms
        repeat_ms, name = round(route.repeat_s * 1000), f"repeat:{route.name}"
        if repeat_ms and now_ms - max(fired_ms, alert.sent.get(name, 0)) >= repeat_ms:
            self._dispatcher.repeat(alert, route, f"-repeat-{(now_ms - fired_ms) // repeat_ms}")
            alert = self._book.mark_sent(alert.name, {name: now_ms})
            self._metrics.count("repeated_notifications")
        escalate_ms, name = round(route.escalate_after_s * 1000), f"escalate:{route.name}"
        if escalate_ms and name not in alert.sent and now_ms - fired_ms >= escalate_ms:
            self._dispatcher.repeat(alert, route, f"-escalate-{route.name}", route.escalate_to)
            self._book.mark_sent(alert.name, {name: now_ms})
            self._metrics.count("escalations")

    def _watch_gateways(self, shard: int, after: str, remaining_ms: Callable[[], int]) -> str:
        """Watch the gateways of a shard from a name on; return the one to continue with, empty at the end."""
        for bucket in range(shard, keys.BUCKETS, SHARDS):
            for item in self._telemetry.query(keys.gateways(bucket)):
                gateway = str(item["sk"])
                if after and (bucket, gateway) < (keys.bucket(after), after):
                    continue
                if remaining_ms() < RESERVED_MS:
                    return gateway
                self._guarded(f"gateway {gateway}", lambda name=gateway: self._gateways.run(name))  # type: ignore[misc]
                self._metrics.count("watched_gateways")
        return ""

    def _guarded(self, what: str, step: Callable[[], Any]) -> None:
        """Run a step; a failure is logged and counted, and the next run repeats the step."""
        try:
            step()
        except StoreError as error:
            log.warning("%s: %s", what, error)
            self._metrics.count("failed_steps")
        except Exception:
            log.exception("%s", what)
            self._metrics.count("failed_steps")
