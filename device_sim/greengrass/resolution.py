"""Which version of which component a deployment runs, and in which order they start; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from device_sim.greengrass.errors import DependencyCycleError, DependencyError, MissingDependencyError
from device_sim.greengrass.versions import Version, VersionRange

MAX_STEPS = 10_000


class Dependency(Protocol):
    """What a component asks of another."""

    @property
    def versions(self) -> VersionRange:
        """The versions that will do."""

    @property
    def hard(self) -> bool:
        """Whether the dependent is restarted with it."""


class Candidate(Protocol):
    """A recipe, as far as resolution looks at it."""

    @property
    def name(self) -> str:
        """The component's name."""

    @property
    def version(self) -> Version:
        """Its version."""

    @property
    def dependencies(self) -> Mapping[str, Dependency]:
        """What it depends on, by name."""


C = TypeVar("C", bound=Candidate)
_Wish = tuple[str, VersionRange | Version]
"""Who asks, and for what."""


def resolve(
    roots: Mapping[str, Version], available: Mapping[str, Sequence[C]], provided: Mapping[str, Version]
) -> dict[str, C]:
    """Return the components to run by name, dependencies before those that need them.

    The newest version that meets everyone is chosen. ``provided`` are components the nucleus is itself. Raises
    MissingDependencyError, DependencyCycleError or DependencyError; the sentence names who asks for what, and what
    there is.
    """
    wishes: dict[str, list[_Wish]] = {name: [("the deployment", version)] for name, version in roots.items()}
    return ordered(_Search(available, provided).run(wishes))


class _Search(Generic[C]):
    """Depth-first over versions, newest first, with the first dead end kept for the error."""

    def __init__(self, available: Mapping[str, Sequence[C]], provided: Mapping[str, Version]) -> None:
        self._available, self._provided = available, provided
        self._steps = 0

    def run(self, wishes: dict[str, list[_Wish]]) -> dict[str, C]:
        error: DependencyError | None = None

        def attempt(chosen: dict[str, C], wishes: dict[str, list[_Wish]]) -> dict[str, C] | None:
            nonlocal error
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise DependencyError(f"no set of versions found in {MAX_STEPS} steps; narrow the version ranges")
            name = next((name for name in wishes if name not in chosen and name not in self._provided), None)
            if name is None:
                return chosen
            try:
                candidates = self._fitting(name, wishes[name])
            except DependencyError as dead_end:
                error = error or dead_end
                return None
            for candidate in candidates:
                more = {key: list(value) for key, value in wishes.items()}
                for wanted, dependency in candidate.dependencies.items():
                    more.setdefault(wanted, []).append((f"{name} {candidate.version}", dependency.versions))
                clash = self._clash({**chosen, name: candidate}, more)
                if clash is not None:
                    error = error or clash
                    continue
                if (found := attempt({**chosen, name: candidate}, more)) is not None:
                    return found
            return None

        found = attempt({}, wishes)
        if found is None:
            raise error or DependencyError("no set of versions found")
        return found

    def _fitting(self, name: str, wishes: Sequence[_Wish]) -> list[C]:
        there = sorted(self._available.get(name, ()), key=lambda one: one.version, reverse=True)
        fitting = [one for one in there if all(_meets(one.version, wish) for _, wish in wishes)]
        if not fitting:
            have = ", ".join(str(one.version) for one in there) or "no version of it"
            asked = ", ".join(f"{who} asks for {wish}" for who, wish in wishes)
            raise MissingDependencyError(f"{name}: {asked}, the recipes give {have}")
        return fitting

    def _clash(self, chosen: Mapping[str, C], wishes: Mapping[str, Sequence[_Wish]]) -> DependencyError | None:
        versions = {**{name: one.version for name, one in chosen.items()}, **self._provided}
        for name, asked in wishes.items():
            for who, wish in asked:
                if name in versions and not _meets(versions[name], wish):
                    return DependencyError(f"{name}: {who} asks for {wish}, {versions[name]} is chosen")
        return None


def _meets(version: Version, wish: VersionRange | Version) -> bool:
    return version == wish if isinstance(wish, Version) else version in wish


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


def dependents(names: Sequence[str], needs: Callable[[str], Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return for each name those that need it."""
    return {name: tuple(other for other in names if name in needs(other)) for name in names}
