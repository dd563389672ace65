"""Operations of Greengrass IPC by area, and the table of handlers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from device_sim.greengrass.connection import Answer, Dispatch, Stream
from device_sim.greengrass.errors import OperationError
from device_sim.greengrass.identities import Identity
from device_sim.greengrass.messages import UNSUPPORTED
from device_sim.greengrass.operations import configuration, iot_core, lifecycle, local, pubsub
from device_sim.greengrass.operations.base import MODEL, Call, Operation, Services
from device_sim.greengrass.operations.terse import terse

TABLE: Mapping[str, Operation] = {
    **pubsub.OPERATIONS,
    **iot_core.OPERATIONS,
    **configuration.OPERATIONS,
    **lifecycle.OPERATIONS,
    **local.OPERATIONS,
}
ABSENT = frozenset(
    {
        "AuthorizeClientDeviceAction",
        "CancelLocalDeployment",
        "CreateDebugPassword",
        "DeferComponentUpdate",
        "DeleteThingShadow",
        "GetClientDeviceAuthToken",
        "GetSecretValue",
        "GetThingShadow",
        "ListNamedShadowsForThing",
        "PauseComponent",
        "PutComponentMetric",
        "ResumeComponent",
        "SubscribeToCertificateUpdates",
        "SubscribeToComponentUpdates",
        "SubscribeToIoTCoreConnectionStatus",
        "UpdateThingShadow",
        "ValidateAuthorizationToken",
        "VerifyClientDeviceIdentity",
    }
)
"""Operations of the model that are not implemented: answered with ServiceError, as on nucleus lite."""

CLASSIC_ONLY = frozenset(local.OPERATIONS) - {"CreateLocalDeployment", "RestartComponent"}
"""Operations of greengrass-cli that nucleus lite does not have."""


async def _answer(call: Call) -> Answer:
    name, profile = call.operation, call.services.profile
    short = name.removeprefix(MODEL)
    operation = TABLE.get(short) if name.startswith(MODEL) else None
    # Tests and demos use these as greengrass-cli under both profiles; components on lite cannot.
    if operation is None or (profile.terse_errors and short in CLASSIC_ONLY and not call.identity.is_cli):
        known = profile.terse_errors or (name.startswith(MODEL) and short in ABSENT)
        raise OperationError("ServiceError" if known else UNSUPPORTED, f"{name} is an unsupported operation.")
    response = await operation.handler(call)
    return f"{name}Response", response, operation.stays


def dispatcher(services: Services, log: logging.Logger) -> Dispatch:
    """Return the function that answers requests."""

    async def dispatch(identity: Identity, name: str, request: Mapping[str, Any], stream: Stream) -> Answer:
        try:
            return await _answer(Call(identity, name, request, stream, services))
        except OperationError as error:
            if not services.profile.terse_errors:
                raise
            log.warning("%s: %s: %s: %s", identity.name, name, error.kind, error)
            raise terse(name.removeprefix(MODEL), error) from error

    return dispatch
