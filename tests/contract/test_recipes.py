"""Recipes are consistent with the components' configuration, topics, requirements and READMEs."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_components.common.config import RESERVED, load, table
from edge_components.common.requirements import parse
from edge_components.runtime.main import EXTRA, groups
from strandline import __version__
from wire import topics

REPO = Path(__file__).parents[2]
FOLDERS = {
    "SensorReader": "sensor_reader",
    "Aggregator": "aggregator",
    "AnomalyDetector": "anomaly_detector",
    "Forwarder": "forwarder",
}
RUNTIME = "io.strandline.Runtime"
RECIPES = sorted(path for path in (REPO / "recipes").glob("io.strandline.*.yaml") if path.stem != RUNTIME)
PUBLISH, SUBSCRIBE = "aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"
TO_CORE, FROM_CORE = "aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"
# By the name of the function in wire.topics; lanes can share a rule.
CORE_TOPICS = {
    "ingest": {topics.ingest("GW", lane) for lane in topics.Lane},
    "ack": {topics.ack("GW")},
    "alerts": {topics.alerts("GW")},
}


class Part:
    """One component: its recipe, code and README."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem.removeprefix("io.strandline.")
        self.folder = FOLDERS[self.name]
        self.code = REPO / "edge_components" / self.folder
        self.recipe: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
        self.defaults: dict[str, Any] = self.recipe["ComponentConfiguration"]["DefaultConfiguration"]

    @property
    def config(self) -> Any:
        return importlib.import_module(f"edge_components.{self.folder}.config").Config

    def allowed(self, operation: str) -> set[str]:
        policies = [policy for kind in self.defaults["accessControl"].values() for policy in kind.values()]
        granted = [policy["resources"] for policy in policies if operation in policy["operations"]]
        return {resource.replace("/+/", "/GW/") for resources in granted for resource in resources}

    def mentioned(self) -> set[str]:
        """Return the names of wire.topics that the component's code uses."""
        return {
            node.attr
            for tree in self.trees()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "topics"
        }

    def called_with(self, *methods: str) -> set[str]:
        """Return the names of wire.topics that are the first argument in calls of these methods."""
        found = set()
        for tree in self.trees():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
                    found |= {
                        part.attr
                        for part in ast.walk(node.args[0])
                        if isinstance(part, ast.Attribute)
                        and isinstance(part.value, ast.Name)
                        and part.value.id == "topics"
                    }
        return found

    def acknowledged_on(self) -> set[str]:
        """Return the names of wire.topics on which the component's batch senders receive acknowledgements."""
        return {
            node.args[3].attr
            for tree in self.trees()
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "BatchSender"
            and isinstance(node.args[3], ast.Attribute)
        }

    def trees(self) -> Iterator[ast.Module]:
        for path in sorted(self.code.rglob("*.py")):
            yield _tree(path)


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@pytest.fixture(params=RECIPES, ids=lambda path: path.stem)
def part(request: pytest.FixtureRequest) -> Part:
    return Part(request.param)


def local(names: set[str]) -> set[str]:
    return {getattr(topics, name) for name in names if isinstance(getattr(topics, name), str)}


def test_every_component_has_a_recipe() -> None:
    with_code = {name for name, folder in FOLDERS.items() if (REPO / "edge_components" / folder / "main.py").exists()}
    assert {Part(path).name for path in RECIPES} >= with_code


def test_a_recipe_is_small_enough_and_has_the_name_of_its_file(part: Part) -> None:
    assert part.path.stat().st_size < 16_384
    assert part.recipe["RecipeFormatVersion"] == "2020-01-25"
    assert part.recipe["ComponentName"] == part.path.stem
    assert part.recipe["ComponentVersion"] == __version__
    assert part.recipe["ComponentDescription"].strip()
    assert part.recipe["ComponentPublisher"].strip()


def test_dependencies_are_soft_and_refer_to_existing_components(part: Part) -> None:
    """A HARD dependency is BindsTo on nucleus lite: if a component fails, all that depend on it are stopped."""
    for name, dependency in part.recipe["ComponentDependencies"].items():
        assert name == RUNTIME or name.removeprefix("io.strandline.") in FOLDERS
        assert dependency == {"VersionRequirement": ">=0.1.0 <0.2.0", "DependencyType": "SOFT"}


def test_a_component_depends_on_its_receiver_and_the_shared_environment(part: Part) -> None:
    order = list(FOLDERS)
    after = order[order.index(part.name) + 1 : order.index(part.name) + 2]
    assert list(part.recipe["ComponentDependencies"]) == [*(f"io.strandline.{name}" for name in after), RUNTIME]


