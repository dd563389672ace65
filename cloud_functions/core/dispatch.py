"""Dispatch of transitions: from the stream of the alerts table, by the routes, to the queues of the channels.

Dispatch only writes to queues and groups. A destination that does not answer is the matter of its own queue, and has no
effect on this function or on other channels. A repeated stream record repeats events with the same ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cloud_functions.core import alert as alerts
from cloud_functions.core.alert import Alert, State
from cloud_functions.core.channels import Channel
from cloud_functions.core.cloudevents import envelope, member
from cloud_functions.core.deliveries import Delivery
from cloud_functions.core.gateways import site_of
from cloud_functions.core.grouping import Group, Groups
from cloud_functions.core.ports import Outbox
from cloud_functions.core.routes import Route, group_key

Transition = tuple[Alert, State]
"""An alert after a change, and a state that it entered by it."""


class Dispatcher:
    """Dispatcher of transitions; ``routes`` and ``channels`` return the configuration."""

    def __init__(
        self,
        routes: Callable[[], Sequence[Route]],
        channels: Callable[[], Mapping[str, Channel]],
        outbox: Outbox,
        groups: Groups,
    ) -> None:
        self._routes, self._channels, self._outbox, self._groups = routes, channels, outbox, groups

    def dispatch(self, entered: Sequence[Transition]) -> None:
        """Dispatch transitions of alerts, all together. Raises StoreError."""
        self._put(entered, {}, self._routes())

    def repeat(self, alert: Alert, route: Route, suffix: str, channels: Sequence[str] | None = None) -> None:
        """Send the state of an open alert again, to the people of a route or to other ``channels`` (escalation)."""
        self._put([(alert, alert.state)], {alert.id: suffix}, [route], channels)

    def _put(
        self,
        entered: Sequence[Transition],
        suffixes: Mapping[str, str],
        routes: Sequence[Route],
        instead: Sequence[str] | None = None,
    ) -> None:
        known = self._channels()
        single: dict[str, dict[str, Delivery]] = defaultdict(dict)
        grouped: dict[Group, dict[str, dict[str, Any]]] = defaultdict(dict)
        for alert, state in entered:
            suffix = suffixes.get(alert.id, "")
            event = envelope(alert, state, suffix)
            for route in matching(routes, alert):
                for name in route.channels if instead is None else instead:
                    channel = known.get(name)
                    if channel is None:
                        continue
                    if not channel.is_grouped:
                        if suffix and instead is None:
                            continue  # machines do not need reminders
                        delivery = Delivery(name, alert.gateway, event)
                        single[channel.type][delivery.key] = delivery
                    elif not alert.is_suppressed or state is State.FIRING:
                        grouped[_group(route, channel, alert)][event["id"]] = member(event)
        for channel_type, deliveries in single.items():
            self._outbox.put(channel_type, [one.to_json() for one in deliveries.values()])
        if grouped:
            self._groups.add(grouped)


def matching(routes: Iterable[Route], alert: Alert) -> list[Route]:
    """Return the routes that apply to an alert."""
    series, severity, kind = alert.report.series, str(alert.severity), str(alert.origin.kind)
    return [one for one in routes if one.applies_to(site_of(alert.gateway), alert.gateway, series, severity, kind)]


def _group(route: Route, channel: Channel, alert: Alert) -> Group:
    title = group_key(route, alert.gateway, alert.report.series, alert.id)
    wait_ms, interval_ms = round(route.group_wait_s * 1000), round(route.group_interval_s * 1000)
    return Group(route.name, channel.name, str(channel.type), title, wait_ms, interval_ms)


def transitions_of(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[Transition]:
    """Return the transitions to publish between two images of an item; none if it is not an alert."""
    if new.get("kind") != "alert":
        return []
    after = alerts.from_item(new)
    return [(after, state) for state in alerts.transitions(alerts.from_item(old) if old else None, after)]
