"""Queries about gateways: figures, silence, gaps in their sequences, and losses that they reported."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.core import keys, paging, parameters
from cloud_functions.core.errors import NotFoundError, RequestError
from cloud_functions.core.health import STALE, STALE_S, STATUS
from cloud_functions.core.ports import Item, Table
from cloud_functions.core.received_sequences import counts_of, received_of
from wire.errors import ModelError
from wire.names import check_gateway

SILENT_AFTER_MS = 900_000
"""Three times the default interval of a forwarder's notices (five minutes)."""
MAX_LISTED_GAPS = 1_000
MAX_GATEWAYS, DEFAULT_GATEWAYS = 1_000, 100

SPOOL, FORWARDER = "Spool", "Forwarder"
"""Parts of a notice: the losses of the spool, among them all those that the forwarder counts since its start."""
MERGED = "rows_merged"
"""Rows that are coarser, not lost."""
_REJECTED = "rejected_"
_LOST = (
    *("rejected_", "dropped_", "journal_lost"),
    # of gateways with version 0.1:
    *("invalid_", "late", "readings_dropped", "anomaly_batches_dropped", "rows_too_large"),
)


@dataclass(frozen=True, slots=True)
class Silence:
    """Rule by which a gateway is silent: nothing arrived from it for longer than ``after_ms`` before ``now_ms``."""

    now_ms: int
    after_ms: int = SILENT_AFTER_MS

    def of(self, last_seen_ms: int | None) -> bool:
        """Return True if a gateway that was last seen then is silent; one that was never seen is."""
        return last_seen_ms is None or self.now_ms - last_seen_ms > self.after_ms


@dataclass(frozen=True, slots=True)
class GatewayState:
    """The items about a gateway: its figures, its last notice, its epochs."""

    about: Item | None
    notice: Item | None
    epochs: list[Item]

    @property
    def known(self) -> bool:
        """True if anything of the gateway was received."""
        return self.about is not None or bool(self.epochs)

    @property
    def last_seen_ms(self) -> int | None:
        """The latest arrival, or None."""
        seen = [int(item["seen_ms"]) for item in (self.about, *self.epochs) if item is not None and "seen_ms" in item]
        return max(seen, default=None)

    @property
    def first_seen_ms(self) -> int:
        """The cloud's time of the first arrival, 0 if unknown."""
        first = [int(item["first_ms"]) for item in self.epochs]
        if self.about is not None and "first_seen_ms" in self.about:
            first.append(int(self.about["first_seen_ms"]))
        return min(first, default=0)

    def figures(self) -> Counter[str]:
        """Return the sums over all epochs and of the counts without an epoch."""
        sums: Counter[str] = Counter()
        for epoch in self.epochs:
            sums.update(counts_of(epoch))
        sums.update({name: value for name, value in (self.about or {}).items() if isinstance(value, int)})
        return sums


def read_state(telemetry: Table, name: str) -> GatewayState:
    """Return the items about a gateway: one query for its figures and epochs, one for its last notice."""
    notice = next(telemetry.query(keys.about(name).pk, keys.NOTICE, keys.NOTICE), None)
    return read_figures(telemetry, name, notice)


def read_figures(telemetry: Table, name: str, notice: Item | None) -> GatewayState:
    """Return the items about a gateway of which the last notice is known: one query for its figures and epochs."""
    about, epochs = None, []
    for item in telemetry.query(keys.about(name).pk, keys.ABOUT, "ack$"):
        if item["kind"] == "about":
            about = item
        else:
            epochs.append(item)
    return GatewayState(about, notice, epochs)


def page(telemetry: Table, query: Mapping[str, str], silence: Silence) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of gateways with their figures, and the cursor of the next page or None.

    One query a gateway reads its figures. Raises RequestError for an invalid ``limit`` or ``cursor``.
    """
    problems: list[str] = []
    limit = parameters.count(query, "limit", DEFAULT_GATEWAYS, MAX_GATEWAYS, problems)
    if problems:
        raise RequestError(problems)
    cursor = query.get("cursor")
    after = check_name(paging.decode(cursor, "gateways", str)[0]) if cursor is not None else ""
    names = list(itertools.islice(_names(telemetry, after), limit + 1))
    listed = [_figures(name, read_state(telemetry, name), silence) for name in names[:limit]]
    return listed, paging.encode("gateways", names[limit - 1]) if len(names) > limit else None


def _names(telemetry: Table, after: str = "") -> Iterator[str]:
    """Yield the names of gateways, partition by partition, those that follow ``after``."""
    for bucket in range(keys.bucket(after) if after else 0, keys.BUCKETS):
        first = f"{after}\x01" if after and bucket == keys.bucket(after) else ""
        for item in telemetry.query(keys.gateways(bucket), first):
            yield str(item["sk"])


def names(telemetry: Table) -> Iterator[str]:
    """Yield the names of all gateways, in any order."""
    return _names(telemetry)


def gateway(telemetry: Table, name: str, silence: Silence) -> dict[str, Any]:
    """Return a gateway's figures, its last notice, its losses, and the received and missing sequences of each epoch.

    Epochs are in the order of their first batch. Raises NotFoundError for an unknown gateway.
    """
    state = read_state(telemetry, check_name(name))
    if not state.known:
        raise NotFoundError([f"gateway {name} is not known"])
    notice = state.notice
    counters = json.loads(str(notice["counters"])) if notice is not None else {}
    epochs = [_epoch(item) for item in state.epochs]
    return _figures(name, state, silence) | {
        "notice": {"time_ms": notice["time_ms"], "counters": counters} if notice is not None and counters else None,
        "losses": losses(counters),
        "merged": counters.get(SPOOL, {}).get(MERGED, 0),
        "epochs": sorted(epochs, key=lambda epoch: (epoch["first_ms"], epoch["epoch"])),
    }


def losses(counters: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the counters of a notice that count lost or rejected data, as ``component.counter``."""
    return {
        f"{component}.{name}": number
        for component, counts in sorted(counters.items())
        for name, number in sorted(counts.items())
        if number and (name != MERGED if component == SPOOL else component != FORWARDER and name.startswith(_LOST))
    }


