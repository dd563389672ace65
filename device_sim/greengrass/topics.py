"""MQTT topics and filters, and their limits in AWS IoT Core; pure."""

from __future__ import annotations

from collections.abc import Sequence

MAX_TOPIC_BYTES = 256
MAX_SLASHES = 7
MAX_CORE_PAYLOAD = 128 * 1024


def matches(pattern: str, topic: str) -> bool:
    """Return whether a topic matches a filter with the wildcards ``+`` (one level) and ``#`` (the rest).

    A filter that begins with a wildcard does not match topics that begin with ``$`` (MQTT 3.1.1, 4.7.2).
    """
    if topic.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    return _match(pattern.split("/"), topic.split("/"))


def _match(pattern: Sequence[str], levels: Sequence[str]) -> bool:
    for at, wanted in enumerate(pattern):
        if wanted == "#":
            return True
        if at >= len(levels) or wanted not in ("+", levels[at]):
            return False
    return len(pattern) == len(levels)


def topic_error(topic: str) -> str | None:
    """Return the reason why ``topic`` is invalid for a publish, or None."""
    if not topic:
        return "an empty topic"
    if "\0" in topic:
        return f"topic {topic!r} has a NUL"
    if "+" in topic or "#" in topic:
        return f"topic {topic!r}: + and # are for subscriptions only"
    return None


def filter_error(pattern: str) -> str | None:
    """Return the reason why ``pattern`` is invalid for a subscription, or None."""
    if not pattern:
        return "an empty topic filter"
    if "\0" in pattern:
        return f"topic filter {pattern!r} has a NUL"
    levels = pattern.split("/")
    if any(("#" in level or "+" in level) and len(level) > 1 for level in levels):
        return f"topic filter {pattern!r}: + and # must stand alone in their level"
    if "#" in levels[:-1]:
        return f"topic filter {pattern!r}: # must be the last level"
    return None


def iot_core_topic_error(topic: str) -> str | None:
    """Return the limit of IoT Core that ``topic`` exceeds, or None; a Basic Ingest prefix is not counted."""
    counted = topic
    if topic.startswith("$aws/rules/"):
        counted = topic.split("/", 3)[3] if topic.count("/") > 2 else ""
    if (size := len(counted.encode(errors="surrogatepass"))) > MAX_TOPIC_BYTES:
        return f"topic of {size} bytes, IoT Core takes at most {MAX_TOPIC_BYTES}"
    if (slashes := counted.count("/")) > MAX_SLASHES:
        return f"topic {topic!r} has {slashes} slashes, IoT Core takes at most {MAX_SLASHES}"
    return None
