"""Tests of the error answers of nucleus lite."""

from __future__ import annotations

import pytest

from device_sim.greengrass.errors import OperationError
from device_sim.greengrass.operations import CLASSIC_ONLY
from device_sim.greengrass.operations.terse import terse


@pytest.mark.parametrize(
    ("operation", "kind", "sent", "text"),
    [
        ("SubscribeToIoTCore", "ServiceError", "ServiceError", "Failed to bind the subscription."),
        ("SubscribeToIoTCore", "UnauthorizedError", "UnauthorizedError", "IPC Operation not authorized."),
        ("PublishToIoTCore", "ServiceError", "ServiceError", "Failed to publish the message."),
        ("PublishToTopic", "InvalidArgumentsError", "ServiceError", "Received invalid parameters."),
        ("UpdateConfiguration", "InvalidArgumentsError", "InvalidArgumentsError", "Received invalid parameters."),
        (
            "UpdateConfiguration",
            "FailedUpdateConditionCheckError",
            "ServiceError",
            "Failed to update the configuration.",
        ),
        ("GetConfiguration", "ResourceNotFoundError", "ResourceNotFoundError", "Key not found."),
        ("SubscribeToValidateConfigurationUpdates", "ServiceError", "ServiceError", ""),
        ("NoSuchOperation", "aws#UnsupportedOperation", "ServiceError", ""),
    ],
)
def test_lite_sends_a_type_and_a_fixed_text(operation: str, kind: str, sent: str, text: str) -> None:
    answer = terse(operation, OperationError(kind, "a long explanation", resourceName="x"))
    assert (answer.kind, answer.text, answer.fields) == (sent, text, {})


def test_lite_has_two_operations_of_the_command_line() -> None:
    assert "StopComponent" in CLASSIC_ONLY
    assert CLASSIC_ONLY.isdisjoint({"CreateLocalDeployment", "RestartComponent"})
