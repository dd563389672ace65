"""Executed lines, and replacement of a module's code in a running process."""

from __future__ import annotations

import ast
import gc
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.machinery import SourceFileLoader
from types import CodeType, FrameType, FunctionType
from typing import Any

Lines = dict[str, set[int]]
"""Numbers of lines by file."""


class LineTracer:
    """Record the lines of some files that are executed between ``start`` and ``stop``, in all threads."""

    def __init__(self, files: set[str]) -> None:
        self._lines: Lines = {file: set() for file in files}

    def start(self) -> None:
        """Forget the recorded lines and record new ones."""
        for lines in self._lines.values():
            lines.clear()
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> Lines:
        """Return the recorded lines."""
        sys.settrace(None)
        threading.settrace(None)
        return {file: set(lines) for file, lines in self._lines.items()}

    def _call(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        lines = self._lines.get(frame.f_code.co_filename)
        if lines is None:
            return None
        lines.add(frame.f_lineno)

        def local(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any]:
            lines.add(frame.f_lineno)
            return local

        return local


def statement_lines(source: str, line: int) -> set[int]:
    """Return the lines from the begin of the innermost statement that holds a line to that line."""
    begins = [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt) and node.lineno <= line]
    return set(range(max(begins), line + 1))


class Functions:
    """Functions and methods of some files in this process."""

    def __init__(self, files: set[str]) -> None:
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = {}
        for found in gc.get_objects():
            if isinstance(found, FunctionType) and found.__code__.co_filename in files:
                self._functions.setdefault(_key(found.__code__), []).append(found)

    def replacement(self, file: str, source: str, line: int) -> Callable[[], None] | None:
        """Return a call that replaces the outermost function whose body holds a line by that of another source.

        None if there is no such function, or if it needs other variables of its surroundings.
        """
        for code in _codes(compile(source, file, "exec", dont_inherit=True)):
            functions = self._functions.get(_key(code), [])
            if functions and line in _body(source, code):
                same = all(function.__code__.co_freevars == code.co_freevars for function in functions)
                return partial(_set_code, functions, code) if same else None
        return None


def import_from(sources: Mapping[str, str]) -> None:
    """Import the given files from other sources in this process."""
    original = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        source = sources.get(loader.path)
        return original(loader, name) if source is None else compile(source, loader.path, "exec", dont_inherit=True)

    SourceFileLoader.get_code = get_code  # type: ignore[assignment]


def _key(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _set_code(functions: list[FunctionType], code: CodeType) -> None:
    for function in functions:
        function.__code__ = code


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code objects within one, outer ones first."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _body(source: str, code: CodeType) -> range:
    """Return the lines of a function's body, empty for a class."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = min(one.lineno for one in (node, *node.decorator_list))
            if first == code.co_firstlineno:
                assert node.end_lineno is not None
                return range(node.body[0].lineno, node.end_lineno + 1)
    return range(0)
