"""Operations of greengrass-cli: components and local deployments.

greengrass-cli is allowed all of them; a component needs a policy of the service ``aws.greengrass.Cli``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device_sim.greengrass.access_control import CLI
from device_sim.greengrass.component_state import Command
from device_sim.greengrass.configuration import ConfigurationUpdate, check_depth, parse_pointer
from device_sim.greengrass.deployments import Deployment, Order
from device_sim.greengrass.errors import ConfigurationError, OperationError
from device_sim.greengrass.operations.base import Call, Operation, invalid
from device_sim.greengrass.supervisor import Supervisor


async def create_deployment(call: Call) -> Mapping[str, Any]:
    """Queue a deployment and return its id; GetLocalDeploymentStatus returns its outcome."""
    call.authorize(CLI, "*")
    order = Order(
        add=_texts(call, "rootComponentVersionsToAdd"),
        remove=_names(call, "rootComponentsToRemove"),
        updates=_updates(call),
        recipes=_folder(call, "recipeDirectoryPath", "InvalidRecipeDirectoryPathError"),
        artifacts=_folder(call, "artifactsDirectoryPath", "InvalidArtifactsDirectoryPathError"),
        rollback=call.choice("failureHandlingPolicy", ("ROLLBACK", "DO_NOTHING"), "ROLLBACK") == "ROLLBACK",
    )
    return {"deploymentId": call.services.deployments.submit(order).id}


def _texts(call: Call, key: str) -> dict[str, str]:
    raw = call.request.get(key) or {}
    if not isinstance(raw, Mapping) or not all(isinstance(value, str) for value in raw.values()):
        raise invalid(f"{key}: an object of texts is required")
    return dict(raw)


def _names(call: Call, key: str) -> tuple[str, ...]:
    raw = call.request.get(key) or []
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise invalid(f"{key}: a list of texts is required")
    return tuple(raw)


def _updates(call: Call) -> dict[str, ConfigurationUpdate]:
    raw = call.request.get("componentToConfiguration") or {}
    if not isinstance(raw, Mapping):
        raise invalid("componentToConfiguration: an object is required")
    return {name: _update(f"componentToConfiguration.{name}", given) for name, given in raw.items()}


def _update(where: str, given: object) -> ConfigurationUpdate:
    if not isinstance(given, Mapping) or not given.keys() <= {"MERGE", "RESET"}:
        raise invalid(f"{where}: an object with MERGE and RESET is required")
    merge, reset = given.get("MERGE") or {}, given.get("RESET") or []
    if not isinstance(merge, Mapping) or not isinstance(reset, list):
        raise invalid(f"{where}: MERGE is an object, RESET a list of JSON pointers")
    try:
        check_depth(merge)
        for entry in reset:
            parse_pointer(entry)
    except ConfigurationError as error:
        raise invalid(f"{where}: {error}") from error
    return ConfigurationUpdate(merge, tuple(reset))


def _folder(call: Call, key: str, kind: str) -> Path | None:
    raw = call.optional_text(key)
    if raw is None:
        return None
    folder = Path(raw)
    if not folder.is_absolute() or not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        raise OperationError(kind, f"{key}: {raw!r} is not a readable folder, an absolute path is required")
    return folder


async def deployment_status(call: Call) -> Mapping[str, Any]:
    """Return one deployment."""
    call.authorize(CLI, "*")
    identifier = call.text("deploymentId")
    deployment = call.services.deployments.get(identifier)
    if deployment is None:
        raise OperationError(
            "ResourceNotFoundError",
            f"no deployment {identifier}",
            resourceType="deployment",
            resourceName=identifier,
        )
    return {"deployment": _deployment(deployment)}


async def deployments(call: Call) -> Mapping[str, Any]:
    """Return the kept deployments."""
    call.authorize(CLI, "*")
    return {"localDeployments": [_deployment(one) for one in call.services.deployments.all()]}


def _deployment(deployment: Deployment) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "deploymentId": deployment.id,
        "status": deployment.status.value,
        "createdOn": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(deployment.created_ms / 1000)),
    }
    if deployment.detail is not None:
        shown["deploymentStatusDetails"] = {
            "detailedDeploymentStatus": deployment.detail.value,
            "deploymentErrorStack": list(deployment.errors),
            "deploymentErrorTypes": [],
            "deploymentFailureCause": deployment.cause,
        }
    return shown


async def components(call: Call) -> Mapping[str, Any]:
    """Return every component with its state and configuration."""
    call.authorize(CLI, "*")
    return {"components": [_component(call, one) for one in call.services.components.all()]}


async def component(call: Call) -> Mapping[str, Any]:
    """Return one component."""
    return {"componentDetails": _component(call, _named(call))}


async def restart(call: Call) -> Mapping[str, Any]:
    """Restart a component; the answer confirms the command only."""
    supervisor = _named(call)
    call.services.components.restart(supervisor.plan.name, f"{call.identity.name} restarts it")
    return {"restartStatus": "SUCCEEDED"}


async def stop(call: Call) -> Mapping[str, Any]:
    """Stop a component; the answer confirms the command only."""
    _named(call).command(Command.STOP, f"{call.identity.name} stops it")
    return {"stopStatus": "SUCCEEDED"}


def _named(call: Call) -> Supervisor:
    name = call.text("componentName")
    call.authorize(CLI, name)
    supervisor = call.services.components.get(name)
    if supervisor is None:
        raise OperationError(
            "ResourceNotFoundError", f"{name} is not deployed", resourceType="component", resourceName=name
        )
    return supervisor


def _component(call: Call, supervisor: Supervisor) -> dict[str, Any]:
    kept = call.services.store.get(supervisor.plan.name)
    return {
        "componentName": supervisor.plan.name,
        "version": supervisor.plan.version,
        "state": supervisor.state.value,
        "configuration": kept.values if kept is not None else {},
    }


OPERATIONS = {
    "CreateLocalDeployment": Operation(create_deployment),
    "GetLocalDeploymentStatus": Operation(deployment_status),
    "ListLocalDeployments": Operation(deployments),
    "ListComponents": Operation(components),
    "GetComponentDetails": Operation(component),
    "RestartComponent": Operation(restart),
    "StopComponent": Operation(stop),
}
