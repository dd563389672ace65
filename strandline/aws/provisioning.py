"""Provisioning of a gateway: thing, thing group, certificate, policies, and the role for downloading artifacts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strandline.aws.steps import Step, perform
from strandline.errors import CommandError

CERTIFICATE, KEY, ARN, CONFIG = "device.pem.crt", "private.pem.key", "certificate.arn", "config.yaml"
_EXISTS = frozenset({"EntityAlreadyExists", "ResourceAlreadyExistsException"})


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway to provision.

    ``stack`` has the IoT policy; ``bucket`` has the artifacts; ``alias`` is the role alias of the nucleus, with the
    role ``role``. ``partition`` and ``region`` are those of AWS.
    """

    name: str
    group: str
    stack: str
    bucket: str
    alias: str
    role: str
    region: str
    partition: str = "aws"


def steps(gateway: Gateway, *, certificate: bool = True) -> list[Step]:
    """Return the steps that provision a gateway; without ``certificate`` it has one, $CERTIFICATE_ARN."""
    return [
        *_role(gateway),
        Step("thing", "iot", "create_thing", {"thingName": gateway.name}, kept=_EXISTS),
        Step("thing group", "iot", "create_thing_group", {"thingGroupName": gateway.group}, kept=_EXISTS),
        Step(
            "membership in the thing group",
            "iot",
            "add_thing_to_thing_group",
            {"thingName": gateway.name, "thingGroupName": gateway.group},
        ),
        *(_certificate() if certificate else []),
        Step("policy of the stack", "iot", "attach_policy", {"policyName": "$POLICY", "target": "$CERTIFICATE_ARN"}),
        Step(
            "certificate of the thing",
            "iot",
            "attach_thing_principal",
            # Exclusive, so that the policy's variable is known under the further client ids of the Java nucleus.
            {
                "thingName": gateway.name,
                "principal": "$CERTIFICATE_ARN",
                "thingPrincipalType": "EXCLUSIVE_THING",
            },
        ),
    ]


def _role(gateway: Gateway) -> list[Step]:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "credentials.iot.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    read = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"arn:{gateway.partition}:s3:::{gateway.bucket}/*",
            }
        ],
    }
    return [
        Step(
            "policy's name",
            "cloudformation",
            "describe_stacks",
            {"StackName": gateway.stack},
            {"POLICY": "Stacks[0].Outputs[?OutputKey=='GatewayPolicyName'].OutputValue | [0]"},
        ),
        Step(
            "token exchange role",
            "iam",
            "create_role",
            {"RoleName": gateway.role, "AssumeRolePolicyDocument": json.dumps(trust)},
            kept=_EXISTS,
        ),
        Step(
            "permission to read artifacts",
            "iam",
            "put_role_policy",
            {"RoleName": gateway.role, "PolicyName": "read-artifacts", "PolicyDocument": json.dumps(read)},
        ),
        Step("role's name", "iam", "get_role", {"RoleName": gateway.role}, {"ROLE_ARN": "Role.Arn"}),
        Step(
            "role alias",
            "iot",
            "create_role_alias",
            {"roleAlias": gateway.alias, "roleArn": "$ROLE_ARN"},
            kept=_EXISTS,
        ),
        Step(
            "MQTT endpoint", "iot", "describe_endpoint", {"endpointType": "iot:Data-ATS"}, {"DATA": "endpointAddress"}
        ),
        Step(
            "credentials endpoint",
            "iot",
            "describe_endpoint",
            {"endpointType": "iot:CredentialProvider"},
            {"CREDENTIALS": "endpointAddress"},
        ),
    ]


def _certificate() -> list[Step]:
    results = {
        "CERTIFICATE_ARN": "certificateArn",
        "CERTIFICATE_PEM": "certificatePem",
        "PRIVATE_KEY": "keyPair.PrivateKey",
    }
    return [Step("certificate", "iot", "create_keys_and_certificate", {"setAsActive": True}, results)]


def files(gateway: Gateway, folder: Path) -> list[str]:
    """Return the lines of the shell that write the gateway's files, which follow the steps."""
    quoted = shlex.quote(str(folder))
    return [
        "# files of the gateway",
        "REGION=${AWS_REGION:-$(aws configure get region)}",
        f"(umask 077; mkdir -p {quoted}; cd {quoted}",
        f'printf "%s\\n" "$CERTIFICATE_PEM" > {CERTIFICATE}; printf "%s\\n" "$PRIVATE_KEY" > {KEY}',
        f'printf "%s" "$CERTIFICATE_ARN" > {ARN}',
        f"cat > {CONFIG} <<END",
        configuration(gateway, {"DATA": "$DATA", "CREDENTIALS": "$CREDENTIALS"}) + "END",
        ")",
    ]


def provision(
    gateway: Gateway, folder: Path, client: Callable[[str], Any], report: Callable[[str], None]
) -> Mapping[str, str]:
    """Perform the steps and write certificate, key and the nucleus' configuration to ``folder``.

    A repetition continues where the last one stopped, with the certificate that is in the folder. Returns the
    variables; raises AccountError with the explanation of a failure, CommandError if a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        arn = folder / ARN
        known = {"CERTIFICATE_ARN": arn.read_text().strip()} if arn.exists() else {}
        if not known:
            # At once after it is made: a key is given out once.
            known = perform(_certificate(), client, report)
            _write_private(folder / KEY, known["PRIVATE_KEY"])
            (folder / CERTIFICATE).write_text(known["CERTIFICATE_PEM"])
            arn.write_text(known["CERTIFICATE_ARN"])
        else:
            report(f"certificate: exists in {folder}")
        known = perform(steps(gateway, certificate=False), client, report, known)
        (folder / CONFIG).write_text(configuration(gateway, known))
    except OSError as error:
        raise CommandError(f"{error.filename or folder}: {error.strerror}") from error
    return known


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def configuration(gateway: Gateway, known: Mapping[str, str]) -> str:
    """Return the config.yaml of nucleus lite."""
    credentials = "/var/lib/greengrass/credentials"
    return f"""system:
  privateKeyPath: {credentials}/{KEY}
  certificateFilePath: {credentials}/{CERTIFICATE}
  rootCaPath: {credentials}/AmazonRootCA1.pem
  rootPath: /var/lib/greengrass
  thingName: {gateway.name}
services:
  aws.greengrass.NucleusLite:
    componentType: NUCLEUS
    configuration:
      awsRegion: {gateway.region}
      iotDataEndpoint: {known["DATA"]}
      iotCredEndpoint: {known["CREDENTIALS"]}
      iotRoleAlias: {gateway.alias}
      greengrassDataPlanePort: "8443"
      runWithDefault:
        posixUser: gg_component:gg_component
"""
