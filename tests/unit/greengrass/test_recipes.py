"""Tests of the recipe parser: accepted values, and the error of each mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from device_sim.greengrass.errors import PlatformError, RecipeError, VersionError
from device_sim.greengrass.profile import JAVA, LITE, Profile
from device_sim.greengrass.recipe import Platform, Recipe
from device_sim.greengrass.recipe_book import RecipeBook
from device_sim.greengrass.recipes import MAX_BYTES, parse
from device_sim.greengrass.versions import parse_version

PI = Platform("linux", "aarch64")
REPO = Path(__file__).parents[3]


def raw(**changes: Any) -> dict[str, Any]:
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "io.example.One",
        "ComponentVersion": "1.2.3",
        "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": {"run": "true"}}],
    }
    return {key: value for key, value in {**recipe, **changes}.items() if value is not ...}


def manifest(**changes: Any) -> list[dict[str, Any]]:
    return [{"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": {"run": "true"}, **changes}]


def read(recipe: object, profile: Profile = JAVA) -> Recipe:
    text = recipe if isinstance(recipe, str) else yaml.safe_dump(recipe)
    return parse(text.encode(), "r.yaml", profile, PI)


def test_a_recipe_is_read_whole() -> None:
    recipe = read(
        raw(
            ComponentConfiguration={"DefaultConfiguration": {"a": 1}},
            ComponentDependencies={"io.x.Two": {"VersionRequirement": "^1.0.0", "DependencyType": "SOFT"}},
            Manifests=manifest(
                Lifecycle={
                    "Setenv": {"A": "1", "B": "2"},
                    "install": {"Script": "make", "Timeout": 900, "Setenv": {"B": "3"}},
                    "run": "exec it",
                    "shutdown": "bye",
                },
                Artifacts=[{"Uri": "s3://b/p/code.zip", "Unarchive": "ZIP"}, {"URI": "s3://b/model.bin"}],
            ),
        )
    )
    assert (recipe.name, recipe.version, recipe.defaults) == ("io.example.One", parse_version("1.2.3"), {"a": 1})
    assert not recipe.dependencies["io.x.Two"].hard
    assert recipe.steps["install"].timeout == 900
    assert recipe.steps["install"].environment == {"A": "1", "B": "3"}
    assert (recipe.steps["run"].timeout, recipe.steps["shutdown"].timeout) == (None, 15)
    assert [(one.file, one.unzip) for one in recipe.artifacts] == [("code.zip", True), ("model.bin", False)]


def test_lite_keeps_the_text_of_scalars_and_supports_fewer_steps() -> None:
    text = """
RecipeFormatVersion: '2020-01-25'
ComponentName: io.example.One
ComponentVersion: 1.2.3
ComponentConfiguration: {DefaultConfiguration: {i: 1, f: 1.50, b: true, n: null, l: [1, x]}}
Manifests:
  - Platform: {os: linux, runtime: "*"}
    Lifecycle: {install: {Script: make, Timeout: 5}, run: it, shutdown: bye, Startup: no}
