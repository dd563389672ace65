"""Supervisor of one component: install, wait for dependencies, start, watch, stop, restart within limits.

A component with a ``run`` script is RUNNING as soon as the script is started; one with ``startup`` when that has exited
with 0 or reported RUNNING with UpdateState. A failed component restarts after a pause; when its restart budget is
exhausted, it is BROKEN until a deployment (or, on nucleus lite, RestartComponent) starts it again.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from device_sim.greengrass.budget import Phase, budget
from device_sim.greengrass.component_log import ComponentLog
from device_sim.greengrass.component_state import ACTIVE, ENDED, Command, Limits, State
from device_sim.greengrass.errors import NucleusError, ScriptError
from device_sim.greengrass.groups import ProcessGroups
from device_sim.greengrass.plan import Plan
from device_sim.greengrass.recipe import Step
from device_sim.greengrass.script import Script

T = TypeVar("T")


class _CommandedError(NucleusError):
    """A pending command interrupts the current step."""


Changed = Callable[["Supervisor", State, State, str], None]
"""Called with the old and the new state and the reason."""


class Supervisor:
    """Supervisor of one component; every method runs on the event loop."""

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        environment: Callable[[], Mapping[str, str]],
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
        self._command: Command | None = None
        self._why = ""
        self._woken, self._dependencies = asyncio.Event(), asyncio.Event()
        self._reported_running = asyncio.Event()
        self._budget = budget(limits.restarts)
        self._resume = State.NEW
        self._next_plan: Plan | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process (and group) id of the running script, or None."""
        return self._script.pid if self._script is not None else None

    @property
    def failures(self) -> int:
        """Number of failures that count against the restart budget."""
        return self._budget.failures

    @property
    def installing(self) -> bool:
        """True while the install step is neither done nor BROKEN."""
        return self.state is State.NEW or (self.state is State.ERRORED and self._resume is State.NEW)

    @property
    def commanded(self) -> bool:
        """True while a command is pending, so that the state is about to change."""
        return self._command is not None

    def start(self) -> None:
        """Start the supervision."""
        self._task = asyncio.create_task(self._live(), name=f"supervise {self.plan.name}")

    def command(self, command: Command, why: str) -> None:
        """Queue a command; it is executed as soon as the current step can be interrupted."""
        if self._command is None or command > self._command:
            self._command, self._why = command, why
        self._woken.set()

    def restart(self, why: str) -> None:
        """Restart as RestartComponent does; a BROKEN component stays BROKEN where only a deployment restarts it."""
        if self.state is State.BROKEN and not self._limits.restarts.restart_resets_broken:
            self._log.error("%s is BROKEN: only a deployment starts it again", self.plan.name)
            return
        self._budget.reset()
        self.command(Command.RESTART, why)

    def reset_failures(self) -> None:
        """Reset the failures that count against the budget."""
        self._budget.reset()

    def replace(self, plan: Plan) -> None:
        """Switch to the plan of a deployment; install or restart when the difference requires it."""
        current, rules = self._next_plan or self.plan, self._limits.restarts
        self._next_plan = plan
        broken = self.state is State.BROKEN
        if rules.counts_starts:
            self._budget.reset()
        if plan.needs_install(current) or (broken and not rules.restart_resets_broken):
            self.command(Command.REINSTALL, "deployed anew")
        elif plan.needs_restart(current) or broken or self.state is State.ERRORED:
            self.command(Command.RESTART, "deployed anew")
        elif rules.deployment_starts_finished and self.state is State.FINISHED and plan.runs:
            self.command(Command.RESTART, "a deployment starts what has ended")

    def dependency_changed(self, name: str, hard: bool, state: State) -> None:
        """Check the dependencies again after ``name`` has changed to ``state``.

        A hard dependency that is no longer ready restarts this component, or stops it permanently (Limits.binds_hard).
        """
        self._dependencies.set()
        if not hard or self.state not in ACTIVE:
            return
        if self._limits.binds_hard and state in ENDED:
            self.command(Command.STOP, f"its HARD dependency {name} is {state}; it is not started again by itself")
        elif not self._ready(self.plan):
            self.command(Command.RESTART, f"its dependency {name} is not running")

    def recheck(self) -> None:
        """Check again whether the component may start."""
        self._dependencies.set()

    def reported(self, state: State) -> None:
        """Accept the state that the component reports with UpdateState."""
        if state is State.RUNNING:
            self._reported_running.set()
        elif self.state in ACTIVE:
            self.command(Command.FAIL, "it reported ERRORED")

    async def ended(self) -> None:
        """Wait until the supervision has ended after REMOVE."""
        if self._task is not None:
            await self._task
        self._output.close()

    def kill(self) -> None:
        """Kill the running script at once, for a nucleus that is signalled twice."""
        if self._script is not None:
            self._script.kill()

    async def _live(self) -> None:
        while True:
            try:
                if self._command is not None:
                    raise _CommandedError
                await self._advance()
            except _CommandedError:
                if await self._execute_command():
                    return
            except ScriptError as error:
                await self._fail(str(error))
            except Exception as error:  # noqa: BLE001 # outermost edge of one component: the others must continue
                self._log.exception("%s: supervision failed", self.plan.name)
                self._set(State.BROKEN, f"internal error of the nucleus: {error}")

    async def _advance(self) -> None:
        """Advance from the current state to the next one in which no script runs."""
        if self.state is State.NEW:
            self._budget.started(Phase.INSTALL, time.monotonic())
            for name in ("bootstrap", "install"):
                await self._to_end(name)
            self._set(State.INSTALLED, "installed")
        elif self.state is State.INSTALLED:
            while not self._ready(self.plan):
                self._dependencies.clear()
                await self._unless_commanded(self._dependencies.wait())
            self._reported_running.clear()
            self._budget.started(Phase.RUN, time.monotonic())
            self._set(State.STARTING, "its dependencies are ready")
            await (self._run() if "run" in self.plan.steps else self._startup())
        elif self.state is State.ERRORED:
            await self._recover()
        else:
            await self._unless_commanded(asyncio.Event().wait())

    async def _run(self) -> None:
        step = self.plan.steps["run"]
        if _skips(step):
            self._set(State.FINISHED, f"Skipif {step.skip_if} holds")
            return
        script = await self._begin(step)
        self._set(State.RUNNING, "run is started")
        try:
            code = await self._unless_commanded(script.wait(), step.timeout)
        except TimeoutError as error:
            raise ScriptError(f"run took longer than {step.timeout} s") from error
        await self._end_script(0.0)
        if code != 0 and -code not in self._limits.restarts.clean_signals:
            raise ScriptError(f"run ended with {_code(code)}")
        self._set(State.FINISHED, f"run ended with {_code(code)}")

    async def _startup(self) -> None:
        step = self.plan.steps.get("startup")
        if step is None or _skips(step):
            self._set(
                State.FINISHED, "it has no run or startup step" if step is None else f"Skipif {step.skip_if} holds"
            )
            return
        script = await self._begin(step)
        ended = asyncio.create_task(script.wait())
        reported = asyncio.create_task(self._reported_running.wait())
        try:
            either = asyncio.wait({ended, reported}, return_when=asyncio.FIRST_COMPLETED)
            await self._unless_commanded(either, step.timeout)
            if ended.done() and ended.result() != 0:
                raise ScriptError(f"startup ended with {_code(ended.result())}")
            # The processes that startup left in its group are the component; a stop ends the group.
            self._set(State.RUNNING, "startup ended with exit code 0" if ended.done() else "it reported RUNNING")
            if (code := await self._unless_commanded(script.wait())) != 0:
                raise ScriptError(f"startup ended with {_code(code)}")
            await self._unless_commanded(asyncio.Event().wait())
        except TimeoutError as error:
            raise ScriptError(f"startup took longer than {step.timeout} s") from error
        finally:
            ended.cancel()
            reported.cancel()

    async def _to_end(self, name: str) -> None:
        """Run a step such as install to completion; raises ScriptError after a failure or timeout."""
        step = self.plan.steps.get(name)
        if step is None or _skips(step):
            return
        script = await self._begin(step)
        try:
            code = await self._unless_commanded(script.wait(), step.timeout)
        except TimeoutError as error:
            raise ScriptError(f"{name} took longer than {step.timeout} s") from error
        await self._end_script(0.0)
        if code != 0:
            raise ScriptError(f"{name} ended with {_code(code)}")

    async def _fail(self, why: str) -> None:
        """Count a failure and end the script; above the budget the component is BROKEN."""
        installing = self.state is State.NEW
        self._resume = State.NEW if installing else State.INSTALLED
        await self._end_script(self._limits.stop)
        broken = self._budget.failed(Phase.INSTALL if installing else Phase.RUN, time.monotonic())
        failures = self._budget.failures
        self._set(State.ERRORED, why)
        if broken:
            self._set(State.BROKEN, f"failed {failures} times in {self._limits.restarts.window:g} s, last: {why}")

    async def _recover(self) -> None:
        """Run the recover step, pause, and return to the state before the failure."""
        try:
            await self._to_end("recover")
        except ScriptError as error:
            await self._end_script(self._limits.stop)
            self._log.warning("%s: %s", self.plan.name, error)
        pause = self._limits.restarts.pause
        await self._unless_commanded(asyncio.sleep(pause))
        self._set(self._resume, f"tried again after {pause:g} s")

    async def _execute_command(self) -> bool:
        """Execute the pending command; return whether the supervision has ended."""
        command, why = self._command, self._why
        self._command = None
        self._woken.clear()
        if command is Command.FAIL:
            await self._fail(why)
            return False
        was = self.state
        await self._halt(why)
        if self._next_plan is not None:
            self.plan, self._next_plan = self._next_plan, None
        if command in (Command.STOP, Command.REMOVE):
            self._set(State.FINISHED, why)
            return command is Command.REMOVE
        if was is State.BROKEN:
            self._budget.reset()
        never_installed = was is State.NEW or (was in (State.ERRORED, State.BROKEN) and self._resume is State.NEW)
        self._set(State.NEW if command is Command.REINSTALL or never_installed else State.INSTALLED, why)
        return False

    async def _halt(self, why: str) -> None:
        """Stop the running script: the shutdown step, then signals to its process group."""
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
        environment = {**self._environment(), **step.environment}
        self._script = await Script.start(step.script, self.plan.work, environment, self._write)
        self._groups.add(self._script.pid)
        return self._script

    async def _end_script(self, grace: float) -> None:
        if self._script is not None:
            await self._script.end(grace)
            self._groups.remove(self._script.pid)
            self._script = None

    async def _unless_commanded(self, work: Awaitable[T], seconds: float | None = None) -> T:
        """Wait for ``work``; raise _CommandedError as soon as a command arrives, TimeoutError after ``seconds``."""
        task, woken = asyncio.ensure_future(work), asyncio.create_task(self._woken.wait())
        try:
            done, _ = await asyncio.wait({task, woken}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            if not task.done():
                task.cancel()
        if woken in done:
            raise _CommandedError
        if task not in done:
            raise TimeoutError
        return task.result()

    def _write(self, data: bytes) -> None:
        """Write to the log; a write error must not block the component at a full pipe."""
        try:
            self._output.write(data)
        except (OSError, ValueError) as error:
            if not self._output_failed:
                self._log.error("%s: its log cannot be written, lines are lost: %s", self.plan.name, error)
            self._output_failed = True

    def _set(self, state: State, why: str) -> None:
        if state is not self.state:
            old, self.state, self.why = self.state, state, why
            if old in (State.NEW, State.RUNNING) and state not in (State.ERRORED, State.BROKEN):
                self._budget.left(Phase.INSTALL if old is State.NEW else Phase.RUN)
            self._changed(self, old, state, why)


def _skips(step: Step) -> bool:
    if step.skip_if is None:
        return False
    kind, _, what = step.skip_if.partition(" ")
    return shutil.which(what) is not None if kind == "onpath" else Path(what).exists()


def _code(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
