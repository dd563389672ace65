"""Tests of requests to AWS as data: as commands of the AWS command line, and performed through boto3."""

from __future__ import annotations

import functools
import shlex
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.session import Session
from botocore.stub import Stubber

from strandline.aws.provisioning import Gateway, files, steps
from strandline.aws.steps import Step, command, perform, shell
from strandline.errors import AccountError

GATEWAY = Gateway("gw-1", "plant", "strandline", "artifacts", "Alias", "Role", "eu-central-1")


def iot() -> Any:
    return boto3.client(
        "iot",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106
    )


@functools.cache
def service_model(service: str) -> Any:
    return Session().get_service_model(service)


@pytest.mark.parametrize("step", steps(GATEWAY), ids=lambda step: step.title)
def test_each_step_has_the_operation_and_the_parameters_that_the_service_defines(step: Step) -> None:
    model = service_model(step.service)
    (operation,) = (name for name in model.operation_names if xform_name(name) == step.operation)
    shape = model.operation_model(operation).input_shape
    assert shape is not None
    assert set(step.parameters) <= set(shape.members)
    assert set(shape.required_members) <= set(step.parameters)
    output: Any = model.operation_model(operation).output_shape
    for path in step.results.values():
        reached = output
        for key in path.replace("[0]", ".*").split("[")[0].split("."):
            reached = reached.member if key == "*" else reached.members[key]


def test_a_command_has_the_options_of_the_command_line() -> None:
    step = Step("a", "s3", "put_object", {"Bucket": "b", "bucketKeyEnabled": True, "tags": {"a": "b c"}})
    assert command(step) == """aws s3api put-object --bucket b --bucket-key-enabled --tags '{"a": "b c"}'"""
    assert command(Step("a", "iot", "attach_policy", {"target": "$ARN"})) == 'aws iot attach-policy --target "$ARN"'


def test_a_result_becomes_a_variable_of_the_shell() -> None:
    step = Step("a", "iam", "get_role", {"RoleName": "it's"}, {"ROLE": "Role.Arn"})
    (word,) = shlex.split(command(step), posix=False)[:1]
    assert word.startswith("ROLE=$(aws")
    assert "--query Role.Arn --output text" in command(step)
    assert """--role-name 'it'"'"'s'""" in command(step)


def test_the_script_sets_every_variable_before_it_uses_it() -> None:
    text = "\n".join([*shell(steps(GATEWAY)), *files(GATEWAY, __import__("pathlib").Path("gateways/gw-1"))])
    for name in ("POLICY", "ROLE_ARN", "CERTIFICATE_ARN", "CERTIFICATE_PEM", "PRIVATE_KEY", "DATA", "CREDENTIALS"):
        assert text.index(f"{name}=") < text.index(f"${name}")


def test_a_response_fills_the_parameters_of_later_steps() -> None:
    client = iot()
    with Stubber(client) as stub:
        stub.add_response("describe_endpoint", {"endpointAddress": "x.example"}, {"endpointType": "iot:Data-ATS"})
        stub.add_response("attach_policy", {}, {"policyName": "x.example", "target": "arn"})
        made = [
            Step("endpoint", "iot", "describe_endpoint", {"endpointType": "iot:Data-ATS"}, {"HOST": "endpointAddress"}),
            Step("policy", "iot", "attach_policy", {"policyName": "$HOST", "target": "$ARN"}),
        ]
        lines = list[str]()
        assert perform(made, lambda _: client, lines.append, {"ARN": "arn"}) == {"ARN": "arn", "HOST": "x.example"}
        stub.assert_no_pending_responses()
    assert lines == ["endpoint: done", "policy: done"]


def test_a_thing_that_exists_as_requested_is_kept() -> None:
    client = iot()
    with Stubber(client) as stub:
        stub.add_client_error("create_role_alias", "ResourceAlreadyExistsException")
        step = Step(
            "alias",
            "iot",
            "create_role_alias",
            {"roleAlias": "a", "roleArn": "arn:aws:iam::123456789012:role/r"},
            kept=frozenset({"ResourceAlreadyExistsException"}),
        )
        lines = list[str]()
        perform([step], lambda _: client, lines.append)
    assert lines == ["alias: exists"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("AccessDeniedException", "thing: the caller lacks the permission iot:CreateThing"),
        ("ResourceAlreadyExistsException", "thing: it exists with other properties"),
        ("LimitExceededException", "thing: a quota of the account is reached"),
        ("ThrottlingException", "repeat the command, which continues where it stopped"),
        ("ExpiredTokenException", "the credentials are not valid any more"),
    ],
)
def test_an_error_of_aws_is_explained(code: str, text: str) -> None:
    client = iot()
    with Stubber(client) as stub:
        stub.add_client_error("create_thing", code)
        with pytest.raises(AccountError, match=text):
            perform([Step("thing", "iot", "create_thing", {"thingName": "gw-1"})], lambda _: client, print)