"""
    lite, java = read(text, LITE), read(text.replace(", Startup: no", ""))
    assert lite.defaults == {"i": "1", "f": "1.50", "b": "true", "n": "null", "l": ["1", "x"]}
    assert java.defaults == {"i": 1, "f": 1.5, "b": True, "n": None, "l": [1, "x"]}
    assert set(lite.steps) == {"install", "run"}
    assert lite.steps["install"].timeout == 5
    assert set(java.steps) == {"install", "run", "shutdown"}


def test_the_first_manifest_that_fits_this_machine_is_taken() -> None:
    manifests = [
        {"Platform": {"os": "windows"}, "Lifecycle": {"run": "no"}},
        {"Platform": {"os": "linux", "architecture": "amd64"}, "Lifecycle": {"run": "no"}},
        {"Platform": {"os": "*", "architecture": "/arm|aarch64/"}, "Lifecycle": {"run": "yes"}},
        {"Lifecycle": {"run": "no"}},
    ]
    assert read(raw(Manifests=manifests)).steps["run"].script == "yes"
    with pytest.raises(PlatformError, match=r'none is for os linux, architecture aarch64, runtime "\*"'):
        read(raw(Manifests=manifests), LITE)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"RecipeFormatVersion": "2019-01-01"}, r"RecipeFormatVersion: '2019-01-01'; 2020-01-25 is allowed"),
        ({"ComponentName": ...}, "ComponentName: is missing; a text is allowed"),
        ({"ComponentName": "a b"}, "ComponentName: 'a b'; 1 to 128 letters"),
        ({"ComponentName": "../../etc"}, "ComponentName"),
        ({"Manifests": ...}, "Manifests: is missing; a list of one manifest or more is allowed"),
        ({"Manifests": []}, r"Manifests: '\[\]'"),
        ({"Manifests": ["x"]}, r"Manifests\[0\]: 'x'; an object"),
        ({"Manifests": manifest(Platform={"os": "windows"})}, "none is for os linux"),
        ({"Manifests": manifest(Lifecycle={"run": {"Script": ""}})}, r"Lifecycle\.run\.Script: ''; a shell script"),
        ({"Manifests": manifest(Lifecycle={"run": ["x"]})}, r"Lifecycle\.run: "),
        ({"Manifests": manifest(Lifecycle={"run": {"Script": "x", "Timeout": -1}})}, r"run\.Timeout: '-1'; seconds"),
        ({"Manifests": manifest(Lifecycle={"run": {"Script": "x", "Timeout": "soon"}})}, r"run\.Timeout: 'soon'"),
        ({"Manifests": manifest(Lifecycle={"run": "x", "startup": "y"})}, "startup and run, one of them"),
        ({"Manifests": manifest(Lifecycle={"run": "x", "Setenv": {"A": 1}})}, r"Setenv\.A: '1'; text is allowed"),
        ({"Manifests": manifest(Lifecycle={"run": "x", "Setenv": {"A-B": "1"}})}, "Setenv: 'A-B'"),
        ({"Manifests": manifest(Lifecycle={"run": {"Script": "x", "Skipif": "maybe"}})}, r"run\.Skipif: 'maybe'"),
        ({"Manifests": manifest(Artifacts=[{"Uri": "code.zip"}])}, r"Artifacts\[0\]\.Uri: 'code\.zip'; s3://"),
        ({"Manifests": manifest(Artifacts=[{"Uri": "s3://b/.."}])}, r"Artifacts\[0\]\.Uri"),
        (
            {"Manifests": manifest(Artifacts=[{"Uri": "s3://b/x", "Unarchive": "RAR"}])},
            "'RAR'; NONE and ZIP are allowed",
        ),
        ({"ComponentDependencies": {"x": {"DependencyType": "MAYBE"}}}, "'MAYBE'; HARD and SOFT are allowed"),
        ({"ComponentConfiguration": {"DefaultConfiguration": [1]}}, "DefaultConfiguration"),
        (
            {"ComponentConfiguration": {"DefaultConfiguration": {"d": float("nan")}}},
            "DefaultConfiguration: Out of range",
        ),
    ],
)
def test_errors_name_file_key_value_and_allowed_values(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(RecipeError, match=rf"^r\.yaml: .*{where}"):
        read(raw(**changes))


def test_a_bad_version_or_range_is_named() -> None:
    with pytest.raises(VersionError, match=r"r\.yaml: ComponentVersion: '1\.2' is not a version"):
        read(raw(ComponentVersion="1.2"))
    with pytest.raises(
        VersionError, match=r"ComponentDependencies\.x\.VersionRequirement: 'newest' is not a version range"
    ):
        read(raw(ComponentDependencies={"x": {"VersionRequirement": "newest"}}))


@pytest.mark.parametrize(
    "text", ["", "- a list", "a: [", "a: &x [*x]", "\x00", "!!python/object:os.system {}", "? [a]\n: b"]
)
def test_invalid_recipes_are_rejected(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml: "):
        read(text)
    with pytest.raises(RecipeError, match=r"^r\.json: "):
        parse(text.encode(), "r.json", JAVA, PI, is_json=True)


def test_a_recipe_over_sixteen_kilobytes_is_rejected() -> None:
    padded = json.dumps(raw()).encode().ljust(MAX_BYTES + 1)
    with pytest.raises(RecipeError, match=f"{MAX_BYTES + 1} bytes, a recipe is at most {MAX_BYTES}"):
        parse(padded, "r.json", JAVA, PI, is_json=True)
    assert parse(padded[:-1], "r.json", JAVA, PI, is_json=True).name == "io.example.One"


def test_aliases_cannot_make_gigabytes_out_of_a_kilobyte() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    bomb = "ComponentConfiguration:\n  DefaultConfiguration:\n" + "\n".join(f"    {line}" for line in lines)
    with pytest.raises(RecipeError, match="more than 10000 values"):
        read(yaml.safe_dump(raw()) + bomb)


def test_one_broken_recipe_disturbs_no_other_and_is_named_when_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "io.example.One-1.2.3.yaml").write_text(yaml.safe_dump(raw()))
    (tmp_path / "io.example.Two-1.0.0.json").write_text("{")
    (tmp_path / "README.md").write_text("no recipe")
    book = RecipeBook(JAVA, PI)
    assert book.add(tmp_path, None) == 1
    assert list(book.available()) == ["io.example.One"]
    assert book.broken("io.example.One") is None
    assert "is not JSON" in str(book.broken("io.example.Two"))
    with pytest.raises(RecipeError, match="No such file"):
        book.add(tmp_path / "absent", None)


@pytest.mark.parametrize("profile", [JAVA, LITE])
def test_this_repositorys_own_recipes_are_recipes(profile: Profile) -> None:
    book = RecipeBook(profile, PI)
    files = list((REPO / "recipes").glob("*.yaml"))
    assert book.add(REPO / "recipes", None) == len(files) > 0
