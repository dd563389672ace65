"""All components of this nucleus: what runs, in which order it starts and stops, and who is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from device_sim.nucleus.groups import ProcessGroups
from device_sim.nucleus.plan import Plan
from device_sim.nucleus.supervisor import READY, Limits, State, Supervisor, Wish

STEADY_SECONDS = 1.0
Told = Callable[[Supervisor, State, State, str], None]


class Components:
    """The supervisors by name."""

    def __init__(
        self,
        limits: Limits,
        environment: Callable[[str], Mapping[str, str]],
        logs: Path,
        groups: ProcessGroups,
        told: Told,
        log: logging.Logger,
    ) -> None:
        self._limits, self._environment, self._logs = limits, environment, logs
        self._groups, self._told, self._log = groups, told, log
        self._all: dict[str, Supervisor] = {}
        self._changed = asyncio.Event()

    def get(self, name: str) -> Supervisor | None:
        """Return a component's supervisor, or None when it is not deployed."""
        return self._all.get(name)

    def all(self) -> tuple[Supervisor, ...]:
        """Return all, dependencies first."""
        return tuple(self._all.values())

    async def apply(self, plans: Mapping[str, Plan]) -> None:
        """Run exactly these plans: end what is not among them, then start or change the others."""
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

        A ``run`` script makes a component RUNNING before it has shown whether it can run, so that has to hold a moment.
        """
        while True:
            self._changed.clear()
            broken = [one for one in self._all.values() if one.state is State.BROKEN and not one.asked]
            if broken:
                return broken
            ready = all(one.state in READY and not one.asked for one in self._all.values())
            try:
                await asyncio.wait_for(self._changed.wait(), STEADY_SECONDS if ready else None)
            except TimeoutError:
                return []

    async def stop(self) -> None:
        """End all, those that need others first."""
        await self._remove(list(self._all))

    def kill(self) -> None:
        """Kill every process group at once."""
        for supervisor in self._all.values():
            supervisor.kill()

    def _new(self, plan: Plan) -> Supervisor:
        return Supervisor(
            plan,
            self._limits,
            self._environment(plan.name),
            self._is_ready,
            self._on_change,
            self._logs / f"{plan.name}.log",
            self._groups,
            self._log,
        )

    async def _remove(self, names: Iterable[str]) -> None:
        """End these in reverse order of dependency, each as soon as nothing that needs it is left."""
        waiting = dict.fromkeys(names)
        while waiting:
            needed = {need for name in waiting for need in self._all[name].plan.dependencies}
            # A cycle cannot be deployed, so there is always one that nobody needs.
            free = [name for name in waiting if name not in needed] or list(waiting)
            for name in free:
                self._all[name].ask(Wish.REMOVE, "it is removed")
            await asyncio.gather(*(self._all[name].gone() for name in free))
            for name in free:
                waiting.pop(name)
                del self._all[name]

    def _is_ready(self, plan: Plan) -> bool:
        """Return whether what a component depends on lets it run; a soft dependency only goes first."""
        for name, hard in plan.dependencies.items():
            needed = self._all.get(name)
            if needed is None:
                continue
            done = READY if hard else (*READY, State.ERRORED, State.BROKEN, State.STOPPING)
            if needed.state not in done:
                return False
        return True

    def _on_change(self, supervisor: Supervisor, old: State, new: State, why: str) -> None:
        self._told(supervisor, old, new, why)
        self._changed.set()
        name = supervisor.plan.name
        for other in self._all.values():
            if name in other.plan.dependencies:
                other.dependency_changed(name, other.plan.dependencies[name])
