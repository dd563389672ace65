"""Routes: which alerts go to which channels, how notifications are grouped, repeated and escalated.

Every route that matches an alert applies. Series of a gateway itself (``host.*``: load, disk, temperature) match a
route only if its pattern of series begins with ``host.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloud_functions.core.fields import Fields, whole
from cloud_functions.core.globs import matches, matches_series
from cloud_functions.core.severity import AlertKind, Severity

GROUP_INTERVAL_S = 300.0


class GroupBy(StrEnum):
    """Alerts that share a notification."""

    GATEWAY = "gateway"
    ASSET = "asset"
    """Those of a gateway whose series have the same name up to the last slash."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Route:
    """A named route; empty ``severities`` and ``kinds`` match any. A duration of 0 switches its function off."""

    name: str
    sites: str
    gateways: str
    series: str
    severities: tuple[str, ...]
    kinds: tuple[str, ...]
    channels: tuple[str, ...]
    group_by: GroupBy = GroupBy.ASSET
    group_wait_s: float = 0.0
    group_interval_s: float = GROUP_INTERVAL_S
    repeat_s: float = 0.0
    escalate_after_s: float = 0.0
    escalate_to: tuple[str, ...] = ()

    def applies_to(self, site: str, gateway: str, series: str, severity: str, kind: str) -> bool:
        """Return True for an alert that the route names."""
        if self.severities and severity not in self.severities:
            return False
        if self.kinds and kind not in self.kinds:
            return False
        return matches(self.sites, site) and matches(self.gateways, gateway) and matches_series(self.series, series)

    def to_dict(self) -> dict[str, Any]:
        """Return the route as JSON values, as :func:`parse` reads them."""
        optional: dict[str, Any] = {"severities": list(self.severities)} if self.severities else {}
        optional |= {"kinds": list(self.kinds)} if self.kinds else {}
        return {
            "name": self.name,
            "sites": self.sites,
            "gateways": self.gateways,
            "series": self.series,
            **optional,
            "channels": list(self.channels),
            "group_by": str(self.group_by),
            "group_wait_s": whole(self.group_wait_s),
            "group_interval_s": whole(self.group_interval_s),
            "repeat_s": whole(self.repeat_s),
            "escalate_after_s": whole(self.escalate_after_s),
            "escalate_to": list(self.escalate_to),
        }


def parse(body: Mapping[str, Any]) -> Route:
    """Return the route of a document; raises RequestError with one sentence a problem."""
    fields = Fields(body)
    route = Route(
        name=fields.name(),
        sites=fields.glob("sites"),
        gateways=fields.glob("gateways"),
        series=fields.glob("series"),
        severities=fields.choices("severities", list(Severity)),
        kinds=fields.choices("kinds", list(AlertKind)),
        channels=fields.names("channels", required=True),
        group_by=GroupBy(fields.choice("group_by", list(GroupBy), GroupBy.ASSET)),
        group_wait_s=fields.seconds("group_wait_s", 0.0),
        group_interval_s=fields.seconds("group_interval_s", GROUP_INTERVAL_S),
        repeat_s=fields.seconds("repeat_s", 0.0),
        escalate_after_s=fields.seconds("escalate_after_s", 0.0),
        escalate_to=fields.names("escalate_to", required=False),
    )
    if bool(route.escalate_after_s) != bool(route.escalate_to):
        fields.problem("escalate_to", "escalate_after_s and escalate_to are needed together")
    fields.finish()
    return route


def asset(series: str) -> str:
    """Return the asset of a series: its name up to the last slash, empty without one."""
    return series.rpartition("/")[0]


def group_key(route: Route, gateway: str, series: str, alert: str) -> str:
    """Return the group of an alert within a route; ``alert`` is the id of the alert."""
    if route.group_by is GroupBy.NONE:
        return alert
    return gateway if route.group_by is GroupBy.GATEWAY else f"{gateway}/{asset(series) or series}"


BUILT_IN = "default"
"""Name of the route and prefix of the channels that exist without any configuration."""


def default_route() -> Route:
    """Return the route that applies beside those that are configured: every alert to SNS, EventBridge and the site."""
    return Route(BUILT_IN, "*", "*", "*", (), (), ("default-sns", "default-eventbridge", "default-mqtt"))
