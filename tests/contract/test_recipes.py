"""Each recipe agrees with the component it starts: configuration, topics, requirements, README."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_components.common import bootstrap
from edge_components.common.config import RESERVED, load, table
from wire import topics

REPO = Path(__file__).parents[2]
FOLDERS = {
    "SensorReader": "sensor_reader",
    "Aggregator": "aggregator",
    "AnomalyDetector": "anomaly_detector",
    "Forwarder": "forwarder",
}
RECIPES = sorted((REPO / "recipes").glob("io.strandline.*.yaml"))
VERSION = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
PUBLISH, SUBSCRIBE = "aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"
TO_CORE, FROM_CORE = "aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"
# By the name under which wire.topics gives it. Lanes share a rule where wire.topics says so.
CORE_TOPICS = {
    "ingest": {topics.ingest("GW", lane) for lane in topics.Lane},
    "ack": {topics.ack("GW")},
    "alerts": {topics.alerts("GW")},
}


class Part:
    """One component: its recipe, its code and its papers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem.removeprefix("io.strandline.")
        self.folder = FOLDERS[self.name]
        self.code = REPO / "edge_components" / self.folder
        self.recipe: dict[str, Any] = yaml.safe_load(path.read_text())
        self.defaults: dict[str, Any] = self.recipe["ComponentConfiguration"]["DefaultConfiguration"]

    @property
    def config(self) -> Any:
        return importlib.import_module(f"edge_components.{self.folder}.config").Config

    def allowed(self, operation: str) -> set[str]:
        policies = [policy for kind in self.defaults["accessControl"].values() for policy in kind.values()]
        granted = [policy["resources"] for policy in policies if operation in policy["operations"]]
        return {resource.replace("/+/", "/GW/") for resources in granted for resource in resources}

    def mentioned(self) -> set[str]:
        """The names of wire.topics that the component's code uses."""
        return {
            node.attr
            for tree in self.trees()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "topics"
        }

    def called_with(self, *methods: str) -> set[str]:
        """The names of wire.topics that stand first in a call of one of these methods of the bus."""
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
        """The names of wire.topics on which the component's batch senders await acknowledgements."""
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
            yield ast.parse(path.read_text(), str(path))


@pytest.fixture(params=RECIPES, ids=lambda path: path.stem)
def part(request: pytest.FixtureRequest) -> Part:
    return Part(request.param)


def local(names: set[str]) -> set[str]:
    return {getattr(topics, name) for name in names if isinstance(getattr(topics, name), str)}


def test_every_component_has_a_recipe() -> None:
    with_code = {name for name, folder in FOLDERS.items() if (REPO / "edge_components" / folder / "main.py").exists()}
    assert {Part(path).name for path in RECIPES} >= with_code


def test_a_recipe_is_small_enough_and_names_itself_as_its_file_does(part: Part) -> None:
    assert part.path.stat().st_size < 16_384
    assert part.recipe["RecipeFormatVersion"] == "2020-01-25"
    assert part.recipe["ComponentName"] == part.path.stem
    assert part.recipe["ComponentVersion"] == VERSION
    assert part.recipe["ComponentDescription"].strip()
    assert part.recipe["ComponentPublisher"].strip()


def test_dependencies_are_soft_and_on_components_that_there_are(part: Part) -> None:
    """A HARD one is BindsTo on nucleus lite: when its component fails, everything upstream is stopped for good."""
    for name, dependency in part.recipe.get("ComponentDependencies", {}).items():
        assert name.removeprefix("io.strandline.") in FOLDERS
        assert dependency == {"VersionRequirement": ">=0.1.0 <0.2.0", "DependencyType": "SOFT"}


def test_receivers_are_started_before_senders(part: Part) -> None:
    order = list(FOLDERS)
    after = order[order.index(part.name) + 1 : order.index(part.name) + 2]
    assert list(part.recipe.get("ComponentDependencies", {})) == [f"io.strandline.{name}" for name in after]


