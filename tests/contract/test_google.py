"""The Terraform file and the functions of Google Cloud agree."""

from __future__ import annotations

import re

from cloud_functions.core.channels import ChannelType
from tests.conftest import HERE

FOLDER = HERE.parent / "cloud_functions" / "google"
TERRAFORM = (FOLDER / "main.tf").read_text()
MAIN = (FOLDER / "main.py").read_text()


def test_the_deployment_has_a_function_for_each_entry_point() -> None:
    entry_points = set(re.findall(r"@functions_framework\.http\ndef (\w+)", MAIN))
    (pushed,) = re.findall(r"pushed\s+= toset\(\[(.*)\]\)", TERRAFORM)
    (scheduled,) = re.findall(r"scheduled\s+= \{(.*)\}", TERRAFORM)
    named = set(re.findall(r'"(\w+)"', pushed)) | set(re.findall(r"(\w+) =", scheduled)) | {"api"}
    assert entry_points == named


def test_the_functions_have_the_settings_that_they_read() -> None:
    body = TERRAFORM[TERRAFORM.index("environment_variables = {") :]
    given = set(re.findall(r"^ +([A-Z_]+) += ", body[: body.index("}\n")], re.MULTILINE))
    required = set(re.findall(r'settings\.text\("([A-Z_]+)"\)', MAIN))
    assert required - {"MQTT_KEY_FILE"} <= given


def test_each_type_of_channel_has_a_topic_and_tables_have_the_families_of_the_adapter() -> None:
    (channels,) = re.findall(r"channels\s+= toset\(\[(.*)\]\)", TERRAFORM)
    assert set(re.findall(r'"(\w+)"', channels)) == {str(kind) for kind in ChannelType}
    table = TERRAFORM[TERRAFORM.index('resource "google_bigtable_table"') :]
    assert re.findall(r'family = "(\w)"', table[: table.index("\n}\n")]) == ["p", "x", "c"]
    assert re.findall(r'column_family = "(\w)"', TERRAFORM) == ["x"]


def test_the_identity_of_the_functions_has_roles_of_data_only() -> None:
    roles = re.findall(r'role\s+= "(roles/[\w.]+)"\n\s+member\s+= google_service_account\.functions', TERRAFORM)
    assert set(roles) == {
        "roles/bigtable.user",
        "roles/pubsub.publisher",
        "roles/secretmanager.secretAccessor",
        "roles/storage.objectUser",
    }
    assert TERRAFORM.count('"allUsers"') == 1
