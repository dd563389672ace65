"""Operation UpdateState: a component reports its own state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_sim.greengrass.component_state import State
from device_sim.greengrass.operations.base import Call, Operation, invalid


async def update_state(call: Call) -> Mapping[str, Any]:
    """Accept RUNNING or ERRORED from a component."""
    state = call.text("state")
    if state not in (State.RUNNING, State.ERRORED):
        raise invalid(f"state: {state!r}, allowed are RUNNING, ERRORED")
    supervisor = call.services.components.get(call.identity.name)
    if supervisor is None:
        raise invalid(f"{call.identity.name} is not a deployed component")
    supervisor.reported(State(state))
    return {}


OPERATIONS = {"UpdateState": Operation(update_state)}
