"""Run the tests of critical modules against sampled mutants, and print the mutants that no test detects.

    python -m tests.mutation.run [--per-module 7] [--seed 1] [--jobs 1] [--only cloud] [--results FILE] [--json]

The modules and their tests are in ``modules.toml``. Mutants that change no behaviour are in ``equivalent.toml``, each
with a reason; they do not count. The tests run in a copy of the repository; the working tree is not changed. With
``--results``, each result is appended to a file as a line of JSON, and mutants that the file records as killed are not
tested again, so that a run can be interrupted, divided by ``--only``, and repeated for the survivors. Exit status 1 if
the score, killed mutants per counted mutants, is below the goal.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import queue
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutation.mutants import Mutant, sample
from tests.mutation.worker import COPIED, Run, run_tests

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
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

    @property
    def key(self) -> str:
        """Return a digest of the module's path and changed source."""
        return hashlib.sha256(f"{self.path}\n{self.mutant.source}".encode()).hexdigest()[:16]

    def line(self) -> str:
        """Return the result as one line of JSON."""
        body = {"key": self.key, "outcome": self.outcome, "module": self.path, "line": self.mutant.line}
        return json.dumps({**body, "before": self.mutant.before, "after": self.mutant.after}) + "\n"


class BrokenModuleError(Exception):
    """The tests of a module fail without a mutation, or do not import the copy."""


class Copy:
    """A copy of the repository in which one module at a time is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seconds: dict[tuple[str, ...], float] = {}
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".hypothesis")
        for name in COPIED:
            shutil.copytree(REPO / name, folder / name, ignore=ignored)
        for name in FILES:
            shutil.copy(REPO / name, folder / name)

    def check(self, module: Module) -> float:
        """Return the duration of the unchanged module's tests; raises if they cannot detect a mutant."""
        if module.tests not in self._seconds:
            run = run_tests(self.folder, module.tests, 1_800.0, write_bytecode=True)
            if run.passed is not True:
                raise BrokenModuleError(f"{module.path}: its tests fail without a mutation\n{run.output}")
            self._seconds[module.tests] = run.seconds
        if self.outcome(module, "raise RuntimeError\n", 1_800.0) is not Outcome.KILLED:
            raise BrokenModuleError(f"{module.path}: its tests pass although the module cannot be imported")
        return self._seconds[module.tests]

    def outcome(self, module: Module, source: str, timeout_s: float) -> Outcome:
        """Run the tests of a module with another source."""
        file = self.folder / module.path
        for bytecode in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            bytecode.unlink()
        original = file.read_text()
        file.write_text(source)
        try:
            run = run_tests(self.folder, module.tests, timeout_s)
        finally:
            file.write_text(original)
        return _outcome(run)


def _outcome(run: Run) -> Outcome:
    if run.passed is None:
        return Outcome.TIMEOUT
    return Outcome.SURVIVED if run.passed else Outcome.KILLED


class ResultFile:
    """Results of interrupted and earlier runs, one a line; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        records = [json.loads(line) for line in lines]
        self._outcomes = {record["key"]: Outcome(record["outcome"]) for record in records}

    def known(self, path: str, mutant: Mutant) -> Outcome | None:
        """Return the outcome of a mutant that an earlier run has killed, None if it is to be tested."""
        outcome = self._outcomes.get(Result(path, mutant, Outcome.SURVIVED).key)
        return outcome if outcome in (Outcome.KILLED, Outcome.TIMEOUT) else None

    def add(self, result: Result) -> None:
        """Append a result."""
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(result.line())


def read_modules(only: str) -> list[Module]:
    """Return the critical modules whose path contains ``only``."""
    body = tomllib.loads((HERE / "modules.toml").read_text())
    modules = [Module(path, tuple(entry["tests"])) for entry in body["group"] for path in entry["modules"]]
    return [module for module in modules if only in module.path]


def read_equivalent() -> set[tuple[str, str, str]]:
    """Return path, line before and line after of each mutant that changes no behaviour."""
    body = tomllib.loads((HERE / "equivalent.toml").read_text())
    return {(entry["module"], entry["before"], entry["after"]) for entry in body.get("mutant", [])}


def run_module(module: Module, copies: queue.Queue[Copy], chosen: Iterable[Mutant], file: ResultFile) -> list[Result]:
    """Run a module's tests against its mutants."""
    copy, equivalent, limit_s = copies.get(), read_equivalent(), 0.0
    try:
        results = []
        for mutant in chosen:
            outcome = file.known(module.path, mutant)
            if (module.path, mutant.before, mutant.after) in equivalent:
                outcome = Outcome.EQUIVALENT
            elif outcome is None:
                limit_s = limit_s or 30.0 + SLOWEST * copy.check(module)
                outcome = copy.outcome(module, mutant.source, limit_s)
                file.add(Result(module.path, mutant, outcome))
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
    parser.add_argument("--per-module", type=int, default=7, help="mutants sampled from each module (default 7)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="modules tested at the same time (default 1)")
    parser.add_argument("--only", default="", help="only modules whose path contains this text")
    parser.add_argument("--results", type=Path, help="file to which results are appended, and which a next run reads")
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
        file, pending = ResultFile(options.results), []
        for module in modules:
            chosen = sample((REPO / module.path).read_text(), options.per_module, f"{options.seed}:{module.path}")
            pending.append(pool.submit(run_module, module, copies, chosen, file))
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
