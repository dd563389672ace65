"""Tests of the publication of components: once each, never changed under the same version, and waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from device_sim.greengrass.component_build import Built, BuiltComponent, Nucleus
from strandline.aws.publishing import publish, recipe_of, shell
from strandline.errors import AccountError, CommandError

KEY = "io.strandline.Thing/1.2.3/thing.zip"
ARN = "arn:aws:greengrass:us-east-1:123456789012:components:io.strandline.Thing:versions:1.2.3"


class Account:
    """Stubbed clients: each request is compared with the expected one, by botocore's own models."""

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {
            name: boto3.client(
                name,
                region_name="us-east-1",
                aws_access_key_id="a",
                aws_secret_access_key="b",  # noqa: S106
            )
            for name in ("s3", "greengrassv2")
        }
        self.s3, self.greengrass = (Stubber(client) for client in self.clients.values())
        for stub in (self.s3, self.greengrass):
            stub.activate()
        self.lines: list[str] = []
        self.slept: list[float] = []

    def publish(self, built: Built) -> dict[str, str]:
        found = publish(built, "mine", self.clients.__getitem__, self.lines.append, self.slept.append)
        self.s3.assert_no_pending_responses()
        self.greengrass.assert_no_pending_responses()
        return found


@pytest.fixture
def built(tmp_path: Path) -> Built:
    recipe, artifact = tmp_path / "io.strandline.Thing-1.2.3.yaml", tmp_path / "thing.zip"
    recipe.write_text(f"Artifacts:\n  - URI: s3://strandline-artifacts/{KEY}\n")
    artifact.write_bytes(b"zip")
    component = BuiltComponent("io.strandline.Thing", "1.2.3", recipe, artifact, 3, "digest")
    return Built(Nucleus.JAVA, tmp_path, tmp_path, (component,))


def test_an_artifact_is_uploaded_and_its_version_is_created_with_the_buckets_name(built: Built) -> None:
    account = Account()
    account.s3.add_client_error("head_object", "404")
    account.s3.add_response(
        "put_object", {}, {"Bucket": "mine", "Key": KEY, "Body": b"zip", "Metadata": {"sha256": "digest"}}
    )
    recipe = f"Artifacts:\n  - URI: s3://mine/{KEY}\n".encode()
    account.greengrass.add_response("create_component_version", created(), {"inlineRecipe": recipe})
    account.greengrass.add_response("describe_component", state("REQUESTED"), {"arn": ARN})
    account.greengrass.add_response("describe_component", state("DEPLOYABLE"), {"arn": ARN})
    assert account.publish(built) == {"io.strandline.Thing": ARN}
    assert account.slept == [2.0]


def test_what_is_published_is_kept(built: Built) -> None:
    account = Account()
    account.s3.add_response("head_object", {"Metadata": {"sha256": "digest"}}, {"Bucket": "mine", "Key": KEY})
    account.greengrass.add_client_error("create_component_version", "ConflictException")
    account.publish(built)
    assert account.lines == [f"s3://mine/{KEY}: exists", "io.strandline.Thing 1.2.3: exists"]


def test_other_content_under_a_published_version_is_an_error_that_names_the_recipe(built: Built) -> None:
    account = Account()
    account.s3.add_response("head_object", {"Metadata": {"sha256": "other"}})
    with pytest.raises(AccountError, match=r"raise ComponentVersion in io\.strandline\.Thing-1\.2\.3\.yaml"):
        account.publish(built)


def test_a_version_that_greengrass_rejects_is_an_error_with_its_reason(built: Built) -> None:
    account = Account()
    account.s3.add_response("head_object", {"Metadata": {"sha256": "digest"}})
    account.greengrass.add_response("create_component_version", created(), {"inlineRecipe": ANY})
    account.greengrass.add_response("describe_component", state("FAILED", {"artifact": "not readable"}))
    with pytest.raises(AccountError, match=r"FAILED: .*not readable"):
        account.publish(built)


def test_a_missing_permission_is_named(built: Built) -> None:
    account = Account()
    account.s3.add_client_error("head_object", "AccessDenied")
    with pytest.raises(AccountError, match="the caller lacks the permission s3:HeadObject"):
        account.publish(built)


def test_a_recipe_without_the_placeholder_is_an_error(built: Built) -> None:
    (component,) = built.components
    component.recipe.write_text("Artifacts: []\n")
    with pytest.raises(CommandError, match="it has no artifact s3://strandline-artifacts/"):
        recipe_of(component, "mine")


def test_the_printed_commands_upload_and_create(built: Built, tmp_path: Path) -> None:
    upload, create = shell(built, "mine", tmp_path / "recipes")
    assert upload.startswith("aws s3 cp ")
    assert upload.endswith(f"s3://mine/{KEY} --metadata sha256=digest")
    assert create.endswith("--inline-recipe fileb://" + str(tmp_path / "recipes/io.strandline.Thing-1.2.3.yaml"))


def created() -> dict[str, Any]:
    return {
        "arn": ARN,
        "componentName": "io.strandline.Thing",
        "componentVersion": "1.2.3",
        "creationTimestamp": "2026-11-27T00:00:00Z",
        "status": {"componentState": "REQUESTED"},
    }


def state(name: str, errors: dict[str, str] | None = None) -> dict[str, Any]:
    return {"arn": ARN, "status": {"componentState": name, "message": "x", "errors": errors or {}}}
