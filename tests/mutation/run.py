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
import hashlib
import json
import shutil
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutation.mutants import Mutant, sample
from tests.mutation.worker import COPIED, PASSED, Change, run_group

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md")
GOAL = 0.95


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


def copy_repository(folder: Path) -> None:
    """Copy the code and the tests, so that both may be edited during a run."""
    ignored = shutil.ignore_patterns(".hypothesis", "node_modules", "dist")
    for name in COPIED:
        shutil.copytree(REPO / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(REPO / name, folder / name)


def run_tests(folder: Path, tests: tuple[str, ...], chosen: list[Change], file: ResultFile) -> list[Result]:
    """Run tests of a group against its mutants, but those that are known."""
    equivalent, results, changes = read_equivalent(), [], []
    for change in chosen:
        outcome = file.known(change.path, change.mutant)
        if (change.path, change.mutant.before, change.mutant.after) in equivalent:
            outcome = Outcome.EQUIVALENT
        if outcome is None:
            changes.append(change)
        else:
            results.append(Result(change.path, change.mutant, outcome))
    for index, status in run_group(folder, tests, changes) if changes else ():
        outcome = Outcome.SURVIVED if status == PASSED else Outcome.KILLED if status > 0 else Outcome.TIMEOUT
        result = Result(changes[index].path, changes[index].mutant, outcome)
        file.add(result)
        results.append(result)
        if outcome is Outcome.SURVIVED:
            _print(f"{result.path}:{result.mutant.line}\n  - {result.mutant.before}\n  + {result.mutant.after}")
    return results


def score(results: list[Result]) -> float:
    """Return the fraction of detected mutants, without equivalent ones; 1 without mutants."""
    counted = [one for one in results if one.outcome is not Outcome.EQUIVALENT]
    return sum(one.outcome is not Outcome.SURVIVED for one in counted) / len(counted) if counted else 1.0


def main() -> int:
    """Read the command line, test the modules and print the score of each."""
    parser = argparse.ArgumentParser(description="Mutation test of the critical modules.")
    parser.add_argument("--per-module", type=int, default=7, help="mutants sampled from each module (default 7)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="groups of modules tested at the same time (default 1)")
    parser.add_argument("--only", default="", help="only modules whose path contains this text")
    parser.add_argument("--results", type=Path, help="file to which results are appended, and which a next run reads")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args()
    modules = read_modules(options.only)
    groups: dict[tuple[str, ...], list[Change]] = {}
    for module in modules:
        source = (REPO / module.path).read_text()
        chosen = sample(source, options.per_module, f"{options.seed}:{module.path}")
        groups.setdefault(module.tests, []).extend(Change(module.path, source, mutant) for mutant in chosen)
    with tempfile.TemporaryDirectory(prefix="mutation-") as name, ThreadPoolExecutor(options.jobs) as pool:
        folder, file = Path(name).resolve(), ResultFile(options.results)
        copy_repository(folder)
        pending = [pool.submit(run_tests, folder, tests, chosen, file) for tests, chosen in groups.items()]
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
