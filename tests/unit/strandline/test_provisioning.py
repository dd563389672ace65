"""Tests of the provisioning against an emulation of AWS: its results, and repetitions that change nothing."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from strandline.aws.provisioning import ARN, CERTIFICATE, CONFIG, KEY, Gateway, provision
from strandline.errors import AccountError
from tests.command_line import invoke

pytestmark = pytest.mark.slow  # importing the emulation takes seconds
REGION = "eu-central-1"
GATEWAY = Gateway("gw-1", "plant", "strandline", "artifacts", "Alias", "Role", REGION)
STACK = {
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    "Outputs": {"GatewayPolicyName": {"Value": "gateway-policy"}},
}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    moto = pytest.importorskip("moto", reason="the emulation of AWS is in the extra dev")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with moto.mock_aws():
        client("cloudformation").create_stack(StackName="strandline", TemplateBody=json.dumps(STACK))
        client("iot").create_policy(policyName="gateway-policy", policyDocument=json.dumps({"Statement": []}))
        yield


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def test_a_gateway_has_its_thing_group_certificate_policy_role_and_alias(account: None, tmp_path: Path) -> None:
    lines = list[str]()
    known = provision(GATEWAY, tmp_path / "gw-1", client, lines.append)
    iot, arn = client("iot"), known["CERTIFICATE_ARN"]
    assert [thing["thingName"] for thing in iot.list_things()["things"]] == ["gw-1"]
    assert iot.list_things_in_thing_group(thingGroupName="plant")["things"] == ["gw-1"]
    assert iot.list_thing_principals(thingName="gw-1")["principals"] == [arn]
    policies = iot.list_attached_policies(target=arn)["policies"]
    assert [policy["policyName"] for policy in policies] == [known["POLICY"]]
    certificate = iot.describe_certificate(certificateId=arn.rsplit("/", 1)[1])["certificateDescription"]
    assert certificate["status"] == "ACTIVE"
    role = client("iam").get_role(RoleName="Role")["Role"]
    assert iot.describe_role_alias(roleAlias="Alias")["roleAliasDescription"]["roleArn"] == role["Arn"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "credentials.iot.amazonaws.com"}
    document = client("iam").get_role_policy(RoleName="Role", PolicyName="read-artifacts")["PolicyDocument"]
    (grant,) = document["Statement"]
    assert (grant["Action"], grant["Resource"]) == ("s3:GetObject", "arn:aws:s3:::artifacts/*")


def test_the_folder_has_the_certificate_a_private_key_and_the_configuration(account: None, tmp_path: Path) -> None:
    folder = tmp_path / "gw-1"
    known = provision(GATEWAY, folder, client, lambda _: None)
    assert "BEGIN CERTIFICATE" in (folder / CERTIFICATE).read_text()
    assert "PRIVATE KEY" in (folder / KEY).read_text()
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600
    assert (folder / ARN).read_text() == known["CERTIFICATE_ARN"]
    config = yaml.safe_load((folder / CONFIG).read_text())
    assert config["system"]["thingName"] == "gw-1"
    nucleus = config["services"]["aws.greengrass.NucleusLite"]["configuration"]
    assert (nucleus["awsRegion"], nucleus["iotRoleAlias"]) == (REGION, "Alias")
    assert nucleus["iotDataEndpoint"] != nucleus["iotCredEndpoint"]


def test_a_repetition_keeps_the_certificate_and_everything_else(account: None, tmp_path: Path) -> None:
    first = provision(GATEWAY, tmp_path / "gw-1", client, lambda _: None)
    key = (tmp_path / "gw-1" / KEY).read_text()
    lines = list[str]()
    again = provision(GATEWAY, tmp_path / "gw-1", client, lines.append)
    assert again["CERTIFICATE_ARN"] == first["CERTIFICATE_ARN"]
    assert (tmp_path / "gw-1" / KEY).read_text() == key
    assert len(client("iot").list_certificates()["certificates"]) == 1
    assert {"token exchange role: exists", "role alias: exists"} <= set(lines)


def test_an_interruption_is_continued_with_the_same_certificate(account: None, tmp_path: Path) -> None:
    client("cloudformation").delete_stack(StackName="strandline")
    with pytest.raises(AccountError, match="policy's name: "):
        provision(GATEWAY, tmp_path / "gw-1", client, lambda _: None)
    arn = (tmp_path / "gw-1" / ARN).read_text()
    client("cloudformation").create_stack(StackName="strandline", TemplateBody=json.dumps(STACK))
    assert provision(GATEWAY, tmp_path / "gw-1", client, lambda _: None)["CERTIFICATE_ARN"] == arn
    assert client("iot").list_thing_principals(thingName="gw-1")["principals"] == [arn]


def test_the_command_performs_the_steps_with_run_only(account: None, tmp_path: Path) -> None:
    command = ["gateway", "provision", "gw-1", "--bucket", "artifacts", "--out", str(tmp_path / "gw-1")]
    printed = invoke(command)
    assert printed.exit_code == 0
    assert "aws iot create-thing --thing-name gw-1" in printed.stdout
    assert client("iot").list_things()["things"] == []
    done = invoke([*command, "--run"])
    assert done.exit_code == 0, done.output
    assert [thing["thingName"] for thing in client("iot").list_things()["things"]] == ["gw-1"]
