"""The bus of :mod:`edge_components.common.ports` over Greengrass IPC; the only module that knows ``awsiot``.

Three measured facts shape it. A unary operation must be closed after its result, or nucleus lite leaks its stream.
Stream events arrive on the SDK's one network thread, so they are only posted to the loop, which keeps their order.
A message above nucleus lite's packet limit closes the whole connection without an error, so sizes are checked here.
"""

from __future__ import annotations

import concurrent.futures
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import awsiot.greengrasscoreipc
from awsiot.eventstreamrpc import ConnectionClosedError, EventStreamError, LifecycleHandler, StreamClosedError
from awsiot.greengrasscoreipc import client as gg
from awsiot.greengrasscoreipc import model

from edge_components.common.errors import BusError, ConnectionLostError, UnauthorizedError, UnsupportedError
from edge_components.common.ports import Handler
from wire.limits import MAX_LOCAL_BYTES

TIMEOUT_SECONDS = 10.0
Post = Callable[[Callable[[], None]], None]
R = TypeVar("R")


class _Lifecycle(LifecycleHandler):  # type: ignore[misc]  # awsiot ships no type information
    """Tells once that the connection is lost, unless we closed it."""

    def __init__(self, lost: Callable[[], None], log: logging.Logger) -> None:
        self._lost, self._log = lost, log
        self.closing = False

    def on_disconnect(self, reason: Exception | None) -> None:
        """Called by the SDK on its network thread."""
        if not self.closing:
            self._log.error("the nucleus closed the connection: %s", reason)
            self._lost()

    def on_error(self, error: Exception) -> bool:
        """Called by the SDK; True closes the connection."""
        self._log.error("event-stream error: %s", error)
        return True


def _payload(event: model.SubscriptionResponseMessage) -> bytes | None:
    """Return what was published, JSON as bytes too; None for an event that is neither."""
    if event.binary_message is not None:
        return bytes(event.binary_message.message or b"")
    if event.json_message is not None:
        return json.dumps(event.json_message.message).encode()
    return None


