"""Authorization by the ``accessControl`` of a component's configuration; pure.

The rules, as the Java nucleus applies them: ``*`` in a resource stands for any characters, slashes included, in every
service; in ``aws.greengrass.ipc.mqttproxy`` a level ``+`` and a last level ``#`` are MQTT wildcards too, elsewhere they
are literal. ``${*}``, ``${?}`` and ``${$}`` stand for the character within. Recipe variables are not replaced: no
released nucleus lite supports them here, and the Java nucleus only with ``interpolateComponentConfiguration``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from device_sim.greengrass.errors import ConfigurationError

PUBSUB = "aws.greengrass.ipc.pubsub"
MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
CLI = "aws.greengrass.Cli"
KEY = "accessControl"
_MQTT_STYLE = frozenset({MQTT_PROXY})
_ANY, _LEVEL, _REST = object(), object(), object()
_ESCAPES = ("${*}", "${?}", "${$}")


@dataclass(frozen=True, slots=True)
class Policy:
    """Operations allowed on resources of one service."""

    service: str
    operations: frozenset[str]
    resources: tuple[str, ...]


def policies(access_control: object) -> tuple[tuple[Policy, ...], tuple[str, ...]]:
    """Return the policies of an ``accessControl`` object, and an error text for each malformed policy.

    A malformed policy allows nothing; the other policies remain in effect.
    """
    good: list[Policy] = []
    bad: list[str] = []
    for service, name, raw in _walk(access_control, bad):
        try:
            good.append(_policy(service, name, raw))
        except ConfigurationError as error:
            bad.append(str(error))
    return tuple(good), tuple(bad)


def allows(granted: tuple[Policy, ...], service: str, operation: str, resource: str) -> bool:
    """Return whether a policy allows ``operation`` (such as ``aws.greengrass#PublishToTopic``) on ``resource``."""
    return any(
        policy.service == service
        and ("*" in policy.operations or operation in policy.operations)
        and any(resource_matches(pattern, resource, service in _MQTT_STYLE) for pattern in policy.resources)
        for policy in granted
    )


def _walk(access_control: object, bad: list[str]) -> Iterator[tuple[str, str, object]]:
    if access_control is None:
        return
    if not isinstance(access_control, Mapping):
        bad.append(f"{KEY}: {access_control!r} is not an object of services")
        return
    for service, named in access_control.items():
        if isinstance(named, Mapping):
            yield from ((str(service), str(name), raw) for name, raw in named.items())
        else:
            bad.append(f"{KEY}/{service}: {named!r} is not an object of policies")


def _policy(service: str, name: str, raw: object) -> Policy:
    where = f"{KEY}/{service}/{name}"
    if not isinstance(raw, Mapping):
        raise ConfigurationError(f"{where}: {raw!r} is not a policy with operations and resources")
    resources = _texts(raw, "resources", where)
    return Policy(service, frozenset(_texts(raw, "operations", where)), resources)


def _texts(raw: Mapping[Any, object], key: str, where: str) -> tuple[str, ...]:
    value = raw.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) and entry for entry in value):
        raise ConfigurationError(f"{where}/{key}: {value!r} is not a list of one or more texts")
    return tuple(value)


def resource_matches(pattern: str, resource: str, mqtt: bool) -> bool:
    """Return whether a policy's resource covers ``resource``, in time linear in both (states, no backtracking).

    With ``mqtt``, wildcards of a requested filter are covered only by wildcards at least as wide.
    """
    tokens = _tokens(pattern, mqtt)
    states = _closure(tokens, {0})
    for at, character in enumerate(resource):
        if not states:
            return False
        states = _closure(tokens, set(_step(tokens, states, character, resource, at)))
    return len(tokens) in states or _parent_of_rest(tokens, states)


def _tokens(pattern: str, mqtt: bool) -> list[object]:
    tokens: list[object] = []
    at = 0
    while at < len(pattern):
        escape = pattern[at : at + 4]
        character = pattern[at]
        starts_level = at == 0 or pattern[at - 1] == "/"
        if escape in _ESCAPES:
            tokens.append(escape[2])
            at += 4
            continue
        if character == "*":
            tokens.append(_ANY)
        elif mqtt and character == "+" and starts_level and pattern[at + 1 : at + 2] in ("", "/"):
            tokens.append(_LEVEL)
        elif mqtt and character == "#" and starts_level and at == len(pattern) - 1:
            tokens.append(_REST)
        else:
            tokens.append(character)
        at += 1
    return tokens


def _closure(tokens: list[object], states: set[int]) -> set[int]:
    """Add the states reached without reading a character: every wildcard may be empty."""
    for state in sorted(states):
        reached = state
        while reached < len(tokens) and not isinstance(tokens[reached], str):
            reached += 1
            states.add(reached)
    return states


def _step(tokens: list[object], states: set[int], character: str, resource: str, at: int) -> Iterator[int]:
    for state in states:
        if state == len(tokens):
            continue
        token = tokens[state]
        if token is _ANY or token is _REST:
            yield state
        elif token is _LEVEL:
            # '#' covers more levels than the one that '+' allows
            if character != "/" and not (character == "#" and at == len(resource) - 1):
                yield state
        elif token == character:
            yield state + 1


def _parent_of_rest(tokens: list[object], states: set[int]) -> bool:
    """Return whether the pattern is ``a/#`` and the resource ``a``, which it covers (MQTT 3.1.1, 4.7.1.2)."""
    return len(tokens) >= 2 and tokens[-1] is _REST and tokens[-2] == "/" and len(tokens) - 2 in states
