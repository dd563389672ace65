"""Collection of the deployed components: order of start and stop, and notification of state changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from device_sim.greengrass.component_state import ACTIVE, READY, Command, Limits, State
from device_sim.greengrass.groups import ProcessGroups
from device_sim.greengrass.plan import Plan
from device_sim.greengrass.supervisor import Supervisor

STEADY_SECONDS = 1.0
Changed = Callable[[Supervisor, State, State, str], None]


class Components:
    """Supervisors by component name."""

    def __init__(
        self,
        limits: Limits,
        environment: Callable[[str], Mapping[str, str]],
        logs: Path,
        groups: ProcessGroups,
        changed: Changed,
        log: logging.Logger,
    ) -> None:
        self._limits, self._environment, self._logs = limits, environment, logs
        self._groups, self._notify, self._log = groups, changed, log
        self._all: dict[str, Supervisor] = {}
        self._changed = asyncio.Event()

    def get(self, name: str) -> Supervisor | None:
        """Return a component's supervisor, or None when it is not deployed."""
        return self._all.get(name)

    def all(self) -> tuple[Supervisor, ...]:
        """Return all supervisors, dependencies first."""
        return tuple(self._all.values())

    async def apply(self, plans: Mapping[str, Plan]) -> None:
        """Run exactly these plans: remove other components, then start or update these."""
        await self._remove([name for name in self._all if name not in plans])
        old, self._all = self._all, {}
        fresh = []
        for name, plan in plans.items():
            if name in old:
                self._all[name] = old[name]
                old[name].replace(plan)
            else:
                self._all[name] = self._new(plan)
                fresh.append(self._all[name])
        for supervisor in fresh:
            supervisor.start()

    async def settled(self) -> list[Supervisor]:
        """Wait until every component stays RUNNING or FINISHED, or one is BROKEN; return the broken ones.

        A ``run`` script makes a component RUNNING as soon as it starts, so the state must last STEADY_SECONDS.
        """
        while True:
            self._changed.clear()
            broken = [one for one in self._all.values() if one.state is State.BROKEN and not one.commanded]
            if broken:
                return broken
            ready = all(one.state in READY and not one.commanded for one in self._all.values())
            try:
                await asyncio.wait_for(self._changed.wait(), STEADY_SECONDS if ready else None)
            except TimeoutError:
                return []

    def restart(self, name: str, why: str) -> None:
        """Restart a component as RestartComponent does; where HARD dependencies bind, its dependants restart too."""
        self._all[name].restart(why)
        if self._limits.binds_hard:
            for other in self._all.values():
                if other.plan.dependencies.get(name) and other.state in ACTIVE:
                    self.restart(other.plan.name, f"its HARD dependency {name} is restarted")

    def reset_failures(self) -> None:
        """Reset the failure counts of all components."""
        for supervisor in self._all.values():
            supervisor.reset_failures()

    async def stop(self) -> None:
        """Stop all components, dependants first."""
        await self._remove(list(self._all))

    def kill(self) -> None:
        """Kill every process group at once."""
        for supervisor in self._all.values():
            supervisor.kill()

    def _new(self, plan: Plan) -> Supervisor:
        return Supervisor(
            plan,
            self._limits,
            lambda: self._environment(plan.name),
            self._is_ready,
            self._on_change,
            self._logs / f"{plan.name}.log",
            self._groups,
            self._log,
        )

    async def _remove(self, names: Iterable[str]) -> None:
        """Remove components in reverse order of dependency, each as soon as its dependants have ended."""
        waiting = dict.fromkeys(names)
        while waiting:
            needed = {need for name in waiting for need in self._all[name].plan.dependencies}
            # Cycles cannot be deployed, so a component without dependants always exists.
            free = [name for name in waiting if name not in needed] or list(waiting)
            for name in free:
                self._all[name].command(Command.REMOVE, "it is removed")
            await asyncio.gather(*(self._all[name].ended() for name in free))
            for name in free:
                waiting.pop(name)
                del self._all[name]

    def _is_ready(self, plan: Plan) -> bool:
        """Return whether a component's dependencies allow it to run; a soft dependency defines the order at most."""
        if self._limits.installs_first and any(one.installing for one in self._all.values()):
            return False
        for name, hard in plan.dependencies.items():
            needed = self._all.get(name)
            if needed is None or not (hard or self._limits.soft_orders):
                continue
            done = READY if hard else (*READY, State.ERRORED, State.BROKEN, State.STOPPING)
            if needed.state not in done:
                return False
        return True

    def _on_change(self, supervisor: Supervisor, old: State, new: State, why: str) -> None:
        self._notify(supervisor, old, new, why)
        self._changed.set()
        name = supervisor.plan.name
        for other in self._all.values():
            if self._limits.installs_first:
                other.recheck()
            if name in other.plan.dependencies:
                other.dependency_changed(name, other.plan.dependencies[name], new)
