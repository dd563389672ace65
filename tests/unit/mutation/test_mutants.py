"""Mutants of a module's source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.mutants import mutants, sample
from tests.mutation.run import REPO, Outcome, Result, ResultFile, read_equivalent, read_modules

SOURCE = '''"""A module."""


def f(a: int = 1) -> int:
    """Return something."""
    if a < 2 and not a:
        a += 1
    return min(a, 3)
'''


def test_each_kind_of_change_is_made_once_and_annotations_stay() -> None:
    found = mutants(SOURCE)
    assert len({one.source for one in found}) == len(found)
    changes = {(one.line, one.after) for one in found}
    assert changes == {
        (4, "def f(a: int = 2) -> int:"),
        (6, "if not (a < 2 and not a):"),
        (6, "if ((a < 2) or (not a)):"),
        (6, "if ((a < 2)):"),
        (6, "if ((not a)):"),
        (6, "if (a <= 2) and not a:"),
        (6, "if (a >= 2) and not a:"),
        (6, "if a < 3 and not a:"),
        (6, "if a < 2 and (a):"),
        (7, "pass"),
        (7, "a += 2"),
        (8, "return None"),
        (8, "return max(a, 3)"),
        (8, "return min(a, 4)"),
    }


def test_each_operator_of_a_chained_comparison_is_changed() -> None:
    changes = {mutant.after for mutant in mutants("x = a <= b < c\n")}
    assert changes == {"x = (a < b < c)", "x = (a > b < c)", "x = (a <= b <= c)", "x = (a <= b >= c)"}


def test_killed_mutants_are_read_from_the_result_file_and_survivors_are_not(tmp_path: Path) -> None:
    path, (first, second, third, *_) = tmp_path / "results.jsonl", mutants(SOURCE)
    file = ResultFile(path)
    file.add(Result("a.py", first, Outcome.KILLED))
    file.add(Result("a.py", second, Outcome.SURVIVED))
    file.add(Result("a.py", third, Outcome.SURVIVED))
    file.add(Result("a.py", third, Outcome.KILLED))
    again = ResultFile(path)
    assert [again.known("a.py", mutant) for mutant in (first, second, third)] == [
        Outcome.KILLED,
        None,
        Outcome.KILLED,
    ]
    assert again.known("b.py", first) is None


def test_a_statement_that_is_split_over_lines_and_bytes_beyond_ascii_are_replaced_where_they_are() -> None:
    (mutant, *_) = mutants('x = "ä€"; y = (\n    1\n)\n')
    assert mutant.source == 'x = "ä€"; y = (\n    2\n)\n'


@pytest.mark.parametrize("count", [3, 100])
def test_a_sample_is_the_same_for_the_same_seed(count: int) -> None:
    first, again, other = (sample(SOURCE, count, seed) for seed in ("1", "1", "2"))
    assert first == again
    assert len(first) == min(count, len(mutants(SOURCE)))
    assert (first != other) == (count == 3)


def test_every_listed_module_and_test_exists() -> None:
    modules = read_modules("")
    missing = [module.path for module in modules if not (REPO / module.path).is_file()]
    missing += [name for module in modules for name in module.tests if not (REPO / "tests" / name).exists()]
    assert missing == []
    lines = {module.path: (REPO / module.path).read_text() for module in modules}
    assert [entry for entry in read_equivalent() if entry[1] not in lines[entry[0]]] == []
