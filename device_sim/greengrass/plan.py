"""Compute the plans that supervisors run from recipes and configurations; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from device_sim.greengrass.configuration import Configuration
from device_sim.greengrass.errors import DependencyError, RecipeError, VariableError
from device_sim.greengrass.interpolation import Scope, interpolate
from device_sim.greengrass.profile import Profile
from device_sim.greengrass.recipe import Recipe, Step


@dataclass(frozen=True, slots=True)
class Plan:
    """Executable form of a component: scripts without variables, and ordered dependencies (True: HARD)."""

    name: str
    version: str
    steps: Mapping[str, Step]
    dependencies: Mapping[str, bool]
    work: Path

    @property
    def runs(self) -> bool:
        """True when a step exists that makes the component RUNNING."""
        return "run" in self.steps or "startup" in self.steps

    def needs_install(self, old: Plan) -> bool:
        """Return whether the change from ``old`` to this plan requires the install step."""
        fresh = ("bootstrap", "install")
        return self.version != old.version or any(self.steps.get(name) != old.steps.get(name) for name in fresh)

    def needs_restart(self, old: Plan) -> bool:
        """Return whether the change requires a restart; a change of configuration alone does not."""
        return self.steps != old.steps or self.dependencies != old.dependencies


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of a component's files."""

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
    """Return the plans by name, in the order of ``recipes``.

    Raises VariableError for an unknown variable, and DependencyError for a HARD dependency that can never be started.
    """
    scopes = {name: Scope(_fixed(folders[name], root, thing), _values(configurations.get(name))) for name in recipes}
    plans = {name: _plan(recipe, recipes, scopes, folders[name], profile) for name, recipe in recipes.items()}
    if profile.binds_hard:
        _check_bound(plans)
    return plans


def _check_bound(plans: Mapping[str, Plan]) -> None:
    """Raise DependencyError for a HARD dependency without a systemd unit."""
    for name, own in plans.items():
        for needed, hard in own.dependencies.items():
            if hard and not plans[needed].runs:
                raise DependencyError(
                    f"{name}: its HARD dependency {needed} has neither run nor startup, so nucleus lite makes no unit "
                    f"for it and never starts {name}; SOFT is allowed"
                )


def _plan(
    recipe: Recipe, recipes: Mapping[str, Recipe], scopes: Mapping[str, Scope], folders: Folders, profile: Profile
) -> Plan:
    seen = {name: scopes[name] for name in (recipe.name, *recipe.dependencies) if name in scopes}
    steps = {name: _filled(recipe, name, step, seen, profile) for name, step in recipe.steps.items()}
    needs = {name: need.hard for name, need in recipe.dependencies.items() if name in recipes and need.ordered}
    return Plan(recipe.name, str(recipe.version), steps, needs, folders.work)


def _filled(recipe: Recipe, name: str, step: Step, scopes: Mapping[str, Scope], profile: Profile) -> Step:
    def fill(text: str, where: str) -> str:
        try:
            filled = interpolate(text, recipe.name, scopes, profile.strict_variables)
        except VariableError as error:
            raise VariableError(f"{recipe.source}: Lifecycle.{name}.{where}: {error}") from error
        if "\0" in filled:
            raise RecipeError(
                f"{recipe.source}: Lifecycle.{name}.{where}: contains a NUL, which is not allowed in a script"
            )
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
