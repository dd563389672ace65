"""A small fleet whose values follow from the time alone, so that any range of any resolution can be made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wire.model import Aggregates, Series

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
RAW_DAYS = 7
FIRST_DATA_DAYS = 400


@dataclass(frozen=True)
class Channel:
    """A series: a level with a daily and a fast cycle and noise."""

    name: str
    unit: str
    level: float
    daily: float
    noise: float

    def means(self, start_ms: np.ndarray) -> np.ndarray:
        """Return the mean of the windows that start then."""
        phase = start_ms / DAY * 2 * np.pi
        noise = np.sin(start_ms * 12.9898 % 1000.0) * 0.6 + np.sin(start_ms / 7_919.0) * 0.4
        return self.level + self.daily * np.sin(phase) + self.daily * 0.15 * np.sin(phase * 40) + self.noise * noise


CHANNELS = (
    Channel("press-1/temperature", "Cel", 61.0, 6.0, 0.6),
    Channel("press-1/pressure", "bar", 182.0, 12.0, 1.5),
    Channel("press-1/vibration/rms", "mm/s", 2.4, 0.5, 0.2),
    Channel("pump-2/current", "A", 14.2, 1.8, 0.3),
    Channel("pump-2/flow", "m3/h", 48.0, 5.0, 0.8),
    Channel("hall-3/humidity", "%RH", 45.0, 8.0, 0.9),
)


@dataclass(frozen=True)
class Shift:
    """A fault: values of a series are higher by ``size`` within [from_ms, to_ms)."""

    series: str
    from_ms: int
    to_ms: int
    size: float


def rows(channel: Channel, shifts: list[Shift], from_ms: int, to_ms: int, width_ms: int) -> Aggregates:
    """Return the rows of windows that start in [from_ms, to_ms)."""
    first = -(-from_ms // width_ms) * width_ms
    start = np.arange(first, max(first, to_ms), width_ms, dtype=np.int64)
    mean = channel.means(start)
    for shift in shifts:
        if shift.series == channel.name:
            mean = mean + shift.size * ((start >= shift.from_ms) & (start < shift.to_ms))
    spread = channel.noise * (1.5 + np.log10(width_ms / SECOND))
    n = len(start)
    count = np.full(n, max(1, width_ms // 100), np.int64)
    width = np.full(n, width_ms, np.int64)
    zero = np.zeros(n, np.int64)
    return Aggregates(
        (Series(channel.name, channel.unit, 0.01),), zero, start, width, count, mean, mean - spread, mean + spread,
        np.full(n, spread / 3), np.full(n, np.nan), zero,
    )  # fmt: skip


def gateway(name: str, site: str, now_ms: int, **different: Any) -> dict[str, Any]:
    """Return a healthy gateway, with differences."""
    components = dict.fromkeys(("sensor_reader", "aggregator", "anomaly_detector", "forwarder"), "RUNNING")
    health = {
        "components": components | different.pop("components", {}),
        "spool_bytes": different.pop("spool_bytes", 18_400),
        "spool_batches": different.pop("spool_batches", 4),
        "clock_offset_ms": different.pop("clock_offset_ms", 12),
        "version": (version := different.pop("version", "0.2.0")),
        "versions": dict.fromkeys(components, version),
    }
    about = {
        "gateway": name, "site": site, "silent": False, "first_seen_ms": now_ms - FIRST_DATA_DAYS * DAY,
        "last_seen_ms": now_ms - 2_400, "batches": 81_211, "rows": 24_310_442, "bytes": 61_702_113, "duplicates": 17,
        "acknowledgements": 81_211, "merged": 0,
        "rejected": {}, "alerts": {}, "health": health,
        "losses": {"Spool.rows_dropped": 0}, "notice": None,
        "epochs": [
            {"epoch": "5f0c2a77d1e94b30", "batches": 81_211, "rows": 24_310_442, "cumulative": 81_211,
             "highest": 81_211, "missing": [], "missing_count": 0, "gap_since_ms": None,
             "first_ms": now_ms - 90 * DAY, "changed_ms": now_ms - 2_400},
        ],
    }  # fmt: skip
    return about | different


def fleet(now_ms: int) -> list[dict[str, Any]]:
    """Return gateways in different health."""
    return [
        gateway("bremen:gw-1", "bremen", now_ms),
        gateway("bremen:gw-2", "bremen", now_ms, spool_bytes=48_100_000, spool_batches=9_800),
        gateway("gera:gw-1", "gera", now_ms, components={"anomaly_detector": "NOT_REPORTING"}),
        gateway("gera:gw-2", "gera", now_ms, silent=True, last_seen_ms=now_ms - 3 * HOUR),
        gateway("ulm:gw-1", "ulm", now_ms, clock_offset_ms=194_000),
        gateway("ulm:gw-2", "ulm", now_ms, version="0.1.0", rejected={"codec": 3}),
    ]


def costs(now_ms: int) -> dict[str, Any]:
    """Return an estimate of the account's charges."""
    items = {"iot messages": 1.62, "lambda": 0.71, "dynamodb writes": 2.94, "dynamodb storage": 0.004, "s3": 0.0}
    return {
        "currency": "USD", "gateways": 6, "gateways_read": 6, "gateways_active": 5, "since_ms": now_ms - 90 * DAY,
        "month": {"batches": 162_000, "notices": 43_200, "rows": 48_600_000, "bytes": 123_000_000, "posts": 0,
                  "alerts": 310},
        "items": items, "total": sum(items.values()), "greengrass": 0.96,
    }  # fmt: skip