def test_the_manifest_suits_both_kinds_of_nucleus(part: Part) -> None:
    (manifest,) = part.recipe["Manifests"]
    assert manifest["Platform"] == {"os": "linux", "runtime": "*"}
    assert set(manifest["Lifecycle"]) == {"install", "run"}
    uri = f"s3://strandline-artifacts/{part.path.stem}/{VERSION}/{part.folder}.zip"
    assert manifest["Artifacts"] == [{"URI": uri, "Unarchive": "ZIP"}]
    root = f"{{artifacts:decompressedPath}}/{part.folder}"
    install, run = manifest["Lifecycle"]["install"], manifest["Lifecycle"]["run"]
    requirements = f"edge_components/{part.folder}/requirements.txt"
    assert install["Script"].split() == [
        *("cd", root, "&&", "python3", "-m", "edge_components.common.bootstrap"),
        *("--requirements", requirements, "--work", "{work:path}"),
    ]
    assert (REPO / requirements).is_file()
    assert install["Timeout"] >= 600
    module = f"edge_components.{part.folder}.main"
    assert run["Script"].split() == ["exec", "env", f"PYTHONPATH={root}", "{work:path}/python", "-m", module]
    known = {"artifacts:decompressedPath", "work:path"}
    assert set(re.findall(r"{([^}]*)}", install["Script"] + run["Script"])) <= known
    assert "${" not in install["Script"] + run["Script"]


def test_the_recipe_s_configuration_is_every_key_with_its_default(part: Part) -> None:
    values = {key: value for key, value in part.defaults.items() if key not in RESERVED}
    declared = {name: field.metadata["default"] for name, field in part.config.__dataclass_fields__.items()}
    assert values == declared
    assert load(part.config, part.defaults) == part.config()


def test_scalars_that_arrive_as_text_are_read_the_same(part: Part) -> None:
    """Nucleus lite hands every scalar over as a string."""

    def as_text(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_text(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [as_text(inner) for inner in value]
        return str(value).lower() if isinstance(value, bool) else str(value)

    values = {key: as_text(value) for key, value in part.defaults.items() if key not in RESERVED}
    assert load(part.config, values) == part.config()


def test_local_topics_that_are_allowed_are_those_that_the_code_uses(part: Part) -> None:
    assert part.allowed(PUBLISH) | part.allowed(SUBSCRIBE) == local(part.mentioned()) | {topics.HEALTH}
    assert part.allowed(PUBLISH) >= local(part.called_with("publish")) | {topics.HEALTH}
    assert part.allowed(SUBSCRIBE) == local(part.called_with("subscribe") | part.acknowledged_on())


def test_iot_core_topics_that_are_allowed_are_those_that_the_code_uses(part: Part) -> None:
    used = [CORE_TOPICS[name] for name in part.mentioned() & CORE_TOPICS.keys()]
    assert part.allowed(TO_CORE) | part.allowed(FROM_CORE) == set().union(*used)
    heard = [CORE_TOPICS[name] for name in part.called_with("subscribe_to_iot_core")]
    assert part.allowed(FROM_CORE) == set().union(*heard)


def test_no_permission_has_a_wildcard_but_for_the_gateway_and_each_has_a_description(part: Part) -> None:
    """No released nucleus lite interpolates {iot:thingName} here; the IoT policy confines the gateway to its name."""
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


def test_the_readme_s_table_is_the_configuration(part: Part) -> None:
    readme = (part.code / "README.md").read_text()
    shown = readme.partition("<!-- config -->\n")[2].partition("<!-- /config -->")[0]
    assert shown.strip() == table(part.config).strip()


def test_the_requirements_are_the_component_s_share_of_the_edge_extra(part: Part) -> None:
    extra = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]["edge"]
    given = (part.code / "requirements.txt").read_text()
    lines = [line for line in (raw.split("#")[0].strip() for raw in given.splitlines()) if line]
    assert set(lines) <= set(extra)
    needed = {"awsiotsdk", "numpy", *third_party(part)}
    # The one that this Python does not take is needed on another: a package stands with all its lines or with none.
    assert sorted(lines) == sorted(line for line in extra if package(line) in needed)


def test_the_requirements_can_be_read_by_the_install_step(part: Part) -> None:
    bootstrap.missing((part.code / "requirements.txt").read_text())


def package(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9-]", requirement, maxsplit=1)[0]


def third_party(part: Part) -> set[str]:
    """The packages of the edge extra that the component imports itself."""
    modules = {
        "paho": {"paho-mqtt"},
        "psutil": {"psutil"},
        # Either runtime will do; which, is a matter of the Python.
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
                imported.add(node.value.split(".")[0])  # a module that is imported by name
    return set().union(*(modules[name] for name in imported & modules.keys()))