def mark(telemetry: Table, alerts: Iterable[dict[str, Any]], silence: Silence) -> list[dict[str, Any]]:
    """Return alerts with the time at which their gateway was last seen and whether it is silent.

    An open alert of a silent gateway is out of date: the gateway cannot report its end.
    """
    listed = list(alerts)
    seen = {name: read_state(telemetry, name).last_seen_ms for name in {str(alert["gateway"]) for alert in listed}}
    return [
        alert
        | {
            "gateway_last_seen_ms": seen[alert["gateway"]],
            "gateway_silent": silence.of(seen[alert["gateway"]]),
        }
        for alert in listed
    ]


def site_of(gateway: str) -> str:
    """Return the site of a gateway: the part of its name before the first colon, or the whole name."""
    return gateway.partition(":")[0]


def check_name(name: str) -> str:
    """Return a gateway's name; raises RequestError for an invalid one."""
    try:
        return check_gateway(name)
    except ModelError as error:
        raise RequestError([str(error)]) from error


def _figures(name: str, state: GatewayState, silence: Silence) -> dict[str, Any]:
    """Return a gateway's figures: batches, rows and bytes are exactly those stored, plus those counted over HTTP."""
    figures = state.figures()
    rejected = {k[len(_REJECTED) :]: v for k, v in sorted(figures.items()) if k.startswith(_REJECTED)}
    last_seen_ms = state.last_seen_ms
    health = _health(state.notice)
    return {
        "gateway": name,
        "site": site_of(name),
        **{k: figures[k] for k in ("batches", "rows", "bytes", "duplicates", "acknowledgements")},
        "first_seen_ms": state.first_seen_ms,
        "last_seen_ms": last_seen_ms or 0,
        "rejected": rejected,
        "silent": silence.of(last_seen_ms),
    } | ({"health": health} if health else {})


def _health(notice: Item | None) -> dict[str, Any]:
    """Return what the last notice reports of the gateway's state; unknown parts are absent.

    ``version`` is that of the components, or those, if they differ. A component that reports is RUNNING, one that
    stopped reporting NOT_REPORTING: it is broken or stopped.
    ``clock_offset_ms`` is the gateway's time less the time of arrival. The notice can have waited on the gateway, so an
    offset below 0 shows a clock that is behind, a delay, or both; one above 0 a clock that is ahead.
    """
    if notice is None:
        return {}
    health: dict[str, Any] = {}
    counters = json.loads(str(notice["counters"]))
    status = counters.get(STATUS, {})
    stale = {
        name.removeprefix(STALE) for name, seconds in status.items() if name.startswith(STALE) and seconds >= STALE_S
    }
    components = sorted({name for name in counters if name not in (SPOOL, STATUS)} | stale)
    if components:
        health["components"] = {name: "NOT_REPORTING" if name in stale else "RUNNING" for name in components}
    health |= {name: int(status[name]) for name in ("spool_bytes", "spool_batches") if name in status}
    versions: dict[str, str] = json.loads(str(notice.get("versions", "{}")))
    if versions:
        health |= {"version": ", ".join(sorted(set(versions.values()))), "versions": versions}
    if "received_ms" in notice:
        health["clock_offset_ms"] = int(notice["time_ms"]) - int(notice["received_ms"])
    return health


def _epoch(item: Item) -> dict[str, Any]:
    held = received_of(item)
    return {
        "epoch": str(item["sk"])[4:],
        "batches": counts_of(item)["batches"],
        "rows": counts_of(item)["rows"],
        "cumulative": held.cumulative,
        "highest": held.highest,
        "missing": [list(gap) for gap in itertools.islice(held.missing(), MAX_LISTED_GAPS)],
        "missing_count": sum(last - first + 1 for first, last in held.missing()),
        "gap_since_ms": item.get("gap_since_ms"),
        "first_ms": item.get("first_ms", 0),
        "changed_ms": item.get("changed_ms", 0),
    }
