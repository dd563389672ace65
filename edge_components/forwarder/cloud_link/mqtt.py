"""Link over MQTT to a broker or to Azure IoT Hub, with the gateway's own certificate, password or token.

The spool keeps every batch until the cloud acknowledges it, so the session on the broker is not persistent, and
publications that a lost connection leaves unconfirmed are discarded here: the uplink sends their batches again.

This module is the part on the component's loop; :mod:`edge_components.forwarder.cloud_link.session` connects, on a
thread of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from edge_components.common.errors import BusError, ConnectionLostError
from edge_components.common.lifecycle import Runtime
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.mqtt.failures import Failure
from edge_components.common.ports import Clock, Handler, Subscription
from edge_components.forwarder.cloud_link.session_ports import Session, SessionEvents
from edge_components.forwarder.cloud_link.settings import MqttLinkSettings
from wire.topics import Lane

RENEWAL_SECONDS, LONGEST_RENEWAL_SECONDS = 30.0, 300.0
"""Minimum time between two renewals; it doubles with each one that no message followed."""


class MqttLink:
    """Implementation of CloudLink, of its subscription, and of :class:`SessionEvents`."""

    def __init__(
        self,
        settings: MqttLinkSettings,
        gateway: str,
        open_session: Callable[[SessionEvents], Session],
        clock: Clock,
        log: RateLimitedLog,
    ) -> None:
        self._settings, self._gateway, self._clock, self._log = settings, gateway, clock, log
        self._session = open_session(self)
        self._handler: Handler | None = None
        self._failure: Failure | None = Failure("mqtt_unreachable", "not connected yet")
        self._renewal_s, self._renewed_at = RENEWAL_SECONDS, 0.0
        self._refused: dict[str, str] = {}
        self._closed = False

    def start(self, on_acknowledgement: Handler) -> Subscription:
        """Begin to connect; acknowledgements are passed to ``on_acknowledgement``."""
        if self._handler is None:
            self._handler = on_acknowledgement
            self._session.start()
        return self

    def topic(self, lane: Lane) -> str:
        """Return the topic of the batches of a lane."""
        return self._settings.batches(self._gateway, lane)

    def publish(self, topic: str, payload: bytes) -> None:
        """Queue a batch for sending; raises BusError while the connection is lost or the queue is full."""
        if self._failure is not None:
            raise ConnectionLostError(f"not connected to {self._settings.address}: {self._failure.text}")
        if not self._session.publish(topic, payload):
            raise BusError(f"{self._settings.address} does not confirm publications; the maximum number waits")

    @property
    def active(self) -> bool:
        """True if the broker has accepted the connection and the subscription."""
        return self._failure is None and not self._refused

    def renew(self, reason: str) -> None:
        """Connect again because acknowledgements seem to be missing; the rate is limited."""
        now = self._clock.monotonic()
        if self._failure is not None or now < self._renewed_at + self._renewal_s:
            return
        self._renewed_at, self._renewal_s = now, min(2 * self._renewal_s, LONGEST_RENEWAL_SECONDS)
        self._log.warning("renewals_requested", f"{self._settings.address}: {reason}", key=self._settings.address)
        self._session.reconnect()

    def health(self) -> Mapping[str, Any]:
        """Return the state of the connection."""
        state: dict[str, Any] = {"connected": self._failure is None, "broker": self._settings.address}
        if self._failure is not None:
            state["failure"] = self._failure.text
        if self._refused:
            state["refused_subscriptions"] = dict(self._refused)
        return state

    def close(self) -> None:
        """Disconnect."""
        self._closed = True
        self._session.close()

    def connected(self, protocol: str) -> None:
        """Record the connection; the next renewal waits."""
        self._failure, self._renewed_at = None, self._clock.monotonic()
        self._log.info("mqtt_connected", f"{self._settings.address}, {protocol}", key=self._settings.address)

    def failed(self, failure: Failure) -> None:
        """Record the failure and log its cause."""
        if self._closed:
            return
        self._failure = failure
        text = f"no connection to {self._settings.address}: {failure.text}; it is retried"
        self._log.error(failure.counter, text, key=self._settings.address)

    def subscribed(self, topic: str, rejection: str) -> None:
        """Record the answer; without the subscription no acknowledgement arrives."""
        self._refused = {topic: rejection} if rejection else {}
        if rejection:
            text = f"{topic!r}: {rejection}; it is retried, and batches stay in the spool without acknowledgements"
            self._log.error("mqtt_subscription_rejected", text, key=topic)

    def publication_rejected(self, reason: str) -> None:
        """Log that the broker rejects batches, which are sent again."""
        text = f"{self._settings.address} rejects a publication: {reason}; the batch is sent again"
        self._log.error("mqtt_publications_rejected", text, key=reason)

    def credentials_renewed(self, counter: str, reason: str) -> None:
        """Record that the session connects again with newer credentials."""
        self._failure = Failure("mqtt_disconnected", reason)
        self._log.info(counter, f"{self._settings.address}: {reason}", key=self._settings.address)

    def received(self, topic: str, payload: bytes) -> None:
        """Pass a message on."""
        self._renewal_s = RENEWAL_SECONDS
        if self._handler is not None and not self._closed:
            self._handler(topic, payload)


def open_mqtt(settings: MqttLinkSettings, runtime: Runtime) -> MqttLink:
    """Return the link to a real broker, not started."""
    from edge_components.forwarder.cloud_link.session import MqttSession

    rng = random.Random(runtime.rng.getrandbits(64))  # noqa: S311 # jitter; a thread has its own

    def open_session(events: SessionEvents) -> Session:
        return MqttSession(settings, runtime.gateway, events, runtime.loop, runtime.clock, rng)

    return MqttLink(settings, runtime.gateway, open_session, runtime.clock, runtime.limited_log)
