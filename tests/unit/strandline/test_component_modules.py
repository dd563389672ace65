"""A component's artifact contains the modules that its programs can import, and no others."""

from __future__ import annotations

import ast
import functools
import re
import zipfile
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from device_sim.greengrass.component_build import Built, Nucleus
from device_sim.imports import SourceTree
from device_sim.paths import SOURCE_TREE
from strandline.packaging.components import build_here

COMPONENTS = sorted(path.stem for path in (SOURCE_TREE / "recipes").glob("*.yaml"))
STARTED_BY_NAME = re.compile(r'"-m", "(edge_components[\w.]+)"')
"""A program that a component starts with ``python -m``."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_here(tmp_path_factory.mktemp("build"), Nucleus.JAVA)


def _modules(folder: Path) -> set[str]:
    names = (path.relative_to(folder).with_suffix("").as_posix().replace("/", ".") for path in folder.rglob("*.py"))
    return {name.removesuffix(".__init__") for name in names}


def _unpacked(built: Built, component: str, folder: Path) -> Path:
    artifact = next(one.artifact for one in built.components if one.name == component)
    with zipfile.ZipFile(artifact) as packed:
        packed.extractall(folder)
    return folder


def _importable(folder: Path, programs: set[str]) -> set[str]:
    """Return the modules that the standard library's finder reaches from programs, and from those that they start."""
    finder = ModuleFinder(path=[str(folder)])
    waiting = [*programs]
    # The finder does not follow modules that a component lists with pkgutil.
    for listing in folder.rglob("*.py"):
        for package in set(re.findall(r"\bdiscovery\.\w+\((\w+)", listing.read_text())):
            dotted = _package(listing, package)
            modules = {one.stem for one in folder.joinpath(*dotted.split(".")).glob("*.py")} - {"__init__"}
            waiting += [f"{dotted}.{module}" for module in modules]
    while waiting:
        name = waiting.pop()
        finder.import_hook(name)
        for module in list(finder.modules.values()):
            file, is_package = getattr(module, "__file__", None), bool(getattr(module, "__path__", None))
            if file and not is_package:
                started = STARTED_BY_NAME.findall(Path(file).read_text())
                waiting += [one for one in started if one not in finder.modules]
    return {name for name in finder.modules if name.split(".")[0] in ("wire", "edge_components")}


def _package(listing: Path, package: str) -> str:
    """Return the dotted name of a package that is imported in a file."""
    for node in ast.walk(ast.parse(listing.read_text())):
        if isinstance(node, ast.ImportFrom) and package in [alias.name for alias in node.names]:
            return f"{node.module}.{package}"
    raise AssertionError(f"{listing}: {package} is not imported")


@functools.cache
def _imports(source: str) -> frozenset[str]:
    """Return the modules of the project from which a module imports names; components share most modules."""
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))
    return frozenset(
        str(node.module) for node in nodes if str(node.module).split(".")[0] in ("wire", "edge_components")
    )


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS)
def test_an_artifact_contains_exactly_the_modules_that_its_programs_can_import(
    built: Built, component: str, tmp_path: Path
) -> None:
    folder = _unpacked(built, component, tmp_path)
    recipe = (SOURCE_TREE / "recipes" / f"{component}.yaml").read_text()
    programs = set(re.findall(r"edge_components(?:\.\w+)+", recipe))
    reached = _importable(folder, programs)
    assert programs <= reached
    assert _modules(folder) == reached


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS)
def test_every_import_in_an_artifact_is_in_it(built: Built, component: str, tmp_path: Path) -> None:
    folder = _unpacked(built, component, tmp_path)
    modules = _modules(folder)
    for path in folder.rglob("*.py"):
        for imported in _imports(path.read_text()):
            assert imported in modules, f"{path.relative_to(folder)} imports {imported}"


@pytest.mark.slow
def test_offline_tools_are_in_no_artifact(built: Built, tmp_path: Path) -> None:
    for component in COMPONENTS:
        names = _modules(_unpacked(built, component, tmp_path / component))
        assert not [name for name in names if name.startswith("strandline") or name == "wire.size_breakdown"]


def _tree(root: Path, files: dict[str, str]) -> SourceTree:
    for name, content in files.items():
        path = root / "edge_components" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        (path.parent / "__init__.py").touch()
    (root / "edge_components" / "__init__.py").touch()
    return SourceTree(root)


def test_imports_within_functions_and_programs_started_by_name_are_followed(tmp_path: Path) -> None:
    tree = _tree(
        tmp_path,
        {
            "thing/main.py": "def run():\n    from edge_components.thing import late\n",
            "thing/late.py": "command = ['python', '-m', 'edge_components.thing.child']\n",
            "thing/child.py": "",
            "thing/unused.py": "text = 'see edge_components.thing.unused for more'\n",
        },
    )
    assert [*tree.reachable(["edge_components.thing.main"])] == [
        "edge_components",
        "edge_components.thing",
        "edge_components.thing.child",
        "edge_components.thing.late",
        "edge_components.thing.main",
    ]


def test_installed_packages_beside_the_sources_are_not_included(tmp_path: Path) -> None:
    tree = _tree(tmp_path, {"thing/main.py": "import numpy\n"})
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").touch()
    assert "numpy" not in tree.reachable(["edge_components.thing.main"])


def test_all_modules_of_listed_packages_are_included(tmp_path: Path) -> None:
    tree = _tree(
        tmp_path,
        {
            "thing/main.py": "from edge_components.thing import kinds, listing\nimport edge_components.thing.more.a\n",
            "thing/listing.py": "import pkgutil\n",
            "thing/kinds/one.py": "",
            "thing/more/a.py": "",
            "thing/more/b.py": "",
        },
    )
    found = tree.reachable(["edge_components.thing.main"])
    assert "edge_components.thing.kinds.one" in found
    assert "edge_components.thing.more.b" not in found
