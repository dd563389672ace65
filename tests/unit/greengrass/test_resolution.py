"""Tests of dependency resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from device_sim.greengrass.errors import DependencyCycleError, DependencyError, MissingDependencyError
from device_sim.greengrass.recipe import RecipeDependency
from device_sim.greengrass.resolution import resolve
from device_sim.greengrass.versions import Version, parse_range, parse_version


@dataclass(frozen=True)
class Component:
    name: str
    version: Version
    dependencies: Mapping[str, RecipeDependency] = field(default_factory=dict)


def shelf(*components: tuple[str, str, dict[str, str]]) -> dict[str, list[Component]]:
    there: dict[str, list[Component]] = {}
    for name, version, needs in components:
        wants = {other: RecipeDependency(parse_range(versions), hard=True) for other, versions in needs.items()}
        there.setdefault(name, []).append(Component(name, parse_version(version), wants))
    return there


def run(roots: dict[str, str], there: dict[str, list[Component]], **provided: str) -> list[str]:
    wanted = {name: parse_version(version) for name, version in roots.items()}
    own = {name: parse_version(version) for name, version in provided.items()}
    return [f"{one.name}={one.version}" for one in resolve(wanted, there, own).values()]


def test_dependencies_are_first_and_in_their_newest_matching_version() -> None:
    there = shelf(("A", "1.0.0", {"B": "^1.0.0"}), ("B", "1.0.0", {}), ("B", "1.4.0", {}), ("B", "2.0.0", {}))
    assert run({"A": "1.0.0"}, there) == ["B=1.4.0", "A=1.0.0"]


def test_an_older_version_is_taken_when_the_newest_cannot_be_met() -> None:
    there = shelf(
        ("A", "1.0.0", {"B": "*", "C": "*"}),
        ("B", "2.0.0", {"C": ">=2.0.0"}),
        ("B", "1.0.0", {"C": "*"}),
        ("C", "1.0.0", {}),
    )
    assert run({"A": "1.0.0"}, there) == ["C=1.0.0", "B=1.0.0", "A=1.0.0"]


def test_a_range_found_later_constrains_the_selected_version() -> None:
    there = shelf(
        ("A", "1.0.0", {"B": "*", "C": "*"}), ("B", "2.0.0", {}), ("B", "1.0.0", {}), ("C", "1.0.0", {"B": "^1.0.0"})
    )
    assert run({"A": "1.0.0"}, there) == ["B=1.0.0", "C=1.0.0", "A=1.0.0"]


def test_the_error_for_a_missing_dependency_names_its_dependants() -> None:
    with pytest.raises(MissingDependencyError, match=r"B: A 1\.0\.0 asks for \^2\.0\.0, the recipes give 1\.0\.0"):
        run({"A": "1.0.0"}, shelf(("A", "1.0.0", {"B": "^2.0.0"}), ("B", "1.0.0", {})))
    with pytest.raises(
        MissingDependencyError, match=r"A: the deployment asks for 1\.0\.0, the recipes give no version"
    ):
        run({"A": "1.0.0"}, {})


def test_components_with_conflicting_requirements_are_named() -> None:
    there = shelf(
        ("A", "1.0.0", {"C": "^1.0.0"}), ("B", "1.0.0", {"C": "^2.0.0"}), ("C", "1.0.0", {}), ("C", "2.0.0", {})
    )
    with pytest.raises(DependencyError, match=r"C: A 1\.0\.0 asks for \^1\.0\.0, B 1\.0\.0 asks for \^2\.0\.0"):
        run({"A": "1.0.0", "B": "1.0.0"}, there)


def test_a_cycle_is_named_and_a_component_may_not_need_itself() -> None:
    there = shelf(("A", "1.0.0", {"B": "*"}), ("B", "1.0.0", {"C": "*"}), ("C", "1.0.0", {"B": "*"}))
    with pytest.raises(DependencyCycleError, match=r"B -> C -> B$"):
        run({"A": "1.0.0"}, there)
    with pytest.raises(DependencyCycleError, match=r"A -> A$"):
        run({"A": "1.0.0"}, shelf(("A", "1.0.0", {"A": "*"})))


def test_nucleus_fulfils_dependencies_on_itself() -> None:
    there = shelf(("A", "1.0.0", {"Nucleus": ">=2.0.0"}))
    assert run({"A": "1.0.0"}, there, Nucleus="2.5.0") == ["A=1.0.0"]
    with pytest.raises(DependencyError, match=r"Nucleus: A 1\.0\.0 asks for >=2\.0\.0, 1\.0\.0 is chosen"):
        run({"A": "1.0.0"}, there, Nucleus="1.0.0")
