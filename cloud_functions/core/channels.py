"""Channels: named destinations of alerts, each of a type with its own settings.

A machine channel receives each transition of an alert as a CloudEvent; a people's channel receives notifications,
each of which may group several alerts. Secrets are not part of a channel: it names where they are stored.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from cloud_functions.core.fields import Fields


class ChannelType(StrEnum):
    """Type of a channel, and the name of its queue."""

    SNS = "sns"
    EMAIL = "email"
    WEBHOOK = "webhook"
    EVENTBRIDGE = "eventbridge"
    MQTT = "mqtt"
    STEPFUNCTIONS = "stepfunctions"


class Preset(StrEnum):
    """Form of a webhook's body."""

    GENERIC = "generic"
    """The CloudEvent of the notification, as JSON."""
    SLACK = "slack"
    TEAMS = "teams"
    PAGERDUTY = "pagerduty"
    OPSGENIE = "opsgenie"


PEOPLE = frozenset({ChannelType.EMAIL, ChannelType.WEBHOOK})
"""Types whose channels receive grouped notifications."""
_INCIDENTS = frozenset({Preset.PAGERDUTY, Preset.OPSGENIE})
"""Presets of services that group alerts themselves and need each transition."""

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_ARN = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d{12}:[A-Za-z0-9_:/.+=@-]{1,256}")
_SECRET = re.compile(r"(secretsmanager|ssm):[A-Za-z0-9/_+=.@-]{1,256}")
_BUS = re.compile(r"[A-Za-z0-9/_.:-]{1,256}")


@dataclass(frozen=True, slots=True)
class Channel:
    """A named channel; ``settings`` are those of its type."""

    name: str
    type: ChannelType
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_grouped(self) -> bool:
        """True for a channel of people, which receives grouped notifications."""
        return self.type in PEOPLE and self.settings.get("preset") not in _INCIDENTS

    def to_dict(self) -> dict[str, Any]:
        """Return the channel as JSON values, as :func:`parse` reads them."""
        return {"name": self.name, "type": str(self.type), **self.settings}


def parse(body: Mapping[str, Any]) -> Channel:
    """Return the channel of a document; raises RequestError with one sentence a problem."""
    fields = Fields(body)
    name = fields.name()
    kind = ChannelType(fields.choice("type", list(ChannelType), None))
    settings = _SETTINGS[kind](fields)
    fields.finish()
    return Channel(name, kind, settings)


def check_url(text: str, *, loopback: bool = False) -> str:
    """Return why a webhook's URL is not allowed, empty if it is; ``loopback`` allows plain HTTP to loopback.

    A name is checked again when it is resolved: see the adapter of webhooks.
    """
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError as error:
        return f"{str(error)[:80]}"
    if not host or not text.isascii() or any(character.isspace() for character in text) or len(text) > 2_000:
        return "an absolute URL of ASCII characters"
    if url.username or url.password:
        return "credentials are not allowed in a URL: name a secret"
    if loopback and host in ("127.0.0.1", "localhost", "::1"):
        return "" if url.scheme in ("http", "https") else "http or https"
    if url.scheme != "https":
        return "https is required"
    if port not in (None, 443, 8443):
        return "the ports 443 and 8443 are allowed"
    internal = host == "localhost" or host.endswith((".localhost", ".internal", ".local"))
    local = internal or ("." not in host.strip(".") and ":" not in host)
    return "a public host is required" if local or not _is_public(host) else ""


def is_public_address(text: str) -> bool:
    """Return True for an IP address that is reachable from the internet."""
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    embedded = mapped is None or mapped.is_global
    return address.is_global and not address.is_multicast and embedded


def _is_public(host: str) -> bool:
    try:
        return is_public_address(host)
    except ValueError:
        # A name, unless it is an address in an unusual notation: those have a numeric last label.
        last = host.rstrip(".").rsplit(".", 1)[-1]
        return not re.fullmatch(r"\d+|0[xX][0-9a-fA-F]*", last)


def _sns(fields: Fields) -> dict[str, Any]:
    topic = _pattern(fields, "topic", _ARN, "the ARN of a topic", "")
    return {"topic": topic} if topic else {}


def _email(fields: Fields) -> dict[str, Any]:
    value = fields.raw("to")
    addresses = [value] if isinstance(value, str) else value
    valid = isinstance(addresses, list) and 1 <= len(addresses) <= 20
    if not valid or not all(isinstance(one, str) and _ADDRESS.fullmatch(one) for one in addresses):
        fields.problem("to", f"{value!r:.80}: a list of 1 to 20 e-mail addresses")
        return {}
    return {"to": addresses}


def _webhook(fields: Fields) -> dict[str, Any]:
    url = fields.text("url", None, 2_000)
    # Loopback passes here; the adapter refuses it except in the local cloud.
    if url and (problem := check_url(url, loopback=True)):
        fields.problem("url", f"{url!r:.80}: {problem}")
    preset = fields.choice("preset", list(Preset), Preset.GENERIC)
    secret = _pattern(fields, "secret", _SECRET, "secretsmanager:NAME or ssm:NAME", "")
    if preset in _INCIDENTS and not secret and "secret" not in fields:
        fields.problem("secret", f"the key of {preset} is needed, as secretsmanager:NAME or ssm:NAME")
    return {"url": url, "preset": str(preset)} | ({"secret": secret} if secret else {})


def _eventbridge(fields: Fields) -> dict[str, Any]:
    bus = _pattern(fields, "bus", _BUS, "the name or ARN of an event bus", "")
    return {"bus": bus} if bus else {}


def _mqtt(fields: Fields) -> dict[str, Any]:
    return {}


def _stepfunctions(fields: Fields) -> dict[str, Any]:
    return {"state_machine": _pattern(fields, "state_machine", _ARN, "the ARN of a state machine", None)}


def _pattern(fields: Fields, key: str, pattern: re.Pattern[str], wanted: str, default: str | None) -> str:
    value = fields.raw(key)
    if value is None and default is not None:
        return default
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    fields.problem(key, f"{value!r:.80}: {wanted}")
    return ""


_SETTINGS: dict[ChannelType, Callable[[Fields], dict[str, Any]]] = {
    ChannelType.SNS: _sns,
    ChannelType.EMAIL: _email,
    ChannelType.WEBHOOK: _webhook,
    ChannelType.EVENTBRIDGE: _eventbridge,
    ChannelType.MQTT: _mqtt,
    ChannelType.STEPFUNCTIONS: _stepfunctions,
}


def default_channels() -> dict[str, Channel]:
    """Return the channels that exist without any configuration: the stack's topic and bus, and the gateway's topic."""
    types = (ChannelType.SNS, ChannelType.EVENTBRIDGE, ChannelType.MQTT)
    return {f"default-{kind}": Channel(f"default-{kind}", kind) for kind in types}
