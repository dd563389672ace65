"""Access to an AWS account with a deployed stack, configured by the environment and ~/.aws as for every AWS tool.

``AWS_ENDPOINT_URL`` selects a local cloud.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, ProfileNotFound

from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.core.errors import RequestError, StoreError
from strandline.errors import AccountError

NO_REGION = "no AWS region: set AWS_DEFAULT_REGION, or `aws configure set region REGION`"
NO_CREDENTIALS = "no AWS credentials: set AWS_PROFILE, or run `aws configure`"
NO_PROFILE = "list the profiles with `aws configure list-profiles`"
EXPIRED = "the credentials are not valid any more: log in again, with `aws sso login` or as your account requires"
NO_STACK = "deploy the stack (docs/cloud.md), or name it with --stack and its region with AWS_DEFAULT_REGION"
LOCAL = "for the cloud of `strandline up` or the demo, set STRANDLINE_URL and STRANDLINE_TOKEN as it prints them"


class Outputs(dict[str, str]):
    """Outputs of a stack; a missing one is an AccountError."""

    def __init__(self, stack: str, outputs: dict[str, str]) -> None:
        super().__init__(outputs)
        self._stack = stack

    def __missing__(self, name: str) -> str:
        raise AccountError(f"stack {self._stack}: it has no output {name}")


class Account:
    """Clients and outputs of a deployed stack, as :class:`device_sim.aws.store.CloudStore` needs them."""

    def __init__(self, stack: str, endpoint_url: str | None) -> None:
        self._session, self._endpoint_url = _session(None), endpoint_url
        described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        self.outputs: dict[str, str] = Outputs(
            stack, {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
        )

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return self._session.client(service, endpoint_url=self._endpoint_url)

    def credentials(self) -> tuple[Any, str]:
        """Return the credentials, None without any, and the region."""
        return self._session.get_credentials(), str(self._session.region_name)

    def telemetry(self) -> DynamoTable:
        """Return the telemetry table."""
        return DynamoTable(self.outputs["TelemetryTableName"], self.client("dynamodb"))

    def alerts(self) -> DynamoTable:
        """Return the alerts table."""
        return DynamoTable(self.outputs["AlertsTableName"], self.client("dynamodb"))


class AwsClients:
    """Clients of an account, without a stack; raises AccountError without a region or credentials."""

    def __init__(self, endpoint_url: str | None = None, region: str | None = None) -> None:
        try:
            self._session, self._endpoint_url = _session(region), endpoint_url
        except NoRegionError as error:
            raise AccountError(f"{NO_REGION}, or pass --region") from error
        except BotoCoreError as error:
            raise AccountError(explained(error)) from error
        self.region = str(self._session.region_name)
        self.partition = str(self._session.get_partition_for_region(self.region))

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return self._session.client(service, endpoint_url=self._endpoint_url)


def _session(region: str | None) -> boto3.Session:
    """Return a session with a region and credentials; raises NoRegionError, NoCredentialsError and others of botocore.

    They are checked before any client is made, which takes a second.
    """
    session = boto3.Session(region_name=region)
    if session.region_name is None:
        raise NoRegionError
    if session.get_credentials() is None:
        raise NoCredentialsError
    return session


@contextlib.contextmanager
def open_account(stack: str, endpoint_url: str | None) -> Iterator[Account]:
    """Provide the account of a stack; AWS errors within the block become an AccountError that names the stack."""
    try:
        yield Account(stack, endpoint_url)
    except (BotoCoreError, ClientError, StoreError, RequestError) as error:
        raise AccountError(f"stack {stack}: {explained(error)}") from error


def explained(error: Exception) -> str:
    """Return the sentence for an error of the AWS SDK, with the remedy of the frequent ones."""
    if isinstance(error, NoRegionError):
        return f"{NO_REGION}; {LOCAL}"
    if isinstance(error, NoCredentialsError):
        return f"{NO_CREDENTIALS}; {LOCAL}"
    if isinstance(error, ProfileNotFound):
        return f"{error}: {NO_PROFILE}"
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"):
            return f"{error}: {EXPIRED}"
        if code == "ValidationError" and "does not exist" in str(error):
            return f"it does not exist in this region: {NO_STACK}"
    return str(error)
