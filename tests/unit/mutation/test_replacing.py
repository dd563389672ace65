"""Functions of a running process are replaced by those of a mutant, and the executed lines are recorded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.replacing import Functions, LineTracer, import_from, statement_lines

SOURCE = '''"""A module."""
from functools import cache

LIMIT = 3


@cache
def cached(a):
    return a + 1


class Account:
    """An account."""

    @property
    def balance(self):
        return sum(
            n
            for n in (1, 2)
        )

    def other(self, a=1):
        if a:
            return super().__str__()
        return ""
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "replaced_module.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("replaced_module")
    del sys.modules["replaced_module"]


def _file(module: ModuleType) -> str:
    assert module.__file__ is not None
    return module.__file__


@pytest.mark.parametrize(
    ("line", "before", "after"), [(9, "a + 1", "a - 1"), (17, "n\n            for", "-n\n            for")]
)
def test_the_code_of_a_wrapped_function_and_of_a_property_is_replaced(
    module: ModuleType, line: int, before: str, after: str
) -> None:
    account = module.Account()
    replace = Functions({_file(module)}).replacement(_file(module), SOURCE.replace(before, after), line)
    assert replace is not None
    assert (module.cached(5), account.balance) == (6, 3)
    module.cached.cache_clear()
    replace()
    assert (module.cached(5), account.balance) == ((4, 3) if line == 9 else (6, -3))


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [
        (4, "LIMIT = 3", "LIMIT = 4"),
        (22, "a=1", "a=2"),
        (24, "return super().__str__()", "return None"),
    ],
)
def test_code_that_runs_at_import_or_has_other_variables_is_not_replaced(
    module: ModuleType, line: int, before: str, after: str
) -> None:
    assert Functions({_file(module)}).replacement(_file(module), SOURCE.replace(before, after), line) is None


def test_the_lines_of_a_statement_begin_at_the_innermost_one() -> None:
    assert statement_lines(SOURCE, 19) == {17, 18, 19}
    assert statement_lines(SOURCE, 23) == {23}
    assert statement_lines(SOURCE, 24) == {24}


def test_only_the_lines_of_the_files_are_recorded(module: ModuleType) -> None:
    tracer = LineTracer({_file(module)})
    tracer.start()
    module.Account().other(0)
    statement_lines(SOURCE, 3)
    assert tracer.stop() == {_file(module): {22, 23, 25}}
    tracer.start()
    assert tracer.stop() == {_file(module): set()}


def test_a_module_is_imported_from_another_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SourceFileLoader, "get_code", SourceFileLoader.get_code)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("imported_module", "imported_as_it_is"):
        (tmp_path / f"{name}.py").write_text("LIMIT = 3\n")
    import_from({str(tmp_path / "imported_module.py"): "LIMIT = 4\n"})
    assert import_module("imported_module").LIMIT == 4
    assert import_module("imported_as_it_is").LIMIT == 3
    for name in ("imported_module", "imported_as_it_is"):
        del sys.modules[name]
