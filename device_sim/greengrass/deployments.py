"""Queue of deployments, run one at a time: resolve, prepare, validate, apply, wait; roll back after a failure."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from device_sim.greengrass.artifacts import ArtifactStore, check_readable
from device_sim.greengrass.component_state import READY
from device_sim.greengrass.components import Components
from device_sim.greengrass.configuration import Configuration, ConfigurationUpdate, changed
from device_sim.greengrass.errors import DeploymentError, MissingDependencyError, NucleusError
from device_sim.greengrass.plan import Folders, Plan, plan
from device_sim.greengrass.profile import Profile
from device_sim.greengrass.recipe import Recipe
from device_sim.greengrass.recipe_book import RecipeBook
from device_sim.greengrass.resolution import resolve
from device_sim.greengrass.store import ConfigurationStore
from device_sim.greengrass.validation import Validators
from device_sim.greengrass.versions import Version, parse_version

MAX_KEPT = 200
"""Number of deployments kept for GetLocalDeploymentStatus."""


class Status(StrEnum):
    """DeploymentStatus of the IPC model."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class Detail(StrEnum):
    """DetailedDeploymentStatus of the IPC model."""

    SUCCESSFUL = "SUCCESSFUL"
    NO_STATE_CHANGE = "FAILED_NO_STATE_CHANGE"
    NO_ROLLBACK = "FAILED_ROLLBACK_NOT_REQUESTED"
    ROLLED_BACK = "FAILED_ROLLBACK_COMPLETE"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Order:
    """Requested change of the deployed components."""

    add: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    updates: Mapping[str, ConfigurationUpdate] = field(default_factory=dict)
    recipes: Path | None = None
    artifacts: Path | None = None
    rollback: bool = True


@dataclass(slots=True)
class Deployment:
    """Deployment and its progress."""

    id: str
    order: Order
    created_ms: int
    status: Status = Status.QUEUED
    detail: Detail | None = None
    cause: str = ""
    errors: tuple[str, ...] = ()
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Target:
    """Target state, computed before anything is changed."""

    roots: Mapping[str, Version]
    recipes: Mapping[str, Recipe]
    configurations: Mapping[str, Configuration]
    plans: Mapping[str, Plan]


