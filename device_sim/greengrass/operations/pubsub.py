"""Operations PublishToTopic and SubscribeToTopic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_sim.greengrass.access_control import PUBSUB
from device_sim.greengrass.errors import OperationError
from device_sim.greengrass.operations.base import MODEL, Call, Operation, blob, invalid
from device_sim.greengrass.topics import filter_error, topic_error

DAEMON = "ggpubsubd"
_ALL, _OTHERS = "RECEIVE_ALL_MESSAGES", "RECEIVE_MESSAGES_FROM_OTHERS"


async def publish(call: Call) -> Mapping[str, Any]:
    """Deliver a message to every local subscriber."""
    topic = call.text("topic")
    if (wrong := topic_error(topic)) is not None:
        raise invalid(wrong)
    call.authorize(PUBSUB, topic)
    _check_length(call, topic)
    await call.services.daemons.answering(DAEMON)
    kind, message = _message(call.request.get("publishMessage"))
    event = {kind: {"message": message, "context": {"topic": topic}}}
    call.services.bus.publish(topic, event, call.identity.name)
    return {}


def _message(raw: object) -> tuple[str, Any]:
    given = raw if isinstance(raw, Mapping) else {}
    kinds = [kind for kind in ("jsonMessage", "binaryMessage") if given.get(kind) is not None]
    if len(kinds) != 1 or not isinstance(given[kinds[0]], Mapping):
        raise invalid("publishMessage: one of jsonMessage and binaryMessage is required")
    message = given[kinds[0]].get("message")
    if kinds[0] == "binaryMessage":
        blob(message, "publishMessage.binaryMessage.message")
        return kinds[0], message or ""
    if not isinstance(message, Mapping):
        raise invalid("publishMessage.jsonMessage.message: an object is required")
    return kinds[0], message


async def subscribe(call: Call) -> Mapping[str, Any]:
    """Send events for a topic or an MQTT topic filter."""
    pattern = call.text("topic")
    if (wrong := filter_error(pattern)) is not None:
        raise invalid(wrong)
    call.authorize(PUBSUB, pattern)
    _check_length(call, pattern)
    # Nucleus lite ignores the receive mode.
    from_others = (
        call.choice("receiveMode", (_ALL, _OTHERS), _ALL) == _OTHERS and not call.services.profile.terse_errors
    )
    await call.services.daemons.answering(DAEMON)

    def deliver(topic: str, message: Mapping[str, Any]) -> None:
        call.stream.event(f"{MODEL}SubscriptionResponseMessage", message)

    call.stream.on_close(call.services.bus.subscribe(pattern, call.identity.name, from_others, deliver))
    return {} if call.services.profile.terse_errors else {"topicName": pattern}


def _check_length(call: Call, topic: str) -> None:
    longest = call.services.profile.max_local_topic_bytes
    if longest is not None and (size := len(topic.encode(errors="surrogatepass"))) > longest:
        raise OperationError("ServiceError", f"topic of {size} bytes, nucleus lite takes at most {longest}")


OPERATIONS = {
    "PublishToTopic": Operation(publish),
    "SubscribeToTopic": Operation(subscribe, stays=True),
}
