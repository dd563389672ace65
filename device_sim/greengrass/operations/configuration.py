"""Operations that read, change, watch and validate configurations."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from device_sim.greengrass.access_control import KEY
from device_sim.greengrass.configuration import Path, check_depth, find, pointer
from device_sim.greengrass.errors import ConfigurationError, OperationError, StaleUpdateError
from device_sim.greengrass.operations.base import MODEL, Call, Operation, invalid

DAEMON = "ggconfigd"


async def get(call: Call) -> Mapping[str, Any]:
    """Return an object of any component's configuration, or a leaf as ``{leaf: value}``."""
    name, path = call.optional_text("componentName") or call.identity.name, call.key_path()
    await call.services.daemons.answering(DAEMON)
    value = _found(call, name, path)
    return {"componentName": name, "value": value if isinstance(value, Mapping) else {path[-1]: value}}


def _found(call: Call, name: str, path: Path) -> Any:
    kept = call.services.store.get(name)
    if kept is None:
        raise OperationError(
            "ResourceNotFoundError",
            f"Key not found: {name} has no configuration",
            resourceType="component",
            resourceName=name,
        )
    try:
        return find(kept.values, path)
    except KeyError as error:
        where = pointer(path)
        raise OperationError(
            "ResourceNotFoundError", f"Key not found: {name} has no {where}", resourceType="key", resourceName=where
        ) from error


async def update(call: Call) -> Mapping[str, Any]:
    """Merge an object into the component's own configuration, unless its values are newer."""
    path, value = call.key_path(), call.request.get("valueToMerge")
    await call.services.daemons.answering(DAEMON)
    if not isinstance(value, Mapping):
        raise invalid("valueToMerge: an object is required")
    if path[:1] == (KEY,) or (not path and KEY in value):
        raise invalid(f"Config update is not allowed for following field [{KEY}]")
    if call.services.store.get(call.identity.name) is None:
        raise invalid(f"{call.identity.name} has no configuration")
    try:
        check_depth(value)
        call.services.store.update(call.identity.name, path, value, _timestamp_ms(call.request.get("timestamp")))
    except ConfigurationError as error:
        kind = "ServiceError" if call.services.profile.terse_errors else "InvalidArgumentsError"
        raise OperationError(kind, f"keyPath: {error}") from error
    except StaleUpdateError as error:
        if call.services.profile.terse_errors:
            return {}  # nucleus lite ignores an older value and reports success
        raise OperationError("FailedUpdateConditionCheckError", str(error)) from error
    return {}


def _timestamp_ms(raw: object) -> int:
    """Return milliseconds; the SDK sends seconds since the epoch, and a missing timestamp means now."""
    if raw is None:
        return time.time_ns() // 1_000_000
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw < 1e11:
        return round(raw * 1000)
    raise invalid(f"timestamp: {raw!r}, seconds since the epoch are required")


async def watch(call: Call) -> Mapping[str, Any]:
    """Send an event for each leaf that changes at or below a key of any component's configuration."""
    name, path = call.optional_text("componentName") or call.identity.name, call.key_path()
    await call.services.daemons.answering(DAEMON)
    _found(call, name, path)

    def changed(leaf: Path) -> None:
        event = {"componentName": name, "keyPath": list(leaf)}
        call.stream.event(f"{MODEL}ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

    call.stream.on_close(call.services.store.watch(name, path, changed))
    return {}


async def validate(call: Call) -> Mapping[str, Any]:
    """Register the component to validate its configuration before a deployment changes it."""
    _must_validate(call)

    def ask(event: Mapping[str, Any]) -> None:
        call.stream.event(f"{MODEL}ValidateConfigurationUpdateEvents", {"validateConfigurationUpdateEvent": event})

    call.stream.on_close(call.services.validators.subscribe(call.identity.name, ask))
    return {}


async def report(call: Call) -> Mapping[str, Any]:
    """Accept the component's report on a proposed configuration."""
    _must_validate(call)
    given = call.request.get("configurationValidityReport")
    if not isinstance(given, Mapping) or given.get("status") not in ("ACCEPTED", "REJECTED"):
        raise invalid("configurationValidityReport.status: ACCEPTED or REJECTED is required")
    refused = None if given["status"] == "ACCEPTED" else str(given.get("message") or "no reason given")
    if not call.services.validators.report(call.identity.name, str(given.get("deploymentId")), refused):
        raise invalid("Validation request either timed out or was never made")
    return {}


def _must_validate(call: Call) -> None:
    if not call.services.profile.validates:
        raise OperationError(
            "ServiceError", f"{call.operation} is not supported by nucleus {call.services.profile.name}"
        )


OPERATIONS = {
    "GetConfiguration": Operation(get),
    "UpdateConfiguration": Operation(update),
    "SubscribeToConfigurationUpdate": Operation(watch, stays=True),
    "SubscribeToValidateConfigurationUpdates": Operation(validate, stays=True),
    "SendConfigurationValidityReport": Operation(report),
}
