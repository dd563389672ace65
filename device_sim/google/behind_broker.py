"""The way of gateways into the local Google Cloud: through the local IoT broker, which names the topic's gateway."""

from __future__ import annotations

import contextlib
from typing import Self

from device_sim.aws.broker_bridge import BrokerBridge
from device_sim.aws.local import LocalCloud
from device_sim.google.local import LocalGoogle
from wire import topics


class GoogleBehindBroker:
    """A local Google Cloud behind a local AWS IoT broker; a context manager."""

    def __init__(self, cloud: LocalCloud, watch_every_s: float) -> None:
        self._bridge, self._stack = BrokerBridge(cloud, self._publish), contextlib.ExitStack()
        self.google = LocalGoogle(self._bridge.deliver, watch_every_s)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.google)
            stack.enter_context(self._bridge)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _publish(self, gateway: str, lane: str, payload: bytes) -> None:
        self.google.publish(topics.published(gateway, lane), payload)
