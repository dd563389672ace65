"""From recipes and configurations to what the supervisor runs; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from device_sim.nucleus.configuration import Configuration
from device_sim.nucleus.errors import RecipeError, VariableError
from device_sim.nucleus.interpolation import Scope, interpolate
from device_sim.nucleus.profile import Profile
from device_sim.nucleus.recipes import Recipe, Step


@dataclass(frozen=True, slots=True)
class Plan:
    """One component as it runs: scripts without variables, and whether each dependency is hard."""

    name: str
    version: str
    steps: Mapping[str, Step]
    dependencies: Mapping[str, bool]
    work: Path

    def needs_install(self, old: Plan) -> bool:
        """Return whether going from ``old`` to this asks for the install step again."""
        fresh = ("bootstrap", "install")
        return self.version != old.version or any(self.steps.get(name) != old.steps.get(name) for name in fresh)

    def needs_restart(self, old: Plan) -> bool:
        """Return whether it asks for a restart; a change of configuration alone does not."""
        return self.steps != old.steps or self.dependencies != old.dependencies


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a component's files lie."""

    artifacts: Path
    decompressed: Path
    work: Path


def plan(
    recipes: Mapping[str, Recipe],
    configurations: Mapping[str, Configuration],
    folders: Mapping[str, Folders],
    root: Path,
    thing: str,
    profile: Profile,
) -> dict[str, Plan]:
    """Return the plans by name, in the order of ``recipes``; raises VariableError for an unknown variable."""
    scopes = {name: Scope(_fixed(folders[name], root, thing), _values(configurations.get(name))) for name in recipes}
    return {name: _plan(recipe, recipes, scopes, folders[name], profile) for name, recipe in recipes.items()}


def _plan(
    recipe: Recipe, recipes: Mapping[str, Recipe], scopes: Mapping[str, Scope], folders: Folders, profile: Profile
) -> Plan:
    seen = {name: scopes[name] for name in (recipe.name, *recipe.dependencies) if name in scopes}
    steps = {name: _filled(recipe, name, step, seen, profile) for name, step in recipe.steps.items()}
    needs = {name: need.hard for name, need in recipe.dependencies.items() if name in recipes}
    return Plan(recipe.name, str(recipe.version), steps, needs, folders.work)


def _filled(recipe: Recipe, name: str, step: Step, scopes: Mapping[str, Scope], profile: Profile) -> Step:
    def fill(text: str, where: str) -> str:
        try:
            filled = interpolate(text, recipe.name, scopes, profile.strict_variables)
        except VariableError as error:
            raise VariableError(f"{recipe.source}: Lifecycle.{name}.{where}: {error}") from error
        if "\0" in filled:
            raise RecipeError(f"{recipe.source}: Lifecycle.{name}.{where}: has a NUL, which no script can have")
        return filled

    environment = {key: fill(value, f"Setenv.{key}") for key, value in step.environment.items()}
    skip = None if step.skip_if is None else fill(step.skip_if, "Skipif")
    return replace(step, script=fill(step.script, "Script"), environment=environment, skip_if=skip)


def _fixed(folders: Folders, root: Path, thing: str) -> dict[str, str]:
    return {
        "artifacts:path": str(folders.artifacts),
        "artifacts:decompressedPath": str(folders.decompressed),
        "work:path": str(folders.work),
        "kernel:rootPath": str(root),
        "iot:thingName": thing,
    }


def _values(kept: Configuration | None) -> Mapping[str, Any]:
    return {} if kept is None else kept.values
