"""Run the tests of critical modules against sampled mutants, and print the mutants that no test detects.

    python -m tests.mutation.run [--per-module 10] [--seed 1] [--jobs 2] [--only cloud_functions] [--json]

The modules and their tests are in ``modules.toml``. Mutants that change no behaviour are in ``equivalent.toml``, each
with a reason; they do not count. The tests run in a copy of the repository; the working tree is not changed. Exit
status 1 if the score, killed mutants per counted mutants, is below the goal.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutation.mutants import Mutant, sample

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
COPIED = ("wire", "edge_components", "cloud_functions", "device_sim", "strandline", "recipes", "benchmarks", "tests")
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md")
GOAL = 0.95
SLOWEST = 3.0
"""A mutant whose tests take longer than this multiple of the unchanged module's (and 30 s) is in an endless loop."""


class Outcome(StrEnum):
    """Result of the tests of a mutant."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    EQUIVALENT = "equivalent"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Module:
    """A module under test, with its tests relative to ``tests``."""

    path: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """A mutant of a module and its outcome."""

    path: str
    mutant: Mutant
    outcome: Outcome


class BrokenModuleError(Exception):
    """The tests of a module fail without a mutation, or do not import the copy."""


class Copy:
    """A copy of the repository in which one module at a time is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".hypothesis")
        for name in COPIED:
            shutil.copytree(REPO / name, folder / name, ignore=ignored)
        for name in FILES:
            shutil.copy(REPO / name, folder / name)

    def passes(self, tests: tuple[str, ...], timeout_s: float) -> bool | None:
        """Return whether the tests pass, None if they did not end in time."""
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=1", "--no-header"]
        command = [sys.executable, "-B", "-m", "pytest", *arguments, *(f"tests/{name}" for name in tests)]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return process.wait(timeout_s) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                return None

    def check(self, module: Module) -> float:
        """Return the duration of the unchanged module's tests; raises if they cannot detect a mutant."""
        began = time.monotonic()
        if self.passes(module.tests, 1_800.0) is not True:
            raise BrokenModuleError(f"{module.path}: its tests fail without a mutation")
        seconds = time.monotonic() - began
        if self.outcome(module, "raise RuntimeError\n", 1_800.0) is not Outcome.KILLED:
            raise BrokenModuleError(f"{module.path}: its tests pass although the module cannot be imported")
        return seconds

    def outcome(self, module: Module, source: str, timeout_s: float) -> Outcome:
        """Run the tests of a module with another source."""
        file = self.folder / module.path
        original = file.read_text()
        file.write_text(source)
        try:
            passed = self.passes(module.tests, timeout_s)
        finally:
            file.write_text(original)
        if passed is None:
            return Outcome.TIMEOUT
        return Outcome.SURVIVED if passed else Outcome.KILLED


def read_modules(only: str) -> list[Module]:
    """Return the critical modules whose path contains ``only``."""
    body = tomllib.loads((HERE / "modules.toml").read_text())
    modules = [Module(path, tuple(entry["tests"])) for entry in body["group"] for path in entry["modules"]]
    return [module for module in modules if only in module.path]


def read_equivalent() -> set[tuple[str, str, str]]:
    """Return path, line before and line after of each mutant that changes no behaviour."""
    body = tomllib.loads((HERE / "equivalent.toml").read_text())
    return {(entry["module"], entry["before"], entry["after"]) for entry in body.get("mutant", [])}


def run_module(module: Module, copies: queue.Queue[Copy], per_module: int, seed: int) -> list[Result]:
    """Run a module's tests against a sample of its mutants."""
    copy, equivalent = copies.get(), read_equivalent()
    try:
        limit_s = 30.0 + SLOWEST * copy.check(module)
        results = []
        for mutant in sample((REPO / module.path).read_text(), per_module, f"{seed}:{module.path}"):
            if (module.path, mutant.before, mutant.after) in equivalent:
                outcome = Outcome.EQUIVALENT
            else:
                outcome = copy.outcome(module, mutant.source, limit_s)
            results.append(Result(module.path, mutant, outcome))
            if outcome is Outcome.SURVIVED:
                _print(f"{module.path}:{mutant.line}\n  - {mutant.before}\n  + {mutant.after}")
        return results
    finally:
        copies.put(copy)


def score(results: list[Result]) -> float:
    """Return the fraction of detected mutants, without equivalent ones; 1 without mutants."""
    counted = [one for one in results if one.outcome is not Outcome.EQUIVALENT]
    return sum(one.outcome is not Outcome.SURVIVED for one in counted) / len(counted) if counted else 1.0


def main() -> int:
    """Read the command line, test the modules and print the score of each."""
    parser = argparse.ArgumentParser(description="Mutation test of the critical modules.")
    parser.add_argument("--per-module", type=int, default=10, help="mutants sampled from each module (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="modules tested at the same time (default 2)")
    parser.add_argument("--only", default="", help="only modules whose path contains this text")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args()
    modules = read_modules(options.only)
    with (
        tempfile.TemporaryDirectory(prefix="mutation-") as folder,
        concurrent.futures.ThreadPoolExecutor(options.jobs) as pool,
    ):
        copies: queue.Queue[Copy] = queue.Queue()
        for number in range(options.jobs):
            copies.put(Copy(Path(folder) / str(number)))
        pending = [pool.submit(run_module, module, copies, options.per_module, options.seed) for module in modules]
        results = [result for future in pending for result in future.result()]
    for module in modules:
        own = [one for one in results if one.path == module.path]
        survived = sum(one.outcome is Outcome.SURVIVED for one in own)
        _print(f"{score(own):7.1%}  {module.path}: {len(own)} mutants, {survived} survived")
    total = score(results)
    _print(f"{total:7.1%}  {len(results)} mutants of {len(modules)} modules, goal {GOAL:.0%}")
    if options.json:
        counts = {str(outcome): sum(one.outcome is outcome for one in results) for outcome in Outcome}
        sys.stdout.write(json.dumps({"seed": options.seed, "score": total, **counts}) + "\n")
    return 0 if total >= GOAL else 1


def _print(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
