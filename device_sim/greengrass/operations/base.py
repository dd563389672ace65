"""Call and services that an operation handler receives, and parsers of its request.

A handler raises OperationError with the name of an error shape of the IPC model: InvalidArgumentsError,
UnauthorizedError, ResourceNotFoundError, ServiceError and so on.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from device_sim.greengrass import access_control
from device_sim.greengrass.bridge import Bridge
from device_sim.greengrass.components import Components
from device_sim.greengrass.configuration import Path
from device_sim.greengrass.connection import Stream
from device_sim.greengrass.daemons import Daemons
from device_sim.greengrass.deployments import Deployments
from device_sim.greengrass.errors import OperationError
from device_sim.greengrass.identities import Identity
from device_sim.greengrass.profile import Profile
from device_sim.greengrass.pubsub import LocalBus
from device_sim.greengrass.store import ConfigurationStore
from device_sim.greengrass.validation import Validators

MODEL = "aws.greengrass#"


@dataclass(frozen=True, slots=True)
class Services:
    """Parts of the nucleus that operations use."""

    profile: Profile
    bus: LocalBus
    bridge: Bridge
    store: ConfigurationStore
    components: Components
    deployments: Deployments
    validators: Validators
    daemons: Daemons


@dataclass(frozen=True, slots=True)
class Call:
    """Request with its caller, operation, payload and stream."""

    identity: Identity
    operation: str
    request: Mapping[str, Any]
    stream: Stream
    services: Services

    def authorize(self, service: str, resource: str) -> None:
        """Raise UnauthorizedError unless the caller's accessControl allows the operation on ``resource``.

        greengrass-cli is allowed everything except the use of IoT Core under the gateway's name.
        """
        if self.identity.is_cli and service != access_control.MQTT_PROXY:
            return
        granted = () if self.identity.is_cli else self.services.store.policies(self.identity.name)
        if not access_control.allows(granted, service, self.operation, resource):
            raise OperationError(
                "UnauthorizedError",
                f"Principal {self.identity.name} is not authorized to perform {service}:{self.operation} "
                f"on resource {resource}",
            )

    def text(self, key: str) -> str:
        """Return a required text of the request."""
        value = self.request.get(key)
        if not isinstance(value, str) or not value:
            raise invalid(f"{key}: {_shown(value)}, a text is required")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a text of the request, or None when it is absent or empty."""
        return self.text(key) if self.request.get(key) not in (None, "") else None

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        """Return one of the allowed texts."""
        value = self.request.get(key)
        if value is None:
            return default
        if value not in allowed:
            raise invalid(f"{key}: {_shown(value)}, allowed are {', '.join(allowed)}")
        return str(value)

    def key_path(self) -> Path:
        """Return ``keyPath``, or an empty path when it is absent."""
        value = self.request.get("keyPath") or []
        if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
            raise invalid(f"keyPath: {_shown(value)}, a list of texts is required")
        return tuple(value)


Handler = Callable[[Call], Awaitable[Mapping[str, Any]]]
"""Returns the response's payload."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Handler of an operation; ``stays`` keeps the stream open for events."""

    handler: Handler
    stays: bool = False


def invalid(why: str) -> OperationError:
    """Return an InvalidArgumentsError."""
    return OperationError("InvalidArgumentsError", why)


def blob(value: object, key: str) -> bytes:
    """Return the bytes of a base64 text, or empty bytes when it is missing."""
    if value is None:
        return b""
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise invalid(f"{key}: {_shown(value)}, base64 is required")


def _shown(value: object) -> str:
    return "is missing" if value is None else json.dumps(value, default=str)[:200]
