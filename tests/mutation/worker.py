"""Run tests against mutants in forked processes.

The modules of a group have the same tests and one session, a process that imports third-party packages and collects the
tests once. It measures in a forked process which lines of the modules each test executes and how long that takes, and
then forks a process for each mutant, which replaces the code of the changed function and runs the tests that execute
the changed statement until the first failure, the fastest first. A mutant of code that runs while modules are imported
has a process that imports and collects again, and runs all tests.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.mutation.mutants import Mutant
from tests.mutation.replacing import Functions, Lines, LineTracer, import_from, statement_lines

COPIED = ("wire", "edge_components", "cloud_functions", "device_sim", "strandline", "recipes", "benchmarks", "tests")
PRELOADED = ["numpy", "numpy.testing", "pytest", "hypothesis", "hypothesis.strategies", "hypothesis.extra.numpy"]
MAX_EXAMPLES = 20
"""Hypothesis examples a test: fewer than in the test suite, since every mutant pays for them."""
MAX_MEMORY = 8 << 30
"""Address space of a run: a mutant in an endless loop that allocates ends before it fills the machine."""
LEAST_S, SLOWEST = 5.0, 10.0
"""A test that takes these CPU seconds and this multiple of its usual duration more is in an endless loop."""
IMPORT_S = 30.0
"""CPU seconds for the import of a changed module and the collection of its tests."""
WAITING = 10.0
"""A test that takes this multiple of its CPU seconds by the clock waits for something that does not happen."""
PASSED, FAILED = 0, 1

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(PRELOADED)


class BrokenTestsError(Exception):
    """The tests of a group fail without a mutation."""


@dataclass(frozen=True)
class Change:
    """A mutant of the module at a path relative to the repository."""

    path: str
    original: str
    mutant: Mutant


Measured = dict[str, tuple[float, Lines]]
"""Duration of each test, in CPU seconds, and the lines that it executes."""
_Timed = tuple[float, pytest.Item]


def run_group(folder: Path, tests: tuple[str, ...], changes: Sequence[Change]) -> Iterator[tuple[int, int]]:
    """Run tests below ``folder/tests`` for each change; yields the index of the change and an exit status.

    The status is ``PASSED``, another one above if a test failed, and below 0 if the run was ended at a limit.
    """
    receiver, sender = _server.Pipe(duplex=False)
    with tempfile.NamedTemporaryFile() as output:
        process = _server.Process(target=_run_changes, args=(folder, tests, tuple(changes), sender, output.name))
        process.start()
        sender.close()
        with contextlib.suppress(EOFError):
            while True:
                yield receiver.recv()
        process.join()
        if process.exitcode != PASSED:
            raise BrokenTestsError(f"{tests}: fail without a mutation\n{Path(output.name).read_text()[-8_000:]}")


def _run_changes(folder: Path, tests: tuple[str, ...], changes: Sequence[Change], to: Connection, output: str) -> None:
    """Use the packages of ``folder``, and run the tests in forked processes."""
    file = os.open(output, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    repository = Path(__file__).resolve().parents[2]
    sys.path[:] = [str(folder), *(path for path in sys.path if path and Path(path).resolve() != repository)]
    for name in [name for name in sys.modules if name.split(".")[0] in COPIED]:
        del sys.modules[name]
    settings.register_profile("mutation", deadline=None, database=None)
    session = _Session(folder, tests, changes, to)
    status, found = _forked(session.run_collected)
    if found is None:
        sys.exit(status or FAILED)
    measured, later = found
    for index in later:
        status, _ = _forked(partial(session.run_imported, changes[index], measured))
        to.send((index, status))


class _Session:
    """Tests of a group, in the process that calls a method."""

    def __init__(self, folder: Path, tests: tuple[str, ...], changes: Sequence[Change], to: Connection) -> None:
        self._folder, self._tests, self._changes, self._to = folder, tests, changes, to
        self._files = {str(folder / change.path) for change in changes}

    def run_collected(self) -> tuple[Measured, list[int]] | None:
        """Run the tests for each change of a function; returns the measured tests and the indexes of other changes."""
        tracer = LineTracer(self._files)
        tracer.start()
        found = None

        def run(items: list[pytest.Item]) -> None:
            nonlocal found
            imported = tracer.stop()
            status, measured = _forked(lambda: self._measure(items))
            if status == PASSED:
                found = measured, self._run_functions(items, measured, imported)

        self._collect(run)
        return found

    def run_imported(self, change: Change, measured: Measured) -> None:
        """Import the changed module, collect and run the tests, and end this process."""
        _limit(IMPORT_S)
        import_from({self._file(change): change.mutant.source})
        unknown: tuple[float, Lines] = (0.0, {})
        self._collect(lambda items: self._run_ordered([(measured.get(one.nodeid, unknown)[0], one) for one in items]))
        os._exit(FAILED)

    def _run_functions(self, items: list[pytest.Item], measured: Measured, imported: Lines) -> list[int]:
        gc.unfreeze()  # the settings of the tests hide what the collection left
        functions, later = Functions(self._files), []
        for index, change in enumerate(self._changes):
            file, mutant = self._file(change), change.mutant
            replace = functions.replacement(file, mutant.source, mutant.line)
            lines = statement_lines(change.original, mutant.line)
            if replace is None or imported[file] & lines:
                later.append(index)
                continue
            known = [(*measured[item.nodeid], item) for item in items]
            selected = [(seconds, item) for seconds, executed, item in known if executed[file] & lines]
            status, _ = _forked(partial(self._run_replaced, replace, selected))
            self._to.send((index, status))
        return later

    def _run_replaced(self, replace: Callable[[], None], tests: list[_Timed]) -> None:
        replace()
        self._run_ordered(tests)

    def _file(self, change: Change) -> str:
        return str(self._folder / change.path)

    def _measure(self, items: list[pytest.Item]) -> Measured:
        tracer, measured = LineTracer(self._files), Measured()
        for item, following in zip(items, [*items[1:], None], strict=True):
            began = time.process_time()
            tracer.start()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            lines = tracer.stop()
            measured[item.nodeid] = (time.process_time() - began, lines)
            if item.session.testsfailed:
                raise BrokenTestsError(item.nodeid)
        return measured

    def _run_ordered(self, tests: list[_Timed]) -> None:
        """Run the tests until the first failure, the fastest first, and end this process."""
        ordered = sorted(tests, key=lambda test: test[0])
        following = [item for _, item in ordered[1:]]
        for (seconds, item), after in zip(ordered, [*following, None], strict=True):
            _limit(LEAST_S + SLOWEST * seconds)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if item.session.testsfailed:
                os._exit(FAILED)
        os._exit(PASSED)

    def _collect(self, run: Callable[[list[pytest.Item]], None]) -> None:
        """Collect the tests and pass them to ``run``."""
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "-m", "not slow"]
        arguments += ["--hypothesis-profile=mutation", "--hypothesis-seed=1", "-o", "tmp_path_retention_policy=none"]
        arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        pytest.main([*arguments, *(f"tests/{name}" for name in self._tests)], plugins=[_Plugin(run)])


class _Plugin:
    """Pytest plugin: fewer examples of property tests, without shrinking, and another way to run the tests."""

    def __init__(self, run: Callable[[list[pytest.Item]], None]) -> None:
        self._run = run

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            test = getattr(item, "obj", None)
            own = getattr(test, "_hypothesis_internal_use_settings", None)
            if test is not None and own is not None:
                examples = min(own.max_examples, MAX_EXAMPLES)
                limited = settings(own, max_examples=examples, phases=(Phase.explicit, Phase.generate))
                test._hypothesis_internal_use_settings = limited

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:
            self._run(session.items)
        return True


def _forked(function: Callable[[], Any]) -> tuple[int, Any]:
    """Call a function in a forked process; returns its exit status, below 0 for a signal, and the function's value."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = os.fork()
    if process == 0:
        status = FAILED
        try:
            sender.send(function())
            status = PASSED
        except BaseException:  # noqa: BLE001 - a mutant may raise anything, wherever it is called
            traceback.print_exc()
        finally:
            os._exit(status)
    sender.close()
    value = None
    with contextlib.suppress(EOFError):
        value = receiver.recv()
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), value


def _limit(cpu_s: float) -> None:
    """End this process by a signal after some seconds of CPU time, or a multiple of it by the clock."""
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, WAITING * cpu_s)
