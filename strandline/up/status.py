"""Lines about the state of the local gateway and cloud. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud_functions.core.alert import State


@dataclass(slots=True)
class Status:
    """Lines for what changed since the last call: counts, new rejections, opened and resolved alerts."""

    _rejected: dict[str, int] = field(default_factory=dict)
    _opened: set[str] = field(default_factory=set)
    _resolved: set[str] = field(default_factory=set)

    def counts(self, about: Mapping[str, Any]) -> str:
        """Return the gateway's counts as one line; ``about`` is of CloudStore.about."""
        reader = _counters(about, "SensorReader")
        return (
            f"readings {reader.get('readings', 0):,}, batches stored {int(about.get('batches', 0)):,}, "
            f"alerts open {len(self._opened - self._resolved)}"
        )

    def rejections(self, about: Mapping[str, Any]) -> list[str]:
        """Return a line for each reason by which readings were rejected or dropped, again when its count doubled."""
        found = []
        for component in ("SensorReader", "Aggregator"):
            for name, count in _counters(about, component).items():
                key = f"{component}.{name}"
                if name.startswith(("rejected_", "dropped_")) and count >= max(1, 2 * self._rejected.get(key, 0)):
                    found.append(f"rejected: {key} {count:,}")
                    self._rejected[key] = count
        return found

    def alerts(self, alerts: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return a line for each alert that opened or was resolved."""
        found = []
        for alert in alerts:
            if alert["state"] == State.PENDING:
                continue
            name = alert["id"]
            if name not in self._opened:
                self._opened.add(name)
                found.append(f"alert opened    {alert['series'] or 'gateway'}: {alert['summary']}")
            if alert["state"] == State.RESOLVED and name not in self._resolved:
                self._resolved.add(name)
                found.append(f"alert resolved  {alert['series'] or 'gateway'}")
        return found


def _counters(about: Mapping[str, Any], component: str) -> Mapping[str, int]:
    counters = about.get("counters", {})
    return next((found for name, found in counters.items() if name.rsplit(".", 1)[-1] == component), {})
