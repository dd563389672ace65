"""Delivery of the messages of the channels' queues, in any cloud."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from cloud_functions.adapters.channels.registry import Deliverers, Pair
from cloud_functions.core.channels import Channel
from cloud_functions.core.deliveries import Delivery, DeliveryError
from cloud_functions.core.errors import StoreError
from cloud_functions.core.metrics import Metrics


class Notifier:
    """Delivers messages; ``channels`` returns the configured channels by name."""

    def __init__(
        self,
        channels: Callable[[], Mapping[str, Channel]],
        deliverers: Deliverers,
        metrics: Metrics,
        log: logging.Logger,
    ) -> None:
        self._channels, self._deliverers, self._metrics, self._log = channels, deliverers, metrics, log

    def deliver(self, bodies: Sequence[str]) -> dict[int, str]:
        """Deliver messages; return those that must be delivered again by position, with the reason."""
        failed: dict[int, str] = {}
        pairs: dict[int, Pair] = {}
        for at, body in enumerate(bodies):
            try:
                delivery = Delivery.from_json(body)
                channel = self._channels().get(delivery.channel)
                if channel is None:
                    # It was deleted after the event was queued.
                    self._metrics.count("deliveries_without_channel")
                    self._log.warning("channel does not exist", extra={"channel": delivery.channel})
                    continue
                pairs[at] = (delivery, channel)
            except (DeliveryError, StoreError) as error:
                failed[at] = str(error)
        reasons = self._deliverers.deliver(list(pairs.values()))
        failed |= {at: reason for at, reason in zip(pairs, reasons, strict=True) if reason}
        self._metrics.count("deliveries", len(pairs) - sum(1 for reason in reasons if reason))
        if failed:
            self._metrics.count("failed_deliveries", len(failed))
        return dict(sorted(failed.items()))
