"""Operations of greengrass-cli on a running local nucleus, over its IPC socket."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_sim.greengrass.control import CLI_INFO
from device_sim.greengrass.errors import NucleusError

ANSWER_S = 10.0
POLL_S = 0.2


class LocalClientError(NucleusError):
    """No nucleus runs at a root, or it refuses an operation; names the root or the component, and what to do."""


@dataclass(frozen=True, slots=True)
class ComponentState:
    """A deployed component."""

    name: str
    version: str
    state: str
    configuration: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """A local deployment; ``cause`` is the reason of a failure."""

    id: str
    status: str
    cause: str


class LocalClient:
    """Client with the rights of greengrass-cli; a context manager that disconnects."""

    def __init__(self, root: Path) -> None:
        from awsiot.greengrasscoreipc import connect
        from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

        self._root = root
        try:
            info = json.loads((root / CLI_INFO).read_text())
            connection = connect(ipc_socket=info["socket"], authtoken=info["token"], timeout=ANSWER_S)
        except Exception as error:  # awscrt raises many unrelated kinds here, all mean the same
            raise LocalClientError(
                f"no local gateway runs at {root}: start one with `strandline up` or `strandline gateway run`, or name "
                "its folder with --root"
            ) from error
        self._client = GreengrassCoreIPCClientV2(client=connection)

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def components(self) -> list[ComponentState]:
        """Return all components, dependencies first."""
        found = self._call(self._client.list_components).components or []
        return [_component(one) for one in found]

    def component(self, name: str) -> ComponentState:
        """Return one component."""
        details = self._call(self._client.get_component_details, component_name=name).component_details
        return _component(details)

    def restart(self, name: str) -> None:
        """Restart a component."""
        self._call(self._client.restart_component, component_name=name)

    def stop(self, name: str) -> None:
        """Stop a component."""
        self._call(self._client.stop_component, component_name=name)

    def deploy(
        self,
        recipes: Path | None,
        artifacts: Path | None,
        add: Mapping[str, str],
        remove: Sequence[str],
        updates: Mapping[str, Mapping[str, Any]],
    ) -> str:
        """Queue a deployment, and return its id."""
        answer = self._call(
            self._client.create_local_deployment,
            root_component_versions_to_add=dict(add),
            root_components_to_remove=list(remove),
            component_to_configuration={name: dict(update) for name, update in updates.items()},
            recipe_directory_path=None if recipes is None else str(recipes.absolute()),
            artifacts_directory_path=None if artifacts is None else str(artifacts.absolute()),
        )
        return str(answer.deployment_id)

    def deployment(self, identifier: str) -> DeploymentState:
        """Return one deployment."""
        return _deployment(self._call(self._client.get_local_deployment_status, deployment_id=identifier).deployment)

    def deployments(self) -> list[DeploymentState]:
        """Return the kept deployments."""
        return [_deployment(one) for one in self._call(self._client.list_local_deployments).local_deployments or []]

    def wait(self, identifier: str, seconds: float) -> DeploymentState:
        """Return a deployment that has ended, or as it is after a number of seconds."""
        end = time.monotonic() + seconds
        while True:
            found = self.deployment(identifier)
            if found.status in ("SUCCEEDED", "FAILED", "CANCELED") or time.monotonic() > end:
                return found
            time.sleep(POLL_S)

    def _call(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return operation(**arguments)
        except Exception as error:  # the SDK's errors have no more specific base
            text = getattr(error, "message", None) or str(error) or type(error).__name__
            raise LocalClientError(f"{self._root}: {text}") from error


def _component(details: Any) -> ComponentState:
    configuration = details.configuration or {}
    return ComponentState(str(details.component_name), str(details.version), str(details.state), configuration)


def _deployment(one: Any) -> DeploymentState:
    details = getattr(one, "deployment_status_details", None)
    cause = getattr(details, "deployment_failure_cause", None) or ""
    return DeploymentState(str(one.deployment_id), str(one.status), str(cause))


def find_root(root: Path | None, candidates: Sequence[Path]) -> Path:
    """Return ``root``, or the first candidate at which a nucleus runs; raises LocalClientError."""
    if root is not None:
        return root
    for candidate in candidates:
        if (candidate / CLI_INFO).exists():
            return candidate
    raise LocalClientError(
        f"no local gateway runs at {', '.join(map(str, candidates))}: start one with `strandline up` or "
        "`strandline gateway run`, or name its folder with --root"
    )


def log_lines(path: Path, count: int, *, follow: bool) -> Iterator[str]:
    """Yield the last lines of a log, and with ``follow`` those that are added, also after a rotation.

    Raises LocalClientError for a log that does not exist.
    """
    try:
        file = path.open(errors="replace")
    except OSError as error:
        known = ", ".join(sorted(one.stem for one in path.parent.glob("*.log"))) or "none"
        raise LocalClientError(f"{path}: {error.strerror}; logs are of: {known}") from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(file)
        yield from (line.rstrip("\n") for line in deque(file, maxlen=count))
        while follow:
            line = file.readline()
            if line:
                yield line.rstrip("\n")
            elif path.exists() and path.stat().st_ino != _inode(file):
                file = stack.enter_context(path.open(errors="replace"))
            else:
                time.sleep(POLL_S)


def _inode(file: Any) -> int:
    return os.fstat(file.fileno()).st_ino
