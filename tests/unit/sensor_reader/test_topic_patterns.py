"""Topic patterns give the filters to subscribe to and the series that a topic names."""

from __future__ import annotations

import re

import pytest

from edge_components.sensor_reader.topic_patterns import PATTERN, TopicPattern


@pytest.mark.parametrize(
    ("pattern", "subscription", "named", "unknown"),
    [
        (
            "sensors/{device}/{channel}",
            "sensors/+/+",
            {"sensors/pump-1/temperature": "pump-1.temperature", "sensors/a.b/c": "a.b.c"},
            ["sensors/a", "sensors/a/b/c", "other/a/b", "sensors", "", "/sensors/a/b"],
        ),
        ("{line}/+/state/{channel}", "+/+/state/+", {"l1/x/state/t": "l1.t"}, ["l1/x/stat/t", "l1/x/state"]),
        ("plant/{id}/#", "plant/+/#", {"plant/a": "a", "plant/a/b/c": "a"}, ["plant", "plants/a"]),
        ("/{id}", "/+", {"/a": "a"}, ["a"]),
    ],
)
def test_a_pattern_names_the_series_of_its_topics_and_of_no_others(
    pattern: str, subscription: str, named: dict[str, str], unknown: list[str]
) -> None:
    assert re.fullmatch(PATTERN, pattern)
    topic_pattern = TopicPattern(pattern)
    assert topic_pattern.subscription == subscription
    assert {topic: topic_pattern.series(topic) for topic in named} == named
    assert [topic_pattern.series(topic) for topic in unknown] == [None] * len(unknown)


@pytest.mark.parametrize("pattern", ["sensors/#", "sensors/+/x", "sensors"])
def test_a_pattern_without_a_placeholder_names_no_series(pattern: str) -> None:
    with pytest.raises(ValueError, match="it would name no series"):
        TopicPattern(pattern)


@pytest.mark.parametrize("pattern", ["#/{a}", "{a}/x#", "{a}b/c", "{a}/{", "{1}/x", "$SYS/{a}", "a+/{b}", "{a}/\x00"])
def test_invalid_mqtt_topics_are_rejected_as_patterns(pattern: str) -> None:
    assert not re.fullmatch(PATTERN, pattern)
