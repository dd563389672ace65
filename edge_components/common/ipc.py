"""Implementation of :class:`edge_components.common.ports.Bus` over Greengrass IPC.

This module performs the I/O: :mod:`edge_components.common.subscriptions` decides when to subscribe, and
:mod:`edge_components.common.connection_schedule` when to connect. Only this module and
:mod:`edge_components.common.ipc_client` use ``awsiot``.

Measured facts: nucleus lite leaks the stream of a unary operation that is not closed after its result. Stream events
arrive on the SDK's single network thread; they are posted to the loop, which keeps their order. A message above nucleus
lite's packet limit closes the whole connection without an error, so sizes are checked here.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from awsiot.eventstreamrpc import StreamResponseHandler
from awsiot.greengrasscoreipc import model

from edge_components.common import ipc_client
from edge_components.common.connection_schedule import ConnectionSchedule
from edge_components.common.errors import BusError, ConnectionLostError, ConnectionRefusedByNucleusError
from edge_components.common.ipc_client import TIMEOUT_SECONDS, TOKEN, Lifecycle, described, translate, translated
from edge_components.common.limited_log import RateLimitedLog
from edge_components.common.ports import Clock, Handler, Subscription
from edge_components.common.subscriptions import Kind, StreamEvents, Subscriptions, Target
from wire.limits import MAX_LOCAL_BYTES

Validate = Callable[[Mapping[str, Any]], str | None]
STOP_SECONDS = 3.0
"""Seconds that all calls together wait for answers after the component was asked to stop.

Nucleus lite stops its publish/subscribe and MQTT daemons before the components when it is itself stopped, and requests
then get no answer."""
_SLICE_SECONDS = 0.2
"""Interval at which a call that waits for its answer checks if the component was asked to stop."""


class LoopPort(Protocol):
    """Port of the component's loop."""

    @property
    def stopping(self) -> bool:
        """True if the component was asked to stop."""

    def post(self, call: Callable[[], None]) -> None:
        """Run a call on the loop; it is dropped if too many wait."""

    def post_always(self, call: Callable[[], None]) -> None:
        """Run a call on the loop, regardless of the number that waits."""


