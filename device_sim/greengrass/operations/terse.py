"""Error answers of nucleus lite (2.6.0): an error type and one fixed text per operation; pure."""

from __future__ import annotations

from collections.abc import Mapping

from device_sim.greengrass.errors import OperationError

SERVICE, UNAUTHORIZED, NOT_FOUND = "ServiceError", "UnauthorizedError", "ResourceNotFoundError"
INVALID = "InvalidArgumentsError"
INVALID_TEXT = "Received invalid parameters."
FAILURES: Mapping[str, str] = {
    "PublishToTopic": "Failed to publish the message.",
    "SubscribeToTopic": "Failed to bind subscription.",
    "PublishToIoTCore": "Failed to publish the message.",
    "SubscribeToIoTCore": "Failed to bind the subscription.",
    "UpdateConfiguration": "Failed to update the configuration.",
    "SubscribeToConfigurationUpdate": "Failed to subscribe to configuration update.",
    "UpdateState": "Failed to update the lifecycle state.",
    "CreateLocalDeployment": "Failed to create local deployment.",
}
"""Text of a ServiceError by operation; other operations answer with an empty text."""
KEEPS_INVALID = frozenset({"UpdateConfiguration", "RestartComponent"})
"""Operations that answer InvalidArgumentsError; the others answer ServiceError for invalid arguments too."""
NOT_FOUND_TEXTS = {
    "GetConfiguration": "Key not found.",
    "SubscribeToConfigurationUpdate": "Key not found",
    "RestartComponent": "Component not found.",
}


def terse(operation: str, error: OperationError) -> OperationError:
    """Return the error that nucleus lite sends in place of ``error``; ``operation`` is the name without namespace."""
    if error.kind == UNAUTHORIZED:
        return OperationError(UNAUTHORIZED, "IPC Operation not authorized.")
    if error.kind == INVALID:
        return OperationError(INVALID if operation in KEEPS_INVALID else SERVICE, INVALID_TEXT)
    if error.kind == NOT_FOUND and operation in NOT_FOUND_TEXTS:
        return OperationError(NOT_FOUND, NOT_FOUND_TEXTS[operation])
    return OperationError(SERVICE, FAILURES.get(operation, ""))
