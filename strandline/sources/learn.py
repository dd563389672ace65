"""Proposals of mappings for what a broker carries. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.mapping.bindings import Binding, preset_names, read_bindings
from edge_components.sensor_reader.mapping.decoder import Decoder
from edge_components.sensor_reader.timestamps import event_time_ms
from edge_components.sensor_reader.topic_patterns import PATTERN
from strandline.sources.topic_groups import MAX_ELEMENTS, UNNAMED, TopicGroup, pattern_of, separated

MAX_TOPICS = 5_000
_MAX_TOPIC, _MAX_FIELD = 1_024, 256
_ANY_TOPIC = [{"topic": "{topic}/#"}]
_TIMES = ("time", "timestamp", "ts", "datetime", "date_time", "epoch", "t", "time_ms", "timestamp_ms", "ts_ms", "date")
"""Names of keys that usually have the event time, in lower case, the most usual ones first."""
_LATEST_MS = 4_102_444_800_000
"""The year 2100: a larger number is a measurement."""
_FORMATS = ("sparkplug", "senml+json", "json", "influx", "plain")


Form = tuple[str, tuple[str, ...], str]
"""Format, fields and key of the time of a payload."""


def propose(payloads: Mapping[str, bytes]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return elements for ``topics`` of an MQTT entry that read the payloads, and the topics that none reads.

    ``payloads`` has one payload a topic. Topics of a device family get its preset; others are grouped by their number
    of levels, their format and their fields, and get a pattern with placeholders where their levels differ. Topics that
    such a pattern matches and that no format reads are skipped by elements before it. Where that gives more than
    MAX_ELEMENTS, topics with different fields share a pattern that reads all their numbers. The reader accepts all
    elements, and topics that are still not read are among those returned.
    """
    left = dict(payloads)
    proposals: list[dict[str, Any]] = []
    for preset in preset_names():
        taken: set[str] = set()
        skipped: dict[str, list[str]] = {}
        for binding in read_bindings({"preset": preset}, []):
            if binding.topic.startswith("{"):
                continue  # matches topics of anything
            matching = [topic for topic in left if topic not in taken and binding.pattern.match(topic) is not None]
            taken.update(matching)
            if binding.mapping.skip:
                skipped[binding.topic] = matching
            if any(_reads(binding, topic, left[topic]) for topic in matching):
                # The first pattern that matches a topic counts: topics that are not read come before.
                before = [one for one in skipped if one.count("/") == binding.topic.count("/")]
                proposals += ({"topic": topic, "preset": preset} for topic in (*before, binding.topic))
                for topic in (*matching, *(topic for one in before for topic in skipped.pop(one))):
                    del left[topic]
    forms = {topic: _form(topic, payload) for topic, payload in left.items() if _is_allowed(topic)}
    groups = _groups(forms, together=False)
    if len(proposals) + len(groups) > MAX_ELEMENTS:
        groups = _groups(forms, together=True)
    valid = [group for group in groups if _is_valid(group.element)]
    by_pattern = {element["topic"]: element for element in reversed(separated(valid))}
    proposals += [*reversed(by_pattern.values())][: max(0, MAX_ELEMENTS - len(proposals))]
    unread = _unread(proposals, left)
    return [*_skipped(unread, proposals, payloads.keys()), *proposals], unread


def _groups(forms: Mapping[str, Form | None], *, together: bool) -> list[TopicGroup]:
    """Return groups of the topics that a format reads; ``together``: topics with different fields share a group."""
    groups: dict[tuple[int, Form], list[str]] = {}
    for topic, found in forms.items():
        if found is None:
            continue
        form, fields, time = found
        unsafe = any(not one or len(one) > _MAX_FIELD or set(one) & set("*\\") for one in fields)
        if form == "json" and fields not in UNNAMED and (together or unsafe):
            fields = ("**",)
        groups.setdefault((topic.count("/"), (form, fields, time)), []).append(topic)
    return [TopicGroup(topics, form, fields, time) for (_levels, (form, fields, time)), topics in groups.items()]


def _is_allowed(topic: str) -> bool:
    """Return whether a topic can be a pattern of its own."""
    return len(topic) <= _MAX_TOPIC and not set(topic) & set("{}+#") and re.fullmatch(PATTERN, topic) is not None


