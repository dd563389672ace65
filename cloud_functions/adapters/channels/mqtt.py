"""The channel to the site: each transition on the gateway's topic, so that sirens and lamps can react."""

from __future__ import annotations

import json
from typing import Any

from cloud_functions.adapters.aws import lazy_client, store_errors
from cloud_functions.adapters.channels.registry import Pair, each, register
from cloud_functions.core.channels import Channel, ChannelType
from cloud_functions.core.deliveries import Delivery
from wire import topics


class MqttDeliverer:
    """Publishes to gateways with QoS 1."""

    def __init__(self, iot: Any = None) -> None:
        self._client = iot if iot is not None else lazy_client("iot-data")

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Publish events one by one."""
        return each(deliveries, self._publish)

    def _publish(self, delivery: Delivery, channel: Channel) -> None:
        with store_errors(f"alert to {delivery.gateway}"):
            payload = json.dumps(dict(delivery.event)).encode()
            self._client.publish(topic=topics.alerts(delivery.gateway), qos=1, payload=payload)


register(ChannelType.MQTT, lambda options: MqttDeliverer())
