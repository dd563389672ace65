"""Tests of authorization by accessControl."""

from __future__ import annotations

import time
from typing import Any

import pytest

from device_sim.greengrass.access_control import MQTT_PROXY, PUBSUB, allows, policies, resource_matches


@pytest.mark.parametrize(
    ("pattern", "resource", "pubsub", "mqtt"),
    [
        ("a/b", "a/b", True, True),
        ("a/b", "a/b/c", False, False),
        ("a/b", "A/b", False, False),
        ("*", "any/thing", True, True),
        ("a/*/c", "a/b/x/c", True, True),
        ("a/*", "a/", True, True),
        ("a*c", "abc", True, True),
        ("a*c", "abd", False, False),
        ("a/+/c", "a/b/c", False, True),
        ("a/+/c", "a/+/c", True, True),
        ("a/+/c", "a/b/x/c", False, False),
        ("a/+", "a/#", False, False),
        ("a/#", "a/b/c", False, True),
        ("a/#", "a", False, True),
        ("a/#", "ab", False, False),
        ("a/#", "a/#", True, True),
        ("a/#", "a/+/b", False, True),
        ("a/b", "a/+", False, False),
        ("#", "a/b", False, True),
        ("a/b#", "a/bc", False, False),
        ("a+/b", "ab/b", False, False),
        ("a/${*}", "a/*", True, True),
        ("a/${*}", "a/b", False, False),
        ("a/${$}", "a/$", True, True),
        ("", "", True, True),
        ("", "a", False, False),
    ],
)
def test_resources_match_as_documented(pattern: str, resource: str, pubsub: bool, mqtt: bool) -> None:
    assert resource_matches(pattern, resource, mqtt=False) is pubsub
    assert resource_matches(pattern, resource, mqtt=True) is mqtt


def test_matching_time_is_linear_in_the_length_of_a_pattern() -> None:
    started = time.monotonic()
    assert not resource_matches("*a" * 60 + "b", "a" * 250, mqtt=False)
    assert time.monotonic() - started < 1


def test_service_operation_and_resource_must_match() -> None:
    given = {
        MQTT_PROXY: {"p": {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["gw-1/up"]}},
        PUBSUB: {"p": {"operations": ["*"], "resources": ["local"]}},
    }
    granted, bad = policies(given)
    assert bad == ()
    assert allows(granted, MQTT_PROXY, "aws.greengrass#PublishToIoTCore", "gw-1/up")
    assert not allows(granted, MQTT_PROXY, "aws.greengrass#PublishToIoTCore", "gw-2/up")
    assert not allows(granted, MQTT_PROXY, "aws.greengrass#SubscribeToIoTCore", "gw-1/up")
    assert not allows(granted, PUBSUB, "aws.greengrass#PublishToTopic", "gw-1/up")
    assert allows(granted, PUBSUB, "aws.greengrass#PublishToTopic", "local")


def test_a_recipe_variable_is_not_replaced_and_a_plus_stands_for_the_level() -> None:
    resources = ["strandline/v1/{iot:thingName}/ack"]
    granted, _ = policies({MQTT_PROXY: {"p": {"operations": ["*"], "resources": resources}}})
    assert not allows(granted, MQTT_PROXY, "aws.greengrass#SubscribeToIoTCore", "strandline/v1/gw-1/ack")
    granted, _ = policies({MQTT_PROXY: {"p": {"operations": ["*"], "resources": ["strandline/v1/+/ack"]}}})
    assert allows(granted, MQTT_PROXY, "aws.greengrass#SubscribeToIoTCore", "strandline/v1/gw-1/ack")
    assert not allows(granted, MQTT_PROXY, "aws.greengrass#SubscribeToIoTCore", "strandline/v1/gw-1/x/ack")


@pytest.mark.parametrize(
    "raw",
    [
        "everything",
        {"service": ["p"]},
        {"service": {"p": "all"}},
        {"service": {"p": {"operations": ["*"]}}},
        {"service": {"p": {"operations": "*", "resources": ["*"]}}},
        {"service": {"p": {"operations": ["*"], "resources": []}}},
        {"service": {"p": {"operations": [1], "resources": ["*"]}}},
    ],
)
def test_a_malformed_policy_allows_nothing_and_is_named(raw: Any) -> None:
    good = {PUBSUB: {"good": {"operations": ["*"], "resources": ["x"]}}}
    granted, bad = policies({**raw, **good} if isinstance(raw, dict) else raw)
    assert len(bad) == 1
    assert bad[0].startswith("accessControl")
    assert allows(granted, PUBSUB, "op", "x") is isinstance(raw, dict)
    assert not allows(granted, "service", "op", "x")


def test_no_access_control_allows_nothing() -> None:
    assert policies(None) == ((), ())
