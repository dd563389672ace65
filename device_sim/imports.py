"""Static import analysis: the modules of a source tree that a program can import, and the installed packages.

An import anywhere in a module counts, also inside a function, and so does a text that is the name of a module, since
such a module is started with ``python -m``. A module that lists packages with ``pkgutil``, itself or through a module
that it imports, reaches all modules of the packages that it imports as objects. Imports for type checkers count only
where ``checked`` is True.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("wire", "edge_components")
MODULE_NAME = re.compile(rf"\b(?:{'|'.join(PACKAGES)})(?:\.\w+)+")


@dataclass(frozen=True, slots=True)
class _Module:
    """Names in a module: the dotted names it may import, and those among them that it imports as objects."""

    imports: frozenset[str]
    objects: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """Return the top-level names of everything that it may import."""
        return frozenset(name.split(".")[0] for name in self.imports)


class SourceTree:
    """Modules of ``packages`` in a source tree that does not change meanwhile; each is found and parsed once."""

    def __init__(self, root: Path, packages: Sequence[str] = PACKAGES, *, checked: bool = True) -> None:
        self.root, self._packages, self._checked = root, tuple(packages), checked
        self._parsed: dict[str, _Module] = {}
        self._imports: dict[str, tuple[str, ...]] = {}
        self._files: dict[str, Path | None] = {}

    def file(self, module: str) -> Path | None:
        """Return the file of a module or package, None if it is not a module of the packages."""
        if module.split(".")[0] not in self._packages:
            return None
        if module not in self._files:
            path = self.root.joinpath(*module.split("."))
            candidates = (path / "__init__.py", path.with_suffix(".py"))
            self._files[module] = next((candidate for candidate in candidates if candidate.is_file()), None)
        return self._files[module]

    def reachable(self, entries: Iterable[str]) -> dict[str, Path]:
        """Return name and file of every module that the entry modules can import; unknown names are ignored."""
        found: dict[str, Path] = {}
        waiting = list(entries)
        while waiting:
            name = waiting.pop()
            file = self.file(name)
            if name in found or file is None:
                continue
            found[name] = file
            if name not in self._imports:
                self._imports[name] = tuple(self._imported(name, file))
            waiting += [name.rpartition(".")[0], *self._imports[name]]
        return dict(sorted(found.items()))

    def installed(self, entries: Iterable[str]) -> set[str]:
        """Return the top-level names of the installed packages that the entry modules can import."""
        names = {name for module, file in self.reachable(entries).items() for name in self._parse(module, file).names}
        return names - set(self._packages) - sys.stdlib_module_names

    def _imported(self, name: str, file: Path) -> Iterator[str]:
        module = self._parse(name, file)
        yield from module.imports
        if any(self._lists_packages(imported) for imported in (name, *module.imports)):
            for package in module.objects:
                folder = self.root.joinpath(*package.split("."))
                if folder.is_dir():
                    yield from (f"{package}.{path.stem}" for path in folder.glob("*.py"))

    def _lists_packages(self, name: str) -> bool:
        file = self.file(name)
        return file is not None and "pkgutil" in self._parse(name, file).imports

    def _parse(self, name: str, file: Path) -> _Module:
        if name not in self._parsed:
            self._parsed[name] = _names(file.read_bytes(), checked=self._checked)
        return self._parsed[name]


@functools.cache
def _names(source: bytes, *, checked: bool) -> _Module:
    """Return the names in a module's source; a process parses a source once, also for several trees."""
    imports: set[str] = set()
    objects: set[str] = set()
    for node in _nodes(ast.parse(source), checked=checked):
        match node:
            case ast.Import(names=aliases):
                objects.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(package), names=aliases, level=0):
                imports.add(package)
                objects.update(f"{package}.{alias.name}" for alias in aliases)
            case ast.Constant(value=str(text)) if MODULE_NAME.fullmatch(text):
                imports.add(text)
    return _Module(frozenset(imports | objects), frozenset(objects))


def _nodes(node: ast.AST, *, checked: bool) -> Iterator[ast.AST]:
    """Yield a node and all below it; without ``checked`` leave out the body of ``if TYPE_CHECKING``."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and not checked and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _nodes(other, checked=checked)
        else:
            yield from _nodes(child, checked=checked)