def _is_valid(element: Mapping[str, Any]) -> bool:
    """Return whether the reader accepts an element."""
    try:
        read_bindings({"topics": [element]}, [])
    except ConfigError:
        return False
    return True


def _unread(proposals: Sequence[Mapping[str, Any]], payloads: Mapping[str, bytes]) -> list[str]:
    """Return the topics whose payload the first matching element does not read."""
    bindings = [binding for one in proposals for binding in read_bindings({"topics": [one]}, [])]
    patterns = [(binding, binding.pattern) for binding in bindings]
    found = []
    for topic, payload in payloads.items():
        first = next((one for one, pattern in patterns if pattern.match(topic) is not None), None)
        if first is None or not _reads(first, topic, payload):
            found.append(topic)
    return sorted(found)


def _skipped(
    unread: Sequence[str], proposals: Sequence[Mapping[str, Any]], topics: Collection[str]
) -> list[dict[str, Any]]:
    """Return elements that skip the unread topics which a proposed pattern matches.

    Without them, each payload of these topics would be counted as rejected. Topics of the same form get one pattern
    if it matches unread topics only.
    """
    patterns = [binding.pattern for one in proposals for binding in read_bindings({"topics": [one]}, [])]
    forms: dict[tuple[int, str], list[str]] = {}
    for topic in unread:
        if any(pattern.match(topic) is not None for pattern in patterns) and _is_allowed(topic):
            forms.setdefault((topic.count("/"), topic.rpartition("/")[2]), []).append(topic)
    found: list[dict[str, Any]] = []
    for matched in forms.values():
        general = {"topic": pattern_of(matched), "skip": True}
        (binding,) = read_bindings({"topics": [general]}, [])
        only_unread = all(topic in unread for topic in topics if binding.pattern.match(topic) is not None)
        found += [general] if only_unread else [{"topic": topic, "skip": True} for topic in matched]
    return found[: max(0, MAX_ELEMENTS - len(proposals))]


def _form(topic: str, payload: bytes) -> Form | None:
    """Return format, fields and key of the time of a payload, None where no format reads it."""
    for name in _FORMATS:
        time = _time_key(payload) if name == "json" else ""
        keys = {"topics": [{**_ANY_TOPIC[0], "format": name, "value": "**", **({"time": time} if time else {})}]}
        (binding,) = read_bindings(keys, [])
        fields = [field for field in _fields(binding, topic, payload) if not time or field != time]
        if fields:
            return name, tuple(sorted(set(fields))) if name == "json" else (), time
    return None


def _time_key(payload: bytes) -> str:
    """Return the path of the event time in a payload of JSON, empty for none and for the default one."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    found = {path: key for path, key, value in _leaves(document) if key in _TIMES and _is_time(value)}
    path = min(found, key=lambda path: (path.count("."), _TIMES.index(found[path])), default="")
    return "" if path == "time" else path


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield path, key in lower case, and value of what objects in objects have; keys with a dot are left out."""
    for key, one in value.items() if isinstance(value, dict) else ():
        if "." in key or "\\" in key or "*" in key:
            continue
        if isinstance(one, dict):
            yield from _leaves(one, f"{path}{key}.")
        else:
            yield f"{path}{key}", key.lower(), one


def _is_time(value: Any) -> bool:
    """Return whether a value is a time from 1973 to 2100, as text with an offset from UTC."""
    try:
        return value is not None and event_time_ms(value, 0, _LATEST_MS) < _LATEST_MS
    except RejectedError:
        return False


def _reads(binding: Binding, topic: str, payload: bytes) -> bool:
    return bool(_fields(binding, topic, payload))


def _fields(binding: Binding, topic: str, payload: bytes) -> list[str]:
    decoder = Decoder(binding)
    columns = decoder.decode([topic.encode()], [payload])
    found = []
    for field in columns.fields:
        try:
            decoder.name(topic, field)
        except RejectedError:
            continue
        found.append(field)
    return found


def configuration(connection: Mapping[str, Any], topics: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a configuration with the proposed topics; ``connection`` has the keys that reach the broker."""
    return {"sources": [{"name": "mqtt", "kind": "mqtt", **connection, "topics": list(topics)}]}
