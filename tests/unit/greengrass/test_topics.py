"""Tests of topics and topic filters."""

from __future__ import annotations

import pytest

from device_sim.greengrass.topics import filter_error, iot_core_topic_error, matches, topic_error


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/+", "a", False),
        ("+/+", "/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$aws/x", False),
        ("+/x", "$aws/x", False),
        ("$aws/#", "$aws/x", True),
        ("a/+/c", "a/b/c", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
    ],
)
def test_filters_match_as_specified_by_mqtt(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


def test_wildcards_are_for_filters_and_only_in_their_place() -> None:
    assert topic_error("a/b") is None
    assert filter_error("a/+/#") is None
    for topic in ("", "a/+", "#", "a\0"):
        assert topic_error(topic)
    for pattern in ("", "a/#/b", "a#", "a/b+", "\0"):
        assert filter_error(pattern)


def test_iot_cores_limits_do_not_count_the_prefix_of_basic_ingest() -> None:
    assert iot_core_topic_error("a/b/c/d/e/f/g/h") is None
    assert "8 slashes" in str(iot_core_topic_error("a/b/c/d/e/f/g/h/i"))
    assert iot_core_topic_error("$aws/rules/strandline_bulk/a/b/c/d/e/f/g/h") is None
    assert "9 slashes" in str(iot_core_topic_error("$aws/rules/x/a/b/c/d/e/f/g/h/i/j"))
    assert iot_core_topic_error("x" * 256) is None
    assert "258 bytes" in str(iot_core_topic_error("é" * 129))
