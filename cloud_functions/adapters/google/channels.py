"""Deliverers of channels on Google Cloud: the MQTT broker, webhooks, and topics of Pub/Sub for all other programs.

Google Cloud has no service that sends e-mails, and no ARN of AWS can be reached from it: deliveries to such a channel
fail, and become dead letters after the last attempt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cloud_functions.adapters.channels.outside_aws import UnavailableDeliverer, reason_of_arn
from cloud_functions.adapters.channels.registry import Deliverers, Factory, Options, Pair, chunks, each
from cloud_functions.adapters.channels.webhook import SecretReader, WebhookDeliverer
from cloud_functions.adapters.google.mqtt import Broker
from cloud_functions.adapters.google.pubsub import Publisher
from cloud_functions.adapters.google.service import store_errors
from cloud_functions.clock import now_ms
from cloud_functions.core.channels import Channel, ChannelType
from cloud_functions.core.deliveries import Deliverer, Delivery, DeliveryError
from cloud_functions.core.errors import StoreError
from cloud_functions.core.ports import NowMs
from wire import topics

CLOUD = "Google Cloud"
MAX_BATCH = 100
CACHE_MS = 300_000

Access = Callable[[str], str]
"""Returns the text of a secret of Secret Manager; raises OSError or an error of the client libraries."""


@dataclass(frozen=True, slots=True)
class Destinations:
    """Topics for events: ``alerts`` for channels of the type sns, ``events`` for those of the type eventbridge."""

    alerts: str
    events: str


class MqttDeliverer:
    """Publishes each event on the topic of its gateway; after a failure it connects once more."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Publish events one by one."""
        return each(deliveries, self._publish)

    def _publish(self, delivery: Delivery, channel: Channel) -> None:
        payload = json.dumps(dict(delivery.event)).encode()
        for last in (False, True):
            try:
                self._broker.publish(topics.alerts(delivery.gateway), payload)
            except OSError as error:
                self._broker.close()
                if last:
                    raise DeliveryError(f"alert to {delivery.gateway}: {type(error).__name__}: {error}") from error
            else:
                return


class TopicDeliverer:
    """Publishes events as JSON to a topic; a channel that names an ARN of AWS is refused.

    The attributes of a message name type, gateway and channel, for filters of subscriptions, and the key of the
    delivery, by which a subscriber finds a repetition.
    """

    def __init__(self, topic: str, publisher: Publisher) -> None:
        self._topic, self._publisher = topic, publisher

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Publish events, many in a request."""
        reasons = [reason_of_arn(channel, CLOUD) for _, channel in deliveries]
        accepted = [at for at, reason in enumerate(reasons) if not reason]
        for _, part in chunks(accepted, MAX_BATCH):
            try:
                self._publisher.publish(self._topic, [_message(deliveries[at][0]) for at in part])
            except StoreError as error:
                for at in part:
                    reasons[at] = str(error)
        return reasons


class Secrets:
    """Reader of secrets ``secretsmanager:NAME`` from Secret Manager, which are cached for five minutes."""

    def __init__(self, access: Access, clock: NowMs = now_ms) -> None:
        self._access, self._clock = access, clock
        self._cached: dict[str, tuple[int, str]] = {}

    def get(self, name: str) -> str:
        """Return the text of a secret; raises StoreError if it cannot be read."""
        kind, _, key = name.partition(":")
        if kind != "secretsmanager" or "/" in key:
            raise StoreError(f"secret {name!r}: secretsmanager:NAME is allowed on Google Cloud")
        known = self._cached.get(key)
        if known is None or not 0 <= self._clock() - known[0] < CACHE_MS:
            with store_errors(f"read the secret {name}"):
                known = self._cached[key] = (self._clock(), self._access(key))
        return known[1]


def deliverers(
    options: Options, broker: Broker, publisher: Publisher, destinations: Destinations, secrets: SecretReader
) -> Deliverers:
    """Return the deliverers of all types of channels."""

    def made(found: Deliverer) -> Factory:
        return lambda _: found

    factories: Mapping[ChannelType, Factory] = {
        ChannelType.MQTT: made(MqttDeliverer(broker)),
        ChannelType.WEBHOOK: made(WebhookDeliverer(secrets, options.link, loopback=options.loopback)),
        ChannelType.SNS: made(TopicDeliverer(destinations.alerts, publisher)),
        ChannelType.EVENTBRIDGE: made(TopicDeliverer(destinations.events, publisher)),
        ChannelType.EMAIL: made(UnavailableDeliverer(CLOUD)),
        ChannelType.STEPFUNCTIONS: made(UnavailableDeliverer(CLOUD)),
    }
    return Deliverers(options, factories)


def _message(delivery: Delivery) -> tuple[str, dict[str, str]]:
    event = dict(delivery.event)
    attributes = {
        "type": str(event["type"]),
        "gateway": delivery.gateway,
        "channel": delivery.channel,
        "key": delivery.key,
    }
    return json.dumps(event), attributes
