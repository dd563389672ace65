"""Operations PublishToIoTCore and SubscribeToIoTCore."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from device_sim.greengrass.access_control import MQTT_PROXY
from device_sim.greengrass.errors import BridgeError, OperationError
from device_sim.greengrass.operations.base import MODEL, Call, Operation, blob, invalid
from device_sim.greengrass.topics import MAX_CORE_PAYLOAD, filter_error, iot_core_topic_error, topic_error

DAEMON = "iotcored"


async def publish(call: Call) -> Mapping[str, Any]:
    """Publish to IoT Core; the answer confirms receipt by the nucleus, not by IoT Core."""
    topic = call.text("topicName")
    if (wrong := topic_error(topic) or iot_core_topic_error(topic)) is not None:
        raise invalid(wrong)
    qos = _qos(call)
    call.authorize(MQTT_PROXY, topic)
    await call.services.daemons.answering(DAEMON)
    payload = blob(call.request.get("payload"), "payload")
    if len(payload) > MAX_CORE_PAYLOAD:
        raise invalid(f"payload of {len(payload)} bytes, IoT Core takes at most {MAX_CORE_PAYLOAD}")
    try:
        call.services.bridge.publish(topic, payload, qos, call.request.get("retain") is True)
    except BridgeError as error:
        raise OperationError("ServiceError", str(error)) from error
    return {}


async def subscribe(call: Call) -> Mapping[str, Any]:
    """Send events for messages from IoT Core; messages before the answer are dropped."""
    pattern = call.text("topicName")
    if (wrong := filter_error(pattern) or iot_core_topic_error(pattern)) is not None:
        raise invalid(wrong)
    qos = _qos(call)
    call.authorize(MQTT_PROXY, pattern)
    await call.services.daemons.answering(DAEMON)

    def deliver(topic: str, payload: bytes) -> None:
        if not call.stream.answered:
            return
        message = {"topicName": topic, "payload": base64.b64encode(payload).decode()}
        call.stream.event(f"{MODEL}IoTCoreMessage", {"message": message})

    try:
        call.stream.on_close(await call.services.bridge.subscribe(pattern, qos, deliver))
    except BridgeError as error:
        raise OperationError("ServiceError", str(error)) from error
    return {}


def _qos(call: Call) -> int:
    if call.request.get("qos") is None and not call.services.profile.terse_errors:
        raise invalid("qos: is missing, allowed are 0, 1")
    return int(call.choice("qos", ("0", "1"), "0"))


OPERATIONS = {
    "PublishToIoTCore": Operation(publish),
    "SubscribeToIoTCore": Operation(subscribe, stays=True),
}