class GreengrassBus:
    """See :class:`edge_components.common.ports.Bus`."""

    def __init__(self, client: gg.GreengrassCoreIPCClient, lifecycle: _Lifecycle, post: Post, log: logging.Logger):
        self._client, self._lifecycle, self._post, self._log = client, lifecycle, post, log
        self._subscriptions: list[Any] = []

    @classmethod
    def connect(cls, post: Post, lost: Callable[[], None], log: logging.Logger) -> GreengrassBus:
        """Connect with the socket and token in the environment; raises BusError when there is no nucleus."""
        lifecycle = _Lifecycle(lost, log)
        try:
            client = awsiot.greengrasscoreipc.connect(lifecycle_handler=lifecycle, timeout=TIMEOUT_SECONDS)
        except KeyError as error:
            raise BusError(f"{error} is not set: components are started by the Greengrass nucleus") from error
        except Exception as error:  # awscrt raises many unrelated kinds here, all mean the same
            raise BusError(f"cannot connect: {type(error).__name__}: {error}") from error
        return cls(client, lifecycle, post, log)

    def close(self) -> None:
        """End all subscriptions and the connection."""
        self._lifecycle.closing = True
        self._client.close()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish on a local topic."""
        self._check_size(topic, payload)
        message = model.PublishMessage(binary_message=model.BinaryMessage(message=payload))
        request = model.PublishToTopicRequest(topic=topic, publish_message=message)
        self._call(self._client.new_publish_to_topic(), request, f"publish to {topic}")

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Subscribe to a local topic; JSON messages are handed on as bytes too."""
        bus = self

        class _Stream(gg.SubscribeToTopicStreamHandler):  # type: ignore[misc]
            def on_stream_event(self, event: model.SubscriptionResponseMessage) -> None:
                payload = _payload(event)
                if payload is not None:
                    bus._post(lambda: handler(topic, payload))  # exact topics only, so the one subscribed to is it

            def on_stream_error(self, error: Exception) -> bool:
                bus._log.error("subscription to %s: %s", topic, error)
                return False

        operation = self._client.new_subscribe_to_topic(_Stream())
        self._open(operation, model.SubscribeToTopicRequest(topic=topic), f"subscribe to {topic}")

    def publish_to_iot_core(self, topic: str, payload: bytes) -> None:
        """Publish to IoT Core with QoS 1."""
        self._check_size(topic, payload)
        request = model.PublishToIoTCoreRequest(topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload)
        self._call(self._client.new_publish_to_iot_core(), request, f"publish to IoT Core topic {topic}")

    def subscribe_to_iot_core(self, topic: str, handler: Handler) -> None:
        """Subscribe to an IoT Core topic with QoS 1."""
        bus = self

        class _Stream(gg.SubscribeToIoTCoreStreamHandler):  # type: ignore[misc]
            def on_stream_event(self, event: model.IoTCoreMessage) -> None:
                if event.message is not None:
                    where, payload = event.message.topic_name or topic, event.message.payload or b""
                    bus._post(lambda: handler(where, payload))

            def on_stream_error(self, error: Exception) -> bool:
                bus._log.error("subscription to IoT Core topic %s: %s", topic, error)
                return False

        request = model.SubscribeToIoTCoreRequest(topic_name=topic, qos=model.QOS.AT_LEAST_ONCE)
        self._open(self._client.new_subscribe_to_iot_core(_Stream()), request, f"subscribe to IoT Core topic {topic}")

    def configuration(self) -> Mapping[str, Any]:
        """Return the component's merged configuration."""
        request = model.GetConfigurationRequest(key_path=[])
        response = self._call(self._client.new_get_configuration(), request, "read the configuration")
        return dict(response.value or {})

    def on_configuration(self, validate: Callable[[Mapping[str, Any]], str | None], apply: Callable[[], None]) -> None:
        """Watch for updates; where the nucleus cannot ask first (lite), ``apply`` validates what has come."""
        self._watch_updates(apply)
        try:
            self._watch_validation(validate)
        except (UnsupportedError, UnauthorizedError) as error:
            self._log.info("configuration updates are checked after they come: %s", error)

    def _watch_updates(self, apply: Callable[[], None]) -> None:
        bus = self

        class _Stream(gg.SubscribeToConfigurationUpdateStreamHandler):  # type: ignore[misc]
            def on_stream_event(self, event: model.ConfigurationUpdateEvents) -> None:
                bus._post(apply)

            def on_stream_error(self, error: Exception) -> bool:
                bus._log.error("configuration updates: %s", error)
                return False

        request = model.SubscribeToConfigurationUpdateRequest(key_path=[])
        operation = self._client.new_subscribe_to_configuration_update(_Stream())
        self._open(operation, request, "watch the configuration")

    def _watch_validation(self, validate: Callable[[Mapping[str, Any]], str | None]) -> None:
        bus = self

        class _Stream(gg.SubscribeToValidateConfigurationUpdatesStreamHandler):  # type: ignore[misc]
            def on_stream_event(self, event: model.ValidateConfigurationUpdateEvents) -> None:
                asked = event.validate_configuration_update_event
                if asked is not None:
                    bus._post(lambda: bus._answer(asked, validate))

            def on_stream_error(self, error: Exception) -> bool:
                bus._log.error("configuration validation: %s", error)
                return False

        operation = self._client.new_subscribe_to_validate_configuration_updates(_Stream())
        self._open(operation, model.SubscribeToValidateConfigurationUpdatesRequest(), "validate configuration updates")

    def _answer(self, asked: Any, validate: Callable[[Mapping[str, Any]], str | None]) -> None:
        wrong = validate(asked.configuration or {})
        status = model.ConfigurationValidityStatus
        report = model.ConfigurationValidityReport(
            status=status.ACCEPTED if wrong is None else status.REJECTED,
            deployment_id=asked.deployment_id,
            message=wrong,
        )
        request = model.SendConfigurationValidityReportRequest(configuration_validity_report=report)
        self._call(self._client.new_send_configuration_validity_report(), request, "answer a configuration update")

    def _open(self, operation: Any, request: Any, what: str) -> None:
        """Activate a subscription and keep it open."""
        self._result(operation, request, what)
        self._subscriptions.append(operation)

    def _call(self, operation: Any, request: Any, what: str) -> Any:
        """Run a unary operation and close it, or nucleus lite keeps its stream for ever."""
        try:
            return self._result(operation, request, what)
        finally:
            operation.close()

    @staticmethod
    def _result(operation: Any, request: Any, what: str) -> Any:
        try:
            operation.activate(request)
            return operation.get_response().result(TIMEOUT_SECONDS)
        except model.UnauthorizedError as error:
            raise UnauthorizedError(f"{what}: {error.message}") from error
        except model.ServiceError as error:
            raise UnsupportedError(f"{what}: {error.message}") from error
        except (ConnectionClosedError, StreamClosedError, EventStreamError) as error:
            raise ConnectionLostError(f"{what}: {type(error).__name__}: {error}") from error
        except concurrent.futures.TimeoutError as error:
            raise BusError(f"{what}: no answer in {TIMEOUT_SECONDS:g} s") from error
        except RuntimeError as error:  # the SDK's remaining errors, modelled and not, all derive from it
            raise BusError(f"{what}: {type(error).__name__}: {error}") from error

    @staticmethod
    def _check_size(topic: str, payload: bytes) -> None:
        if len(payload) > MAX_LOCAL_BYTES:
            raise BusError(f"publish to {topic}: {len(payload)} bytes, at most {MAX_LOCAL_BYTES} pass every nucleus")