class Deployments:
    """Queue of deployments and the deployed state."""

    def __init__(
        self,
        book: RecipeBook,
        artifacts: ArtifactStore,
        store: ConfigurationStore,
        components: Components,
        validators: Validators,
        profile: Profile,
        root: Path,
        thing: str,
        changed: Callable[[Deployment], None],
        log: logging.Logger,
        validation_seconds: float = 20.0,
    ) -> None:
        self._book, self._artifacts, self._store = book, artifacts, store
        self._components, self._validators, self._profile = components, validators, profile
        self._root, self._thing, self._changed, self._log = root, thing, changed, log
        self._validation_seconds = validation_seconds
        self._queue: asyncio.Queue[Deployment] = asyncio.Queue()
        self._kept: dict[str, Deployment] = {}
        self._now = _Target({}, {}, {}, {})

    def submit(self, order: Order) -> Deployment:
        """Queue a deployment."""
        deployment = Deployment(str(uuid.uuid4()), order, time.time_ns() // 1_000_000)
        self._kept[deployment.id] = deployment
        while len(self._kept) > MAX_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._queue.put_nowait(deployment)
        self._changed(deployment)
        return deployment

    def get(self, identifier: str) -> Deployment | None:
        """Return a deployment by its id."""
        return self._kept.get(identifier)

    def all(self) -> tuple[Deployment, ...]:
        """Return the kept deployments, oldest first."""
        return tuple(self._kept.values())

    async def run(self) -> None:
        """Run one deployment after another until the task is cancelled."""
        while True:
            deployment = await self._queue.get()
            deployment.status = Status.IN_PROGRESS
            self._changed(deployment)
            try:
                await self._execute(deployment)
            except NucleusError as error:
                self._finish(deployment, Detail.NO_STATE_CHANGE, error)
            except Exception as error:  # noqa: BLE001 # outermost edge of one deployment: the next ones must run
                self._log.exception("deployment %s failed", deployment.id)
                self._finish(deployment, Detail.NO_STATE_CHANGE, error)

    def _finish(self, deployment: Deployment, detail: Detail, error: Exception | None = None) -> None:
        deployment.detail = detail
        deployment.status = Status.SUCCEEDED if error is None else Status.FAILED
        if error is not None:
            deployment.cause = str(error)
            deployment.errors = (type(error).__name__,)
        deployment.done.set()
        self._changed(deployment)

    async def _execute(self, deployment: Deployment) -> None:
        order = deployment.order
        target = self._resolve_target(deployment)
        for recipe in target.recipes.values():
            source = self._book.artifacts(recipe)
            if recipe.artifacts and source is None and self._profile.unzips:
                raise DeploymentError(
                    f"{recipe.name} {recipe.version} has artifacts, but its recipe folder has no artifact folder"
                )
            if source is not None:
                await asyncio.to_thread(self._artifacts.prepare, recipe, source)
        refusals = await self._validators.ask(self._to_validate(target), deployment.id, self._validation_seconds)
        if refusals:
            raise DeploymentError("; ".join(refusals))
        before = _Target(self._now.roots, self._now.recipes, self._store.snapshot(), self._now.plans)
        await self._apply(target)
        broken = await self._components.settled()
        if not broken:
            await asyncio.to_thread(self._artifacts.clean, target.recipes.values())
            self._finish(deployment, Detail.SUCCESSFUL)
            return
        error = DeploymentError("; ".join(f"{one.plan.name} is BROKEN: {one.why}" for one in broken))
        if not order.rollback:
            self._finish(deployment, Detail.NO_ROLLBACK, error)
            return
        await self._apply(before)
        await self._components.settled()
        self._finish(deployment, Detail.ROLLED_BACK, error)

    def _resolve_target(self, deployment: Deployment) -> _Target:
        order = deployment.order
        if order.recipes is not None:
            if order.artifacts is not None:
                check_readable(order.artifacts, "artifact folder")
            self._book.add(order.recipes, order.artifacts)
        roots = self._roots(order)
        try:
            recipes = resolve(roots, self._book.available(), self._provided())
        except MissingDependencyError as error:
            broken = self._book.broken(str(error).split(":", 1)[0])
            raise (broken or error) from error
        for name in order.updates:
            if name not in recipes:
                raise DeploymentError(
                    f"configuration for {name}, which is not deployed; deployed are {', '.join(recipes)}"
                )
        configurations = {name: self._configured(recipe, deployment) for name, recipe in recipes.items()}
        folders = {name: self._folders(recipe) for name, recipe in recipes.items()}
        plans = plan(recipes, configurations, folders, self._root, self._thing, self._profile)
        return _Target(roots, recipes, configurations, plans)

    def _roots(self, order: Order) -> dict[str, Version]:
        roots = dict(self._now.roots)
        for name in order.remove:
            if roots.pop(name, None) is None:
                raise DeploymentError(f"{name} cannot be removed, it was not deployed; deployed are {', '.join(roots)}")
        return {**roots, **{name: parse_version(version) for name, version in order.add.items()}}

    def _provided(self) -> dict[str, Version]:
        return {self._profile.component: parse_version(self._profile.version)}

    def _configured(self, recipe: Recipe, deployment: Deployment) -> Configuration:
        kept = self._store.get(recipe.name) or Configuration({})
        update = deployment.order.updates.get(recipe.name, ConfigurationUpdate())
        return kept.deployed(recipe.defaults, update, deployment.created_ms)

    def _folders(self, recipe: Recipe) -> Folders:
        work = self._root / "work" / recipe.name
        return Folders(self._artifacts.path(recipe), self._artifacts.decompressed_path(recipe), work)

    def _to_validate(self, target: _Target) -> dict[str, Mapping[str, object]]:
        """Return running components of an unchanged version whose configuration would change; others restart anyway."""
        asked = {}
        for name, new in target.configurations.items():
            running, old = self._components.get(name), self._store.get(name)
            same = running is not None and running.plan.version == target.plans[name].version
            if running is not None and same and running.state in READY and old and changed(old.values, new.values):
                asked[name] = new.values
        return asked

    async def _apply(self, target: _Target) -> None:
        removed = [name for name in self._now.plans if name not in target.plans]
        self._store.put({name: target.configurations[name] for name in target.plans if name in target.configurations})
        await self._components.apply(target.plans)
        if removed:
            self._store.remove(removed)
        self._now = target
