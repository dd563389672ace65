"""Publishing to gateways through AWS IoT Core's data plane."""

from __future__ import annotations

from typing import Any

from cloud_functions.adapters.aws import client, store_errors
from wire import topics


class IotAcknowledger:
    """Publishes acknowledgements with QoS 0: a lost one is covered by the next."""

    def __init__(self, iot: Any = None) -> None:
        self._client = iot if iot is not None else client("iot-data")

    def send(self, gateway: str, payload: bytes) -> None:
        """Publish an acknowledgement; raises StoreError when it could not be handed over."""
        with store_errors(f"acknowledge to {gateway}"):
            self._client.publish(topic=topics.ack(gateway), qos=0, payload=payload)
