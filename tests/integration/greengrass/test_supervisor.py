"""Tests of the supervisor, with real scripts that end at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from device_sim.greengrass.component_log import ComponentLog
from device_sim.greengrass.component_state import Command, Limits, State
from device_sim.greengrass.groups import ProcessGroups
from device_sim.greengrass.plan import Plan
from device_sim.greengrass.profile import JAVA, LITE
from device_sim.greengrass.recipe import Step
from device_sim.greengrass.supervisor import Supervisor

SECONDS = 10.0
FAST = Limits(replace(JAVA.restarts, pause=0.01, restart_resets_broken=True), stop=2.0)
JAVA_FAST = Limits(replace(JAVA.restarts, pause=0.01), stop=2.0)
ONE_CHANCE = Limits(replace(FAST.restarts, limit=1), stop=2.0)
LITE_FAST = Limits(replace(LITE.restarts, pause=0.01), binds_hard=True, stop=2.0)


class Life:
    """A supervisor, and what it went through."""

    def __init__(self, folder: Path, steps: Mapping[str, Step | str], limits: Limits = FAST, **more: Any) -> None:
        self.folder = folder
        self.states: list[State] = [State.NEW]
        self.reasons: list[str] = []
        self.ready = True
        self._news = asyncio.Event()
        full = {name: step if isinstance(step, Step) else Step(step, 5.0, {}) for name, step in steps.items()}
        plan = Plan("io.x.One", "1.0.0", full, more.get("dependencies", {}), folder / "work")
        log = logging.getLogger("strandline.test")
        self.supervisor = Supervisor(
            plan,
            limits,
            lambda: {"PATH": "/usr/bin:/bin"},
            lambda _: self.ready,
            self._changed,
            folder / "c.log",
            ProcessGroups(folder / "run", log),
            log,
        )

    def _changed(self, _: Supervisor, old: State, new: State, why: str) -> None:
        assert old is self.states[-1]
        self.states.append(new)
        self.reasons.append(why)
        self._news.set()

    async def until(self, state: State, times: int = 1) -> None:
        async with asyncio.timeout(SECONDS):
            while self.states.count(state) < times:
                self._news.clear()
                await self._news.wait()

    async def logged(self, line: str, times: int = 1) -> None:
        """Wait until the scripts have printed a line ``times`` times."""
        async with asyncio.timeout(SECONDS):
            while self.log.splitlines().count(line) < times:
                await asyncio.sleep(0.005)

    async def over(self) -> None:
        self.supervisor.command(Command.REMOVE, "the test is over")
        async with asyncio.timeout(SECONDS):
            await self.supervisor.ended()
        assert list((self.folder / "run").glob("*")) == []

    @property
    def log(self) -> str:
        return (self.folder / "c.log").read_text()


def live(
    folder: Path,
    steps: Mapping[str, Step | str],
    test: Callable[[Life], Coroutine[Any, Any, None]],
    limits: Limits = FAST,
    **more: Any,
) -> Life:
    async def main() -> Life:
        life = Life(folder, steps, limits, **more)
        life.supervisor.start()
        try:
            await test(life)
        finally:
            await life.over()
        return life

    return asyncio.run(main())


STAY = "exec sleep 1000"


def test_install_then_run_then_removed(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.RUNNING)

    life = live(tmp_path, {"install": "echo install in $PWD", "run": STAY}, test)
    assert life.states == ["NEW", "INSTALLED", "STARTING", "RUNNING", "STOPPING", "FINISHED"]
    assert life.log == f"install in {tmp_path}/work\n"


def test_a_successful_run_is_finished_and_not_started_again(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.FINISHED)

    assert live(tmp_path, {"run": "true"}, test).states == ["NEW", "INSTALLED", "STARTING", "RUNNING", "FINISHED"]


def test_the_end_of_a_run_is_detected_and_its_children_are_ended(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.FINISHED)

    live(tmp_path, {"run": "sleep 1000 & echo $! > child"}, test)
    child = int((tmp_path / "work" / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_component_with_nothing_to_run_is_finished(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.FINISHED)

    assert live(tmp_path, {}, test).states == ["NEW", "INSTALLED", "STARTING", "FINISHED"]


def test_a_component_is_broken_after_too_many_failures_and_a_restart_resets_them(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.BROKEN)
        assert life.supervisor.failures == 3
        assert life.log == "try\ntry\ntry\n"
        life.supervisor.restart("again")
        await life.until(State.BROKEN, 2)

    life = live(tmp_path, {"run": "echo try; exit 3"}, test)
    assert life.states.count(State.RUNNING) == 6
    assert "failed 3 times in 3600 s, last: run ended with exit code 3" in life.reasons


def test_on_java_a_broken_component_is_started_by_a_deployment_and_not_by_a_restart(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.BROKEN)
        life.supervisor.restart("again")
        assert not life.supervisor.commanded
        life.supervisor.replace(life.supervisor.plan)
        await life.until(State.BROKEN, 2)

    life = live(tmp_path, {"install": "echo install", "run": "exit 3"}, test, JAVA_FAST)
    assert life.log == "install\ninstall\n"
    assert life.states.count(State.RUNNING) == 6


@pytest.mark.parametrize("signal", ["KILL", "SEGV"])
def test_on_lite_a_crash_a_kill_and_an_exit_code_use_up_the_budget(tmp_path: Path, signal: str) -> None:
    async def test(life: Life) -> None:
        await life.until(State.BROKEN)

    run = f"test -e one || {{ touch one; exit 1; }}; kill -{signal} $$"
    life = live(tmp_path, {"run": run}, test, LITE_FAST)
    assert life.states.count(State.RUNNING) == 3
    assert any(why.startswith("failed 3 times in 3600 s, last: run ended with signal") for why in life.reasons)


def test_on_lite_an_end_by_sigterm_is_not_a_failure(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.FINISHED)
        life.supervisor.replace(life.supervisor.plan)  # a deployment starts what has ended
        await life.until(State.FINISHED, 2)

    life = live(tmp_path, {"run": "kill -TERM $$"}, test, LITE_FAST)
    assert State.ERRORED not in life.states
    assert life.states.count(State.RUNNING) == 2


def test_on_lite_the_end_of_a_hard_dependency_stops_its_dependant_permanently(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.RUNNING)
        life.ready = False
        life.supervisor.dependency_changed("io.x.Two", hard=False, state=State.ERRORED)
        life.supervisor.dependency_changed("io.x.Two", hard=True, state=State.ERRORED)
        await life.until(State.FINISHED)
        life.ready = True
        for state in (State.STARTING, State.RUNNING):
            life.supervisor.dependency_changed("io.x.Two", hard=True, state=state)
        assert not life.supervisor.commanded
        life.supervisor.replace(life.supervisor.plan)
        await life.until(State.RUNNING, 2)

    life = live(tmp_path, {"run": STAY}, test, LITE_FAST, dependencies={"io.x.Two": True})
    assert "its HARD dependency io.x.Two is ERRORED; it is not started again by itself" in life.reasons


def test_failures_outside_the_window_do_not_count(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.ERRORED, 5)

    limits = Limits(replace(FAST.restarts, limit=2, window=0.001))
    assert State.BROKEN not in live(tmp_path, {"run": "exit 1"}, test, limits).states


def test_a_failing_install_is_tried_again_and_nothing_runs_before(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.RUNNING)

    steps = {"install": "test -e ok || { touch ok; exit 1; }", "run": STAY}
    states = live(tmp_path, steps, test).states
    assert states[:6] == ["NEW", "ERRORED", "NEW", "INSTALLED", "STARTING", "RUNNING"]


@pytest.mark.parametrize("name", ["install", "startup", "run"])
def test_a_timeout_of_a_step_is_a_failure_and_its_group_is_ended(tmp_path: Path, name: str) -> None:
    async def test(life: Life) -> None:
        await life.until(State.BROKEN)

    script = Step("sleep 1000 & sleep 1000", 0.05, {})
    life = live(tmp_path, {name: script, **({"run": STAY} if name == "install" else {})}, test, ONE_CHANCE)
    assert f"{name} took longer than 0.05 s" in life.reasons


def test_recover_runs_after_a_failure(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.RUNNING, 2)

    life = live(tmp_path, {"run": "test -e ok && exec sleep 1000; exit 1", "recover": "echo mending; touch ok"}, test)
    assert life.log == "mending\n"


def test_startup_is_running_when_it_has_ended_and_its_children_are_ended_with_it(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.RUNNING)
        await life.logged("up")

    startup = "(trap 'echo ended; exit' TERM; echo up; while :; do sleep 0.01; done) & true"
    life = live(tmp_path, {"startup": startup}, test)
    assert "startup ended with exit code 0" in life.reasons
    assert life.log.endswith("ended\n")


def test_a_component_reports_running_and_errored_in_its_startup_step(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.STARTING)
        life.supervisor.reported(State.RUNNING)
        await life.until(State.RUNNING)
        life.supervisor.reported(State.ERRORED)
        await life.until(State.ERRORED)

    assert "it reported ERRORED" in live(tmp_path, {"startup": STAY}, test).reasons


def test_shutdown_runs_before_the_signals_and_may_hang_or_fail(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.logged("up")

    run = "trap 'echo ended; exit' TERM; echo up; while :; do sleep 0.01; done"
    log = live(tmp_path, {"run": run, "shutdown": "echo bye; exit 1"}, test).log
    assert log.startswith("up\nbye\n")
    assert log.endswith("ended\n")
    started = time.monotonic()
    (tmp_path / "c.log").unlink()
    live(tmp_path, {"run": f"echo up; {STAY}", "shutdown": Step("sleep 1000", 0.05, {})}, test)
    assert time.monotonic() - started < SECONDS / 2


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.logged("up")

    started = time.monotonic()
    live(tmp_path, {"run": "trap '' TERM; echo up; while :; do sleep 0.01; done"}, test, replace(FAST, stop=0.1))
    assert 0.1 <= time.monotonic() - started < SECONDS / 2


def test_it_waits_for_its_dependencies_and_restarts_with_a_hard_one(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        life.ready = False
        await life.until(State.INSTALLED)
        life.ready = True
        life.supervisor.dependency_changed("io.x.Two", hard=True, state=State.STOPPING)
        await life.until(State.RUNNING)
        life.ready = False
        life.supervisor.dependency_changed("io.x.Two", hard=False, state=State.STOPPING)
        life.supervisor.dependency_changed("io.x.Two", hard=True, state=State.STOPPING)
        await life.until(State.INSTALLED, 2)
        life.ready = True
        life.supervisor.dependency_changed("io.x.Two", hard=True, state=State.STOPPING)
        await life.until(State.RUNNING, 2)
        assert life.supervisor.failures == 0

    live(tmp_path, {"install": "sleep 0.01", "run": STAY}, test, dependencies={"io.x.Two": True})


def test_a_stopped_component_stays_stopped_until_it_is_restarted(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.RUNNING)
        life.supervisor.command(Command.STOP, "stop")
        await life.until(State.FINISHED)
        life.supervisor.command(Command.RESTART, "go on")
        await life.until(State.RUNNING, 2)

    live(tmp_path, {"run": STAY}, test)


def test_another_plan_installs_again_only_when_it_must(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.RUNNING)
        plan = life.supervisor.plan
        life.supervisor.replace(plan)
        steps = {**plan.steps, "run": Step("echo new; exec sleep 1000", None, {})}
        life.supervisor.replace(replace(plan, steps=steps))
        await life.logged("new")
        life.supervisor.replace(replace(plan, steps=steps, version="2.0.0"))
        await life.logged("new", 2)
        assert life.supervisor.plan.version == "2.0.0"

    life = live(tmp_path, {"install": "echo install", "run": STAY}, test)
    assert life.log == "install\nnew\ninstall\nnew\n"
    assert life.states.count(State.STOPPING) == 3


def test_a_script_that_cannot_be_started_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file, where the work folder must be")

    async def test(life: Life) -> None:
        await life.until(State.BROKEN)

    assert f"{tmp_path}/work: File exists" in live(tmp_path, {"run": STAY}, test).reasons


def test_a_log_that_cannot_be_written_does_not_stop_the_component(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: ComponentLog, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ComponentLog, "write", full)

    async def test(life: Life) -> None:
        await life.until(State.FINISHED)

    live(
        tmp_path,
        {"run": "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done"},
        test,
    )
    assert caplog.text.count("lines are lost: [Errno 28] No space left on device") == 1


def test_skipif_leaves_a_step_out(tmp_path: Path) -> None:
    async def test(life: Life) -> None:
        await life.until(State.FINISHED)

    steps = {"install": Step("echo no", 5, {}, "onpath sh"), "run": Step("echo yes", None, {}, "exists /no/such/file")}
    assert live(tmp_path, steps, test).log == "yes\n"
