"""Dependency resolution: versions of the components of a deployment and their start order; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from device_sim.greengrass.errors import DependencyCycleError, DependencyError, MissingDependencyError
from device_sim.greengrass.versions import Version, VersionRange

MAX_STEPS = 10_000


class Dependency(Protocol):
    """Dependency of a component on another."""

    @property
    def versions(self) -> VersionRange:
        """Range of allowed versions."""

    @property
    def hard(self) -> bool:
        """True when the dependant restarts with the dependency."""


class Candidate(Protocol):
    """Attributes of a recipe that resolution needs."""

    @property
    def name(self) -> str:
        """Name of the component."""

    @property
    def version(self) -> Version:
        """Version of the component."""

    @property
    def dependencies(self) -> Mapping[str, Dependency]:
        """Dependencies by component name."""


C = TypeVar("C", bound=Candidate)
_Requirement = tuple[str, VersionRange | Version]
"""Origin of the requirement and the required version or range."""


def resolve(
    roots: Mapping[str, Version], available: Mapping[str, Sequence[C]], provided: Mapping[str, Version]
) -> dict[str, C]:
    """Return the components to run by name, dependencies before those that need them.

    The newest version that meets all requirements is chosen. ``provided`` are components that the nucleus itself
    implements. Raises MissingDependencyError, DependencyCycleError or DependencyError; the text names the
    requirements with their origins, and the available versions.
    """
    requirements: dict[str, list[_Requirement]] = {
        name: [("the deployment", version)] for name, version in roots.items()
    }
    return ordered(_Search(available, provided).run(requirements))


class _Search(Generic[C]):
    """Depth-first search over versions, newest first, that raises the first conflict found."""

    def __init__(self, available: Mapping[str, Sequence[C]], provided: Mapping[str, Version]) -> None:
        self._available, self._provided = available, provided
        self._steps = 0

    def run(self, requirements: dict[str, list[_Requirement]]) -> dict[str, C]:
        error: DependencyError | None = None

        def attempt(chosen: dict[str, C], requirements: dict[str, list[_Requirement]]) -> dict[str, C] | None:
            nonlocal error
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise DependencyError(f"no set of versions found in {MAX_STEPS} steps; narrow the version ranges")
            name = next((name for name in requirements if name not in chosen and name not in self._provided), None)
            if name is None:
                return chosen
            try:
                candidates = self._fitting(name, requirements[name])
            except DependencyError as dead_end:
                error = error or dead_end
                return None
            for candidate in candidates:
                more = {key: list(value) for key, value in requirements.items()}
                for wanted, dependency in candidate.dependencies.items():
                    more.setdefault(wanted, []).append((f"{name} {candidate.version}", dependency.versions))
                conflict = self._conflict({**chosen, name: candidate}, more)
                if conflict is not None:
                    error = error or conflict
                    continue
                if (found := attempt({**chosen, name: candidate}, more)) is not None:
                    return found
            return None

        found = attempt({}, requirements)
        if found is None:
            raise error or DependencyError("no set of versions found")
        return found

    def _fitting(self, name: str, requirements: Sequence[_Requirement]) -> list[C]:
        there = sorted(self._available.get(name, ()), key=lambda one: one.version, reverse=True)
        fitting = [one for one in there if all(_meets(one.version, requirement) for _, requirement in requirements)]
        if not fitting:
            have = ", ".join(str(one.version) for one in there) or "no version of it"
            asked = ", ".join(f"{origin} asks for {requirement}" for origin, requirement in requirements)
            raise MissingDependencyError(f"{name}: {asked}, the recipes give {have}")
        return fitting

    def _conflict(
        self, chosen: Mapping[str, C], requirements: Mapping[str, Sequence[_Requirement]]
    ) -> DependencyError | None:
        versions = {**{name: one.version for name, one in chosen.items()}, **self._provided}
        for name, asked in requirements.items():
            for origin, requirement in asked:
                if name in versions and not _meets(versions[name], requirement):
                    return DependencyError(f"{name}: {origin} asks for {requirement}, {versions[name]} is chosen")
        return None


def _meets(version: Version, requirement: VersionRange | Version) -> bool:
    return version == requirement if isinstance(requirement, Version) else version in requirement


def ordered(components: Mapping[str, C]) -> dict[str, C]:
    """Return the components, dependencies first; raises DependencyCycleError that names the cycle."""
    done: dict[str, C] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done or name not in components:
            return
        if name in path:
            cycle = [*path[path.index(name) :], name]
            raise DependencyCycleError(f"components wait for each other: {' -> '.join(cycle)}")
        path.append(name)
        for dependency in components[name].dependencies:
            visit(dependency)
        path.pop()
        done[name] = components[name]

    for name in components:
        visit(name)
    return done
