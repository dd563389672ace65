"""The operations of Greengrass IPC, one file an area, and the table that finds a request's handler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_sim.nucleus.connection import Answer, Dispatch, Stream
from device_sim.nucleus.errors import OperationError
from device_sim.nucleus.identities import Identity
from device_sim.nucleus.operations import configuration, iot_core, lifecycle, local, pubsub
from device_sim.nucleus.operations.base import MODEL, Call, Operation, Services

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
"""Operations of the model that this nucleus does not have: ServiceError, as nucleus lite answers for those it lacks."""


def dispatcher(services: Services) -> Dispatch:
    """Return what answers a request."""

    async def dispatch(identity: Identity, name: str, request: Mapping[str, Any], stream: Stream) -> Answer:
        short = name.removeprefix(MODEL)
        operation = TABLE.get(short) if name.startswith(MODEL) else None
        if operation is None:
            known = name.startswith(MODEL) and short in ABSENT
            raise OperationError("ServiceError" if known else "aws#UnsupportedOperation", f"{name} is not supported")
        response = await operation.handler(Call(identity, name, request, stream, services))
        return f"{name}Response", response, operation.stays

    return dispatch
