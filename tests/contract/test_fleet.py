"""Contract between the fleet's deployment and the recipes: each component, in the version of its recipe."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.contract.test_template import CLOUD_FUNCTIONS, REPO, _Loader

FLEET: dict[str, Any] = yaml.load((CLOUD_FUNCTIONS / "fleet.yaml").read_text(), _Loader)  # noqa: S506 - a SafeLoader
RECIPES = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in (REPO / "recipes").glob("*.yaml")]


def test_the_deployment_has_every_component_in_the_version_of_its_recipe() -> None:
    components = FLEET["Resources"]["Deployment"]["Properties"]["Components"]
    deployed = {
        name: FLEET["Parameters"][component["ComponentVersion"]["Ref"]]["Default"]
        for name, component in components.items()
    }
    assert deployed == {str(recipe["ComponentName"]): str(recipe["ComponentVersion"]) for recipe in RECIPES}


def test_a_gateway_that_fails_rolls_back_and_many_that_fail_end_the_deployment() -> None:
    properties = FLEET["Resources"]["Deployment"]["Properties"]
    assert properties["DeploymentPolicies"]["FailureHandlingPolicy"] == "ROLLBACK"
    (criterion,) = properties["IotJobConfiguration"]["AbortConfig"]["CriteriaList"]
    assert (criterion["Action"], criterion["FailureType"]) == ("CANCEL", "ALL")
    assert 0 < criterion["ThresholdPercentage"] <= 20


def test_the_defaults_are_json_and_the_group_of_the_provisioning() -> None:
    assert json.loads(FLEET["Parameters"]["SensorReaderConfiguration"]["Default"]) == {}
    source = (REPO / "strandline" / "commands" / "gateway.py").read_text()
    assert f'"{FLEET["Parameters"]["ThingGroupName"]["Default"]}"' in source
