"""One component's life: install, wait for what it needs, start, watch, stop, start again within limits.

The states are those of Greengrass: NEW, INSTALLED, STARTING, RUNNING, STOPPING, FINISHED, ERRORED, BROKEN. A component
with a ``run`` script is RUNNING as soon as the script is; one with ``startup`` when that has ended well, or says so
with UpdateState. A failure is tried again with a growing pause; too many within the window make it BROKEN until
someone restarts it or deploys it anew.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TypeVar

from device_sim.nucleus.component_log import ComponentLog
from device_sim.nucleus.errors import NucleusError, ScriptError
from device_sim.nucleus.groups import ProcessGroups
from device_sim.nucleus.plan import Plan
from device_sim.nucleus.recipes import Step
from device_sim.nucleus.script import Script

T = TypeVar("T")


class State(StrEnum):
    """LifecycleState of the IPC model."""

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"
    FINISHED = "FINISHED"


READY = frozenset({State.RUNNING, State.FINISHED})
ACTIVE = frozenset({State.STARTING, State.RUNNING})


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a failing component is started, and how patient we are; seconds."""

    starts: int = 3
    window: float = 3600.0
    pause: float = 0.5
    longest_pause: float = 30.0
    stop: float = 10.0


class Wish(IntEnum):
    """What is asked of a component; the stronger wish wins while one waits."""

    FAIL = 0
    RESTART = 1
    REINSTALL = 2
    STOP = 3
    REMOVE = 4


class _AskedError(NucleusError):
    """Something is asked of the component while it does something else."""


Changed = Callable[["Supervisor", State, State, str], None]
"""Called with the old and the new state and why."""


