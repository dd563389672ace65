"""The way of gateways into the local Azure: through the local IoT broker, under the identity of the connection."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Self

from device_sim.aws.broker_bridge import BrokerBridge
from device_sim.aws.local import LocalCloud
from device_sim.azure.local import LocalAzure
from wire import topics


class AzureBehindBroker:
    """A local Azure whose devices are the gateways of a local AWS IoT broker; a context manager."""

    def __init__(self, root: Path, cloud: LocalCloud, watch_every_s: float) -> None:
        self._bridge, self._stack = BrokerBridge(cloud, self._publish), contextlib.ExitStack()
        self.azure = LocalAzure(root, self._deliver, watch_every_s)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.azure)
            stack.enter_context(self._bridge)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _deliver(self, device: str, payload: bytes) -> bool:
        return self._bridge.deliver(topics.ack(device), payload)

    def _publish(self, device: str, lane: str, payload: bytes) -> None:
        self.azure.publish(device, payload, {"lane": lane})