class GreengrassBus:
    """Bus over Greengrass IPC; all methods are called on the loop."""

    def __init__(
        self, loop: LoopPort, clock: Clock, log: RateLimitedLog, rng: random.Random, give_up: Callable[[], None]
    ) -> None:
        """Create an unconnected bus; ``give_up`` is called when only a new process can connect again."""
        self._loop, self._clock, self._log, self._give_up = loop, clock, log, give_up
        self._subscriptions = Subscriptions(self._open, clock, log, rng)
        self._schedule = ConnectionSchedule(clock.monotonic(), rng)
        self._client: Any = None
        self._lifecycle: Lifecycle | None = None
        self._connecting = self._closed = self._by_name = False
        self._stop_wait_s = STOP_SECONDS
        self._parent = os.getppid()

    def connect(self) -> None:
        """Connect and wait for the result; raises BusError. After a lost connection :meth:`tick` connects again."""
        self._connected(*self._dial())

    def tick(self) -> float:
        """Connect, subscribe and renew what is due; return the maximum seconds until the next call."""
        if self._client is not None:
            return self._subscriptions.tick()
        now = self._clock.monotonic()
        if self._closed or self._connecting:
            return float("inf")
        if os.getppid() != self._parent:
            self._schedule.orphaned()
        if self._schedule.must_exit(now):
            self._give_up()
            return float("inf")
        if self._schedule.attempt_due(now):
            threading.Thread(target=self._reconnect, name="connect", daemon=True).start()
            self._connecting = True  # reset on this loop, so after this
        return self._schedule.next_s(now)

    def inactive(self) -> Sequence[str]:
        """Return the subscriptions that are not active."""
        return self._subscriptions.inactive()

    def close(self) -> None:
        """End all subscriptions and the connection."""
        self._closed = True
        self._subscriptions.close()
        if self._lifecycle is not None:
            self._lifecycle.ended = True
        if self._client is not None:
            self._client.close()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish on a local topic."""
        self._check_size(topic, payload)
        message = model.PublishMessage(binary_message=model.BinaryMessage(message=payload))
        request = model.PublishToTopicRequest(topic=topic, publish_message=message)
        self._call("publish_to_topic", request, f"publish to {topic}")

    def subscribe(
        self,
        topic: str,
        handler: Handler,
        *,
        expects_traffic: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> Subscription:
        """Subscribe to a local topic; JSON messages are also passed as bytes."""
        target = Target(Kind.LOCAL, topic)
        return self._subscriptions.add(target, handler, expects_traffic=expects_traffic, on_open=on_open)

    def publish_to_iot_core(self, topic: str, payload: bytes) -> None:
        """Publish to IoT Core with QoS 1."""
        self._check_size(topic, payload)
        request = model.PublishToIoTCoreRequest(topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload)
        self._call("publish_to_iot_core", request, f"publish to IoT Core topic {topic}")

    def subscribe_to_iot_core(self, topic: str, handler: Handler) -> Subscription:
        """Subscribe to an IoT Core topic with QoS 1."""
        return self._subscriptions.add(Target(Kind.IOT_CORE, topic), handler)

    def configuration(self) -> Mapping[str, Any]:
        """Return the component's merged configuration."""
        request = model.GetConfigurationRequest(key_path=[])
        response = self._call("get_configuration", request, "read the configuration")
        return dict(response.value or {})

    def on_configuration(self, validate: Validate, apply: Callable[[], None]) -> None:
        """Subscribe to updates; with nucleus lite, which does not request validation, ``apply`` validates them."""
        self._subscriptions.add(Target(Kind.CONFIGURATION), lambda _topic, _payload: apply())
        self._subscriptions.add(Target(Kind.VALIDATION), lambda id_, values: self._answer_update(id_, values, validate))

    def _answer_update(self, deployment_id: str, values: bytes, validate: Validate) -> None:
        wrong = validate(json.loads(values))
        status = model.ConfigurationValidityStatus
        report = model.ConfigurationValidityReport(
            status=status.ACCEPTED if wrong is None else status.REJECTED,
            deployment_id=deployment_id,
            message=wrong,
        )
        request = model.SendConfigurationValidityReportRequest(configuration_validity_report=report)
        self._call("send_configuration_validity_report", request, "answer a configuration update")

    def _dial(self) -> tuple[Any, Lifecycle]:
        """Connect with the token; if it was rejected, with the name, which nucleus lite accepts after a restart."""
        by_name, self._by_name = self._by_name, False
        identity = {"componentName": Path.cwd().name} if by_name else {"authToken": os.environ.get(TOKEN, "")}
        lifecycle = Lifecycle(lambda reason: self._loop.post_always(lambda: self._lost(lifecycle, reason)))
        try:
            return ipc_client.connect(lifecycle, identity), lifecycle
        except ConnectionRefusedByNucleusError:
            self._by_name = not by_name
            raise

    def _reconnect(self) -> None:
        """Connect on a separate thread, which can take TIMEOUT_SECONDS, and post the outcome to the loop."""
        try:
            client, lifecycle = self._dial()
        except BusError as error:
            refused = error
            self._loop.post_always(lambda: self._not_connected(refused))
        except MemoryError as error:
            exhausted = error
            self._loop.post_always(lambda: _raise(exhausted))  # the loop ends the component
        except Exception as error:  # noqa: BLE001 # outermost edge of the thread: every outcome must be posted
            failed = BusError(f"cannot connect: {type(error).__name__}: {error}")
            self._loop.post_always(lambda: self._not_connected(failed))
        else:
            self._loop.post_always(lambda: self._connected(client, lifecycle))

    def _connected(self, client: Any, lifecycle: Lifecycle) -> None:
        self._connecting = False
        if lifecycle.ended:
            self._not_connected(BusError("the nucleus closed the connection at once"))
            return
        if self._closed:
            lifecycle.ended = True
            client.close()
            return
        self._client, self._lifecycle = client, lifecycle
        self._log.info("connections_established", "connected to the nucleus")

    def _not_connected(self, error: BusError) -> None:
        self._connecting = False
        refused = isinstance(error, ConnectionRefusedByNucleusError)
        self._schedule.failed(self._clock.monotonic(), refused=refused)
        self._log.warning("connections_failed", f"{error}; it is retried")

    def _lost(self, lifecycle: Lifecycle, reason: str) -> None:
        if lifecycle is not self._lifecycle or self._closed:
            return
        self._client = self._lifecycle = None
        self._schedule.lost(self._clock.monotonic())
        self._subscriptions.disconnected()
        self._log.error("connections_lost", f"the connection to the nucleus is lost: {reason}; connecting again")

    def _open(self, target: Target, events: StreamEvents) -> _Stream:
        """Begin a subscription without waiting for the response."""
        if self._client is None:
            raise ConnectionLostError(f"{target}: not connected to the nucleus")
        stream = _Stream(self._loop, target, events)
        with translated(f"subscribe to {target}"):
            stream.activate(self._client)
        return stream

    def _call(self, name: str, request: Any, what: str) -> Any:
        """Run a unary operation and close it; nucleus lite keeps the stream of one that is not closed."""
        if self._client is None:
            raise ConnectionLostError(f"{what}: not connected to the nucleus")
        with translated(what):
            operation = getattr(self._client, f"new_{name}")()
            try:
                operation.activate(request)
                return self._answer_to(operation.get_response(), what)
            finally:
                operation.close()

    def _answer_to(self, response: concurrent.futures.Future[Any], what: str) -> Any:
        """Wait for an answer: TIMEOUT_SECONDS, or the rest of STOP_SECONDS once the component was asked to stop."""
        waited_s, left_s = 0.0, TIMEOUT_SECONDS
        while True:
            stopping = self._loop.stopping
            if stopping:
                left_s = min(left_s, self._stop_wait_s)
            since = self._clock.monotonic()
            try:
                return response.result(min(_SLICE_SECONDS, left_s))
            except concurrent.futures.TimeoutError:
                if left_s <= _SLICE_SECONDS:
                    raise BusError(f"{what}: no answer in {waited_s + left_s:.3g} s") from None
            finally:
                passed_s = self._clock.monotonic() - since
                waited_s, left_s = waited_s + passed_s, max(0.0, left_s - passed_s)
                if stopping:
                    self._stop_wait_s = max(0.0, self._stop_wait_s - passed_s)

    @staticmethod
    def _check_size(topic: str, payload: bytes) -> None:
        if len(payload) > MAX_LOCAL_BYTES:
            raise BusError(f"publish to {topic}: {len(payload)} bytes, at most {MAX_LOCAL_BYTES} pass every nucleus")