class Supervisor:
    """Runs one component; every method is called on the event loop."""

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        environment: Mapping[str, str],
        ready: Callable[[Plan], bool],
        changed: Changed,
        log_file: Path,
        groups: ProcessGroups,
        log: logging.Logger,
    ) -> None:
        self.plan, self.state, self.why = plan, State.NEW, ""
        self._limits, self._environment, self._ready = limits, environment, ready
        self._changed, self._groups, self._log = changed, groups, log
        self._output = ComponentLog(log_file)
        self._output_failed = False
        self._script: Script | None = None
        self._wish: Wish | None = None
        self._why = ""
        self._woken, self._dependencies, self._says_running = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._failures: deque[float] = deque()
        self._resume = State.NEW
        self._next_plan: Plan | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process (group) that runs, if one does."""
        return self._script.pid if self._script is not None else None

    @property
    def failures(self) -> int:
        """Failures within the window."""
        return len(self._failures)

    @property
    def asked(self) -> bool:
        """Whether something is asked that is not done yet, so that the state is about to change."""
        return self._wish is not None

    def start(self) -> None:
        """Begin the life."""
        self._task = asyncio.create_task(self._live(), name=f"supervise {self.plan.name}")

    def ask(self, wish: Wish, why: str) -> None:
        """Ask for something; it is done as soon as what runs can be left."""
        if self._wish is None or wish > self._wish:
            self._wish, self._why = wish, why
        self._woken.set()

    def replace(self, plan: Plan) -> None:
        """Go on with another plan, restarted or installed anew as the difference asks for."""
        current = self._next_plan or self.plan
        self._next_plan = plan
        if plan.needs_install(current):
            self.ask(Wish.REINSTALL, "deployed anew")
        elif plan.needs_restart(current) or self.state in (State.BROKEN, State.ERRORED):
            self.ask(Wish.RESTART, "deployed anew")

    def dependency_changed(self, name: str, hard: bool) -> None:
        """Look again at what this one needs; restart when a hard dependency is no longer ready."""
        self._dependencies.set()
        if hard and self.state in ACTIVE and not self._ready(self.plan):
            self.ask(Wish.RESTART, f"its dependency {name} is not running")

    def reported(self, state: State) -> None:
        """Take the state that the component reports itself."""
        if state is State.RUNNING:
            self._says_running.set()
        elif self.state in ACTIVE:
            self.ask(Wish.FAIL, "it reported ERRORED")

    async def gone(self) -> None:
        """Wait until the life has ended, which REMOVE asks for."""
        if self._task is not None:
            await self._task
        self._output.close()

    def kill(self) -> None:
        """Kill what runs at once; for a nucleus that is told twice to end."""
        if self._script is not None:
            self._script.kill()

    async def _live(self) -> None:
        while True:
            try:
                if self._wish is not None:
                    raise _AskedError
                await self._onward()
            except _AskedError:
                if await self._grant():
                    return
            except ScriptError as error:
                await self._fail(str(error))
            except Exception as error:  # noqa: BLE001 # one component's outermost edge: the others must go on
                self._log.exception("%s: supervision failed", self.plan.name)
                self._set(State.BROKEN, f"an error inside the nucleus: {error}")

    async def _onward(self) -> None:
        """Go on from the present state to the next at which nothing runs."""
        if self.state is State.NEW:
            for name in ("bootstrap", "install"):
                await self._to_end(name)
            self._set(State.INSTALLED, "installed")
        elif self.state is State.INSTALLED:
            while not self._ready(self.plan):
                self._dependencies.clear()
                await self._unless_asked(self._dependencies.wait())
            self._says_running.clear()
            self._set(State.STARTING, "what it depends on is ready")
            await (self._run() if "run" in self.plan.steps else self._startup())
        elif self.state is State.ERRORED:
            await self._recover()
        else:
            await self._unless_asked(asyncio.Event().wait())

    async def _run(self) -> None:
        step = self.plan.steps["run"]
        if _skips(step):
            self._set(State.FINISHED, f"Skipif {step.skip_if} holds")
            return
        script = await self._begin(step)
        self._set(State.RUNNING, "run is started")
        try:
            code = await self._unless_asked(script.wait(), step.timeout)
        except TimeoutError as error:
            raise ScriptError(f"run took longer than {step.timeout} s") from error
        await self._end_script(0.0)
        if code != 0:
            raise ScriptError(f"run ended with {_code(code)}")
        self._set(State.FINISHED, "run ended with exit code 0")

    async def _startup(self) -> None:
        step = self.plan.steps.get("startup")
        if step is None or _skips(step):
            self._set(State.FINISHED, "it has nothing to run" if step is None else f"Skipif {step.skip_if} holds")
            return
        script = await self._begin(step)
        ended = asyncio.create_task(script.wait())
        told = asyncio.create_task(self._says_running.wait())
        try:
            either = asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
            await self._unless_asked(either, step.timeout)
            if ended.done() and ended.result() != 0:
                raise ScriptError(f"startup ended with {_code(ended.result())}")
            # What startup left running in its group is the component; stopping it ends the group.
            self._set(State.RUNNING, "startup ended with exit code 0" if ended.done() else "it reported RUNNING")
            if (code := await self._unless_asked(script.wait())) != 0:
                raise ScriptError(f"startup ended with {_code(code)}")
            await self._unless_asked(asyncio.Event().wait())
        except TimeoutError as error:
            raise ScriptError(f"startup took longer than {step.timeout} s") from error
        finally:
            ended.cancel()
            told.cancel()

    async def _to_end(self, name: str) -> None:
        """Run an install-like step to its end; raises ScriptError for a failure or a timeout."""
        step = self.plan.steps.get(name)
        if step is None or _skips(step):
            return
        script = await self._begin(step)
        try:
            code = await self._unless_asked(script.wait(), step.timeout)
        except TimeoutError as error:
            raise ScriptError(f"{name} took longer than {step.timeout} s") from error
        await self._end_script(0.0)
        if code != 0:
            raise ScriptError(f"{name} ended with {_code(code)}")

    async def _fail(self, why: str) -> None:
        """Count a failure and end what is left of the script; over the limit the component is BROKEN."""
        self._resume = State.NEW if self.state is State.NEW else State.INSTALLED
        await self._end_script(self._limits.stop)
        now = time.monotonic()
        self._failures.append(now)
        while self._failures[0] <= now - self._limits.window:
            self._failures.popleft()
        if len(self._failures) < self._limits.starts:
            self._set(State.ERRORED, why)
        else:
            self._set(State.ERRORED, why)
            self._set(State.BROKEN, f"failed {len(self._failures)} times in {self._limits.window:g} s, last: {why}")

    async def _recover(self) -> None:
        """After a failure: the recover step, then a pause that grows, then back to where it failed."""
        try:
            await self._to_end("recover")
        except ScriptError as error:
            await self._end_script(self._limits.stop)
            self._log.warning("%s: %s", self.plan.name, error)
        pause = min(self._limits.longest_pause, self._limits.pause * 2 ** (len(self._failures) - 1))
        await self._unless_asked(asyncio.sleep(pause))
        self._set(self._resume, f"tried again after {pause:g} s")

    async def _grant(self) -> bool:
        """Do what was asked; return whether that was the end."""
        wish, why = self._wish, self._why
        self._wish = None
        self._woken.clear()
        if wish is Wish.FAIL:
            await self._fail(why)
            return False
        was = self.state
        await self._halt(why)
        if self._next_plan is not None:
            self.plan, self._next_plan = self._next_plan, None
        if wish in (Wish.STOP, Wish.REMOVE):
            self._set(State.FINISHED, why)
            return wish is Wish.REMOVE
        if was is State.BROKEN:
            self._failures.clear()
        never_installed = was is State.NEW or (was in (State.ERRORED, State.BROKEN) and self._resume is State.NEW)
        self._set(State.NEW if wish is Wish.REINSTALL or never_installed else State.INSTALLED, why)
        return False

    async def _halt(self, why: str) -> None:
        """Stop what runs: the shutdown step, then the signals to the group."""
        if self._script is None:
            return
        if self.state in ACTIVE:
            self._set(State.STOPPING, why)
            await self._shutdown()
        await self._end_script(self._limits.stop)

    async def _shutdown(self) -> None:
        step = self.plan.steps.get("shutdown")
        if step is None or _skips(step):
            return
        running, self._script = self._script, None
        try:
            script = await self._begin(step)
            code = await asyncio.wait_for(script.wait(), step.timeout)
            if code != 0:
                self._log.warning("%s: shutdown ended with %s", self.plan.name, _code(code))
        except TimeoutError:
            self._log.warning("%s: shutdown took longer than %s s", self.plan.name, step.timeout)
        except ScriptError as error:
            self._log.warning("%s: shutdown %s", self.plan.name, error)
        finally:
            await self._end_script(0.0)
            self._script = running

    async def _begin(self, step: Step) -> Script:
        try:
            self.plan.work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ScriptError(f"{self.plan.work}: {error.strerror}") from error
        environment = {**self._environment, **step.environment}
        self._script = await Script.start(step.script, self.plan.work, environment, self._write)
        self._groups.add(self._script.pid)
        return self._script

    async def _end_script(self, grace: float) -> None:
        if self._script is not None:
            await self._script.end(grace)
            self._groups.remove(self._script.pid)
            self._script = None

    async def _unless_asked(self, work: Awaitable[T], seconds: float | None = None) -> T:
        """Wait for ``work``; raises _AskedError as soon as something is asked, TimeoutError after ``seconds``."""
        task, woken = asyncio.ensure_future(work), asyncio.create_task(self._woken.wait())
        try:
            done, _ = await asyncio.wait({task, woken}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            if not task.done():
                task.cancel()
        if woken in done:
            raise _AskedError
        if task not in done:
            raise TimeoutError
        return task.result()

    def _write(self, data: bytes) -> None:
        """A disk that takes no log must not stop the component at a full pipe."""
        try:
            self._output.write(data)
        except (OSError, ValueError) as error:
            if not self._output_failed:
                self._log.error("%s: its log cannot be written, lines are lost: %s", self.plan.name, error)
            self._output_failed = True

    def _set(self, state: State, why: str) -> None:
        if state is not self.state:
            old, self.state, self.why = self.state, state, why
            self._changed(self, old, state, why)


def _skips(step: Step) -> bool:
    if step.skip_if is None:
        return False
    kind, _, what = step.skip_if.partition(" ")
    return shutil.which(what) is not None if kind == "onpath" else Path(what).exists()


def _code(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