def test_the_manifest_is_valid_on_both_nuclei(part: Part) -> None:
    (manifest,) = part.recipe["Manifests"]
    assert manifest["Platform"] == {"os": "linux", "runtime": "*"}
    assert set(manifest["Lifecycle"]) == {"run"}
    uri = f"s3://strandline-artifacts/{part.path.stem}/{__version__}/{part.folder}.zip"
    assert manifest["Artifacts"] == [{"URI": uri, "Unarchive": "ZIP"}]
    # The second path is that of a local deployment on nucleus lite, which does not unzip artifacts.
    paths = f"{{artifacts:decompressedPath}}/{part.folder}:{{artifacts:path}}/{part.folder}"
    script = manifest["Lifecycle"]["run"]["Script"]
    assert shlex.split(script) == [
        *("exec", "env", f"PYTHONPATH={paths}", "python3", "-m", "edge_components.common.launch"),
        *("--runtime", f"{{kernel:rootPath}}/work/{RUNTIME}", f"edge_components.{part.folder}.main"),
    ]
    assert (part.code / "main.py").is_file()
    assert (part.code / "requirements.txt").is_file()
    assert_variables_are_known_and_quoted(script)


def assert_variables_are_known_and_quoted(script: str) -> None:
    """The folder of a gateway may have a space in it; any other brace is an error on nucleus lite."""
    known = {"artifacts:path", "artifacts:decompressedPath", "work:path", "kernel:rootPath", "configuration:/extras"}
    assert set(re.findall(r"{([^}]*)}", script)) <= known
    assert "${" not in script
    spaced = re.sub(r"{[^}]*}", "/a folder", script)
    assert len(shlex.split(spaced)) == len(shlex.split(re.sub(r"{[^}]*}", "/folder", script)))


def test_the_shared_environment_is_created_at_deployment_and_repaired_at_boot() -> None:
    path = REPO / "recipes" / f"{RUNTIME}.yaml"
    recipe = yaml.safe_load(path.read_text())
    assert recipe["ComponentName"] == RUNTIME
    assert recipe["ComponentVersion"] == __version__
    assert "ComponentDependencies" not in recipe
    (manifest,) = recipe["Manifests"]
    assert manifest["Platform"] == {"os": "linux", "runtime": "*"}
    uri = f"s3://strandline-artifacts/{RUNTIME}/{__version__}/runtime.zip"
    assert manifest["Artifacts"] == [{"URI": uri, "Unarchive": "ZIP"}]
    install, run = manifest["Lifecycle"]["install"], manifest["Lifecycle"]["run"]
    assert install["Timeout"] >= 600
    folder = ("cd", "{artifacts:decompressedPath}/runtime", "2>/dev/null", "||", "cd", "{artifacts:path}/runtime", "&&")
    make = (
        "python3",
        "-m",
        "edge_components.runtime.main",
        "--work",
        "{work:path}",
        "--extras",
        "{configuration:/extras}",
    )
    assert shlex.split(install["Script"]) == [*folder, "exec", *make]
    # Nucleus lite restarts a finished component whenever a dependent one starts, and counts the restarts.
    stay = ["while", "[", "-d", "/proc/$PPID", "];", "do", "sleep", "5;", "done"]
    assert shlex.split(run["Script"]) == [*folder, *make, "&&", *stay]
    assert_variables_are_known_and_quoted(run["Script"])


def test_the_recipe_has_every_configuration_key_with_its_default(part: Part) -> None:
    values = {key: value for key, value in part.defaults.items() if key not in RESERVED}
    declared = {field.name: field.metadata["default"] for field in dataclasses.fields(part.config)}
    assert values == declared
    assert load(part.config, part.defaults) == part.config()


