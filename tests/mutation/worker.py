"""Run tests in a process that is forked after the imports of third-party packages, which cost most of a short run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import Phase, settings

COPIED = ("wire", "edge_components", "cloud_functions", "device_sim", "strandline", "recipes", "benchmarks", "tests")
PRELOADED = ["numpy", "numpy.testing", "pytest", "hypothesis", "hypothesis.strategies", "hypothesis.extra.numpy"]
MAX_EXAMPLES = 20
"""Hypothesis examples a test: fewer than in the test suite, since every mutant pays for them."""
MAX_MEMORY = 8 << 30
"""Address space of a run: a mutant in an endless loop that allocates ends before it fills the machine."""

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True)
class Run:
    """Result of a run of tests: ``passed`` is None if it did not end in time."""

    passed: bool | None
    seconds: float
    output: str


def run_tests(folder: Path, tests: tuple[str, ...], timeout_s: float, *, write_bytecode: bool = False) -> Run:
    """Run tests below ``folder/tests`` with the packages of ``folder`` until the first failure.

    The time limit applies to the CPU time, so that a busy machine ends no run early, and five times it to the wall
    clock.
    """
    began = time.monotonic()
    with tempfile.NamedTemporaryFile() as output:
        process = _server.Process(target=_run, args=(folder, tests, output.name, int(timeout_s) + 1, write_bytecode))
        process.start()
        process.join(5 * timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
        passed = process.exitcode == 0 if process.exitcode is not None and process.exitcode >= 0 else None
        return Run(passed, time.monotonic() - began, Path(output.name).read_text(errors="replace"))


def _run(folder: Path, tests: tuple[str, ...], output: str, cpu_s: int, write_bytecode: bool) -> None:
    """Replace the repository's packages by those of ``folder`` and exit with the status of pytest."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    file = os.open(output, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    sys.dont_write_bytecode = not write_bytecode
    repository = Path(__file__).resolve().parents[2]
    sys.path[:] = [str(folder), *(path for path in sys.path if path and Path(path).resolve() != repository)]
    for name in [name for name in sys.modules if name.split(".")[0] in COPIED]:
        del sys.modules[name]
    settings.register_profile("mutation", deadline=None, database=None)
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "-m", "not slow"]
    arguments += ["--hypothesis-profile=mutation", "--hypothesis-seed=1"]
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    status = pytest.main([*arguments, *(f"tests/{name}" for name in tests)], plugins=[_Plugin(tests)])
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(int(status))


class _Plugin:
    """Pytest plugin: fewer examples of property tests, without shrinking, and the tests in the given order."""

    def __init__(self, tests: tuple[str, ...]) -> None:
        self._tests = tests

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            test = getattr(item, "obj", None)
            own = getattr(test, "_hypothesis_internal_use_settings", None)
            if test is not None and own is not None:
                examples = min(own.max_examples, MAX_EXAMPLES)
                limited = settings(own, max_examples=examples, phases=(Phase.explicit, Phase.generate))
                test._hypothesis_internal_use_settings = limited
        items.sort(key=self._rank)

    def _rank(self, item: pytest.Item) -> int:
        path = item.nodeid.removeprefix("tests/")
        return next(at for at, name in enumerate(self._tests) if path.startswith(name))