def _raise(error: Exception) -> None:
    raise error


class _Stream(StreamResponseHandler):  # type: ignore[misc]  # awsiot ships no type information
    """Stream of one subscription; the SDK calls its methods on the network thread."""

    def __init__(self, loop: LoopPort, target: Target, events: StreamEvents) -> None:
        self._loop, self._target, self._events = loop, target, events
        self._operation: Any = None

    def activate(self, client: Any) -> None:
        """Send the request."""
        target = self._target
        if target.kind is Kind.LOCAL:
            self._operation = client.new_subscribe_to_topic(self)
            request: Any = model.SubscribeToTopicRequest(topic=target.topic)
        elif target.kind is Kind.IOT_CORE:
            self._operation = client.new_subscribe_to_iot_core(self)
            request = model.SubscribeToIoTCoreRequest(topic_name=target.topic, qos=model.QOS.AT_LEAST_ONCE)
        elif target.kind is Kind.CONFIGURATION:
            self._operation = client.new_subscribe_to_configuration_update(self)
            request = model.SubscribeToConfigurationUpdateRequest(key_path=[])
        else:
            self._operation = client.new_subscribe_to_validate_configuration_updates(self)
            request = model.SubscribeToValidateConfigurationUpdatesRequest()
        self._operation.activate(request)
        self._operation.get_response().add_done_callback(self._answered)

    def close(self) -> None:
        """End the stream; never raises."""
        if self._operation is not None:
            self._operation.close()

    def _answered(self, response: concurrent.futures.Future[Any]) -> None:
        error = response.exception()
        if error is None:
            self._loop.post_always(self._events.opened)
            return
        what = f"subscribe to {self._target}"
        rejection = translate(error, what) or BusError(f"{what}: {type(error).__name__}: {error}")
        self._loop.post_always(lambda: self._events.failed(rejection))

    def on_stream_event(self, event: Any) -> None:
        """Post a message to the loop."""
        message = self._message(event)
        if message is not None:
            self._loop.post(lambda: self._events.received(*message))

    def on_stream_error(self, error: Exception) -> bool:
        """Post an error as the end of the stream, which the SDK then closes."""
        reason = described(error)
        self._loop.post_always(lambda: self._events.closed(reason))
        return True

    def on_stream_closed(self) -> None:
        """Post the end of the stream."""
        self._loop.post_always(lambda: self._events.closed("the nucleus closed the stream"))

    def _message(self, event: Any) -> tuple[str, bytes] | None:
        """Return topic and payload of an event, JSON as bytes; None for an event without a message."""
        kind, topic = self._target.kind, self._target.topic
        if kind is Kind.LOCAL:  # subscriptions have no wildcards
            if event.binary_message is not None:
                return topic, bytes(event.binary_message.message or b"")
            return None if event.json_message is None else (topic, json.dumps(event.json_message.message).encode())
        if kind is Kind.IOT_CORE:
            message = event.message
            return None if message is None else (message.topic_name or topic, message.payload or b"")
        if kind is Kind.CONFIGURATION:
            return "", b""
        asked = event.validate_configuration_update_event
        return None if asked is None else (asked.deployment_id or "", json.dumps(asked.configuration or {}).encode())