def test_scalars_given_as_text_are_accepted(part: Part) -> None:
    """Nucleus lite delivers every scalar as a string."""

    def as_text(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_text(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [as_text(inner) for inner in value]
        return str(value).lower() if isinstance(value, bool) else str(value)

    values = {key: as_text(value) for key, value in part.defaults.items() if key not in RESERVED}
    assert load(part.config, values) == part.config()


@pytest.mark.slow
def test_the_permitted_local_topics_are_those_that_the_code_uses(part: Part) -> None:
    assert part.allowed(PUBLISH) | part.allowed(SUBSCRIBE) == local(part.mentioned()) | {topics.HEALTH}
    assert part.allowed(PUBLISH) >= local(part.called_with("publish")) | {topics.HEALTH}
    assert part.allowed(SUBSCRIBE) == local(part.called_with("subscribe") | part.acknowledged_on())


def test_the_permitted_iot_core_topics_are_those_that_the_code_uses(part: Part) -> None:
    used = [CORE_TOPICS[name] for name in part.mentioned() & CORE_TOPICS.keys()]
    assert part.allowed(TO_CORE) | part.allowed(FROM_CORE) == set().union(*used)
    subscribed = [CORE_TOPICS[name] for name in part.called_with("subscribe_to_iot_core")]
    assert part.allowed(FROM_CORE) == set().union(*subscribed)


def test_permissions_have_descriptions_and_wildcards_only_for_the_gateway(part: Part) -> None:
    """Released versions of nucleus lite do not interpolate {iot:thingName} here; the IoT policy limits the gateway."""
    operations = set()
    for service, kind in part.defaults["accessControl"].items():
        for name, policy in kind.items():
            assert name.startswith(f"{part.path.stem}:")
            assert policy["policyDescription"].strip()
            for resource in policy["resources"]:
                own = resource
                if service == "aws.greengrass.ipc.mqttproxy":
                    own = resource.replace("strandline/v1/+/", "strandline/v1/GW/", 1)
                assert not set(own) & set("*+#{"), resource
            operations |= set(policy["operations"])
    assert operations <= {PUBLISH, SUBSCRIBE, TO_CORE, FROM_CORE}


def test_the_table_in_the_readme_is_the_configuration(part: Part) -> None:
    readme = (part.code / "README.md").read_text()
    shown = readme.partition("<!-- config -->\n")[2].partition("<!-- /config -->")[0]
    assert shown.strip() == table(part.config).strip()


def lines(*files: Path) -> list[str]:
    given = [raw.split("#")[0].strip() for file in files if file.exists() for raw in file.read_text().splitlines()]
    return [line for line in given if line]


def extra() -> list[str]:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    return list(project["optional-dependencies"]["edge"])


def test_the_requirements_are_the_components_part_of_the_edge_extra(part: Part) -> None:
    given = lines(part.code / "requirements.txt", part.code / "requirements-optional.txt")
    needed = {"awsiotsdk", "numpy", *third_party(part)}
    # A package has either all of its lines or none, because some lines apply to other Python versions only.
    assert sorted(given) == sorted(line for line in extra() if package(line) in needed)


def test_the_shared_environment_has_the_requirements_of_all_components() -> None:
    code = REPO / "edge_components"
    for name in ("requirements.txt", "requirements-optional.txt"):
        needed = {line for folder in FOLDERS.values() for line in lines(code / folder / name)}
        assert set(lines(code / "runtime" / name)) == needed
    assert sorted(extra()) == sorted(lines(*(code / "runtime").glob("requirements*.txt")))


@pytest.mark.parametrize("name", groups())
def test_the_packages_of_a_kind_of_source_are_those_of_its_extra(name: str) -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = [line.split(" #")[0] for line in project["optional-dependencies"][name]]
    assert lines(REPO / "edge_components/runtime" / EXTRA.format(name)) == wanted
    defaults = yaml.safe_load((REPO / "recipes" / f"{RUNTIME}.yaml").read_text())["ComponentConfiguration"]
    assert defaults == {"DefaultConfiguration": {"extras": "none"}}


def test_only_tflite_is_optional() -> None:
    optional = lines(REPO / "edge_components/runtime/requirements-optional.txt")
    assert {package(line) for line in optional} == {"tflite-runtime", "ai-edge-litert"}


def test_the_requirements_can_be_read_by_the_install_step(part: Part) -> None:
    for version in ((3, 11), (3, 12), (3, 13)):
        names = [one.name for one in parse((part.code / "requirements.txt").read_text(), version)]
        assert len(names) == len(set(names))
        assert {"awsiotsdk", "numpy"} <= set(names)


def package(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9-]", requirement, maxsplit=1)[0]


def third_party(part: Part) -> set[str]:
    """Return the packages of the edge extra that the component imports."""
    modules = {
        "paho": {"paho-mqtt"},
        "psutil": {"psutil"},
        # The available runtime depends on the Python version.
        "tflite_runtime": {"tflite-runtime", "ai-edge-litert"},
        "ai_edge_litert": {"tflite-runtime", "ai-edge-litert"},
    }
    imported = set()
    for tree in part.trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                imported.add(node.value.split(".")[0])  # a module imported by name
    return set().union(*(modules[name] for name in imported & modules.keys()))
