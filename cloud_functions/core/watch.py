"""The work of a timer: what becomes due without a message.

Groups whose notification is due; alerts that leave pending, are no longer or newly silenced, inhibited or flapping,
are repeated or escalated; and the gateways (see gateway_watch). The work is divided into shards by gateway. A run takes
the lease of one shard after the other, and saves how far it came when its time is over: the next run continues there.
Several runs at once work on different shards, and each step may be repeated. The run that the schedule starts starts as
many others as the last runs needed time.

A gateway without rules is watched in one minute of five, which follows from its name; the others, and those of a shard
with few of them, each minute.
"""

from __future__ import annotations

import itertools
import logging
import math
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from cloud_functions.core import alert as alerts
from cloud_functions.core import keys
from cloud_functions.core.alert import Alert, State
from cloud_functions.core.alerting import FLAPPING_WINDOW_MS, AlertBook
from cloud_functions.core.dispatch import Dispatcher, matching
from cloud_functions.core.errors import StoreError
from cloud_functions.core.gateway_watch import MINUTE_MS, ROWS_MS, GatewayWatch, Loaded
from cloud_functions.core.grouping import Groups
from cloud_functions.core.inhibition import inhibitor_of, inhibitors
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Item, NowMs, Table
from cloud_functions.core.routes import Route
from cloud_functions.core.severity import AlertKind
from cloud_functions.core.silences import Silence, silencing

SHARDS = keys.BUCKETS
"""Shards of gateways; those below ``keys.STATE_BUCKETS`` have the alerts and the groups of such a bucket, too."""
RESERVED_MS = 5_000
"""Time of a run that is reserved for saving its progress."""
LEASE_MS = 90_000
MAX_ALERTS = 20_000
"""Open alerts of a shard that one run examines."""
SLOTS = ROWS_MS // MINUTE_MS
"""Minutes over which the gateways without rules are spread."""
FEW = 10
"""Gateways of a shard up to which all of them are watched each minute: so few cost little."""
LOADED = 50
"""Gateways whose progress is read by one request."""
WORKER_MS = 30_000
"""Time of runs that one worker is given: less than the interval, so that their number may be one minute late."""
_STATES = (State.PENDING, State.FIRING, State.ACKNOWLEDGED)
log = logging.getLogger(__name__)


def _alerting(found: Iterable[Alert]) -> frozenset[str]:
    """Return the gateways with an alert that the watch function opened."""
    return frozenset(alert.gateway for alert in found if alert.origin.kind is not AlertKind.ANOMALY)


def slot(gateway: str) -> int:
    """Return the minute of five in which a gateway without rules is watched."""
    # The lower bits are those of the bucket, which a shard's gateways have in common.
    return zlib.crc32(gateway.encode()) // keys.BUCKETS % SLOTS


def workers(shards: Sequence[Item]) -> int:
    """Return the number of runs that the shards need at once, by the time of their last passes."""
    took_ms = sum(int(item.get("took_ms", 0)) for item in shards)
    return max(1, min(len(shards), math.ceil(took_ms / WORKER_MS)))


