"""Local publish/subscribe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from device_sim.greengrass.topics import matches

Deliver = Callable[[str, Mapping[str, Any]], None]
"""Called with the topic and the unchanged publish message (``jsonMessage`` or ``binaryMessage``)."""


@dataclass(eq=False, slots=True)
class _Subscription:
    pattern: str
    owner: str
    from_others: bool
    deliver: Deliver


class LocalBus:
    """Subscriptions by topic filter, served in the order of subscription."""

    def __init__(self) -> None:
        self._exact: dict[str, list[_Subscription]] = {}
        self._wildcards: list[_Subscription] = []

    def subscribe(self, pattern: str, owner: str, from_others: bool, deliver: Deliver) -> Callable[[], None]:
        """Subscribe and return the function that unsubscribes; ``from_others`` excludes the owner's own messages."""
        subscription = _Subscription(pattern, owner, from_others, deliver)
        wild = any(level in ("+", "#") for level in pattern.split("/"))
        group = self._wildcards if wild else self._exact.setdefault(pattern, [])
        group.append(subscription)

        def end() -> None:
            if subscription in group:
                group.remove(subscription)
            if not wild and not group and self._exact.get(pattern) is group:
                del self._exact[pattern]

        return end

    def clear(self) -> None:
        """Drop all subscriptions, as a restart of ggpubsubd does."""
        self._exact.clear()
        self._wildcards.clear()

    def publish(self, topic: str, message: Mapping[str, Any], publisher: str) -> int:
        """Deliver a message and return the number of matching subscriptions."""
        receiving = [
            subscription
            for subscription in (
                *self._exact.get(topic, ()),
                *(one for one in self._wildcards if matches(one.pattern, topic)),
            )
            if not (subscription.from_others and subscription.owner == publisher)
        ]
        for subscription in receiving:
            subscription.deliver(topic, message)
        return len(receiving)