@dataclass(frozen=True, slots=True)
class _Progress:
    """Progress of a shard: the last pass over its gateways, which covers the minutes [first, last].

    ``next`` is the gateway with which an unfinished pass continues; ``took_ms`` is its time so far.
    """

    done_ms: int
    next: str
    first: int
    last: int
    took_ms: int

    @classmethod
    def of(cls, item: Item) -> Self:
        """Return the progress of a shard's item."""
        numbers = (int(item.get(name, default)) for name, default in (("first", 0), ("last", -1), ("took_ms", 0)))
        return cls(int(item.get("done_ms", 0)), str(item.get("next", "")), *numbers)

    def begun(self, now_ms: int) -> Self:
        """Return the progress with a new pass, unless one is to be continued."""
        if self.next:
            return self
        minute = now_ms // MINUTE_MS
        return replace(self, first=max(self.last + 1, minute - SLOTS + 1), last=minute, took_ms=0)

    def ended(self, following: str, began_ms: int, now_ms: int) -> Self:
        """Return the progress after a run that ended before the gateway ``following``, empty at the end."""
        done_ms = self.done_ms if following else began_ms
        return replace(self, done_ms=done_ms, next=following, took_ms=self.took_ms + max(0, now_ms - began_ms))

    @property
    def slots(self) -> frozenset[int]:
        """The slots of the gateways without rules that are due."""
        return frozenset(minute % SLOTS for minute in range(self.first, self.last + 1))

    def to_dict(self) -> Item:
        """Return the attributes of the shard's item."""
        return asdict(self)


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

    def run(self, remaining_ms: Callable[[], int], start_workers: Callable[[int], None] | None = None) -> int:
        """Work on the shards, the one that waits longest first; return the number of finished shards.

        ``start_workers`` starts a number of further runs, which are called without it; raises StoreError.
        """
        names = [keys.watch_shard(shard) for shard in range(SHARDS)]
        found = self._alerts.get_many(names)
        items = [found.get(name, {}) for name in names]
        more = workers(items) - 1
        if start_workers is not None and more > 0:
            self._guarded("start of workers", lambda: start_workers(more))
            self._metrics.count("started_workers", more)
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
        saved = _Progress.of(item)
        progress = saved.begun(now_ms)
        state: Item = {"pk": key.pk, "sk": key.sk, "kind": "shard"}
        held = state | saved.to_dict() | {"lease_ms": now_ms + LEASE_MS}
        if not self._alerts.replace(held, version):
            return 0
        try:
            if shard < keys.STATE_BUCKETS:
                self._guarded("groups", lambda: self._flush(shard))
                alerting = self._watch_alerts(shard, remaining_ms)
            else:
                alerting = _alerting(map(alerts.from_item, self._open(shard % keys.STATE_BUCKETS)))
            following = self._watch_gateways(shard, progress, alerting, remaining_ms)
            saved = progress.ended(following, now_ms, self._now_ms())
        finally:
            self._alerts.replace(state | saved.to_dict() | {"lease_ms": 0}, version + 1)
        return int(not saved.next)

    def _flush(self, shard: int) -> None:
        self._metrics.count("notifications", self._groups.flush_due(shard))

    def _watch_alerts(self, shard: int, remaining_ms: Callable[[], int]) -> frozenset[str]:
        """Watch the open alerts of a shard; return the gateways with one that the watch function opened."""
        found = [alerts.from_item(item) for item in self._open(shard)]
        hiding = inhibitors(found)
        for alert in found:
            if remaining_ms() < RESERVED_MS:
                break
            self._guarded(f"alert {alert.id}", lambda alert=alert: self._watch_alert(alert, hiding))  # type: ignore[misc]
        return _alerting(found)

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

    def _watch_gateways(
        self, shard: int, progress: _Progress, alerting: Collection[str], remaining_ms: Callable[[], int]
    ) -> str:
        """Watch the gateways of a shard that are due; return the one to continue with, empty at the end."""
        names = self._names(shard, progress.next)
        first = list(itertools.islice(names, FEW + 1))
        few = len(first) <= FEW and not progress.next
        due = (
            name
            for name in itertools.chain(first, names)
            if few or slot(name) in progress.slots or name in alerting or self._gateways.is_prompt(name)
        )
        while chunk := list(itertools.islice(due, LOADED)):
            loaded = self._load(chunk)
            for name in chunk:
                if remaining_ms() < RESERVED_MS:
                    return name
                self._guarded(f"gateway {name}", lambda name=name, loaded=loaded: self._gateways.run(name, loaded))  # type: ignore[misc]
                self._metrics.count("watched_gateways")
        return ""

    def _load(self, names: Sequence[str]) -> Loaded | None:
        """Return the progress of gateways, or None on failure: then each is read by itself."""
        try:
            return self._gateways.load(names)
        except StoreError as error:
            log.warning("progress of gateways: %s", error)
            self._metrics.count("failed_steps")
            return None

    def _names(self, shard: int, after: str) -> Iterator[str]:
        """Yield the gateways of a shard from a name on."""
        for bucket in range(shard, keys.BUCKETS, SHARDS):
            if not after or bucket >= keys.bucket(after):
                first = after if after and bucket == keys.bucket(after) else ""
                yield from (str(item["sk"]) for item in self._telemetry.query(keys.gateways(bucket), first))

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
