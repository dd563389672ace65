"""Access to an AWS account with a deployed stack, configured by the environment and ~/.aws as for every AWS tool.

``AWS_ENDPOINT_URL`` selects a local cloud.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from cloud_functions.adapters.dynamodb import DynamoTable
from cloud_functions.core.errors import RequestError, StoreError
from strandline.errors import AccountError

NO_REGION = "no AWS region: set AWS_DEFAULT_REGION, or `aws configure set region REGION`"
NO_CREDENTIALS = "no AWS credentials: set AWS_PROFILE, or run `aws configure`"
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
        self._session, self._endpoint_url = boto3.Session(), endpoint_url
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
        self._session = boto3.Session(region_name=region)
        self._endpoint_url = endpoint_url
        if self._session.region_name is None:
            raise AccountError("no AWS region: set AWS_DEFAULT_REGION or pass --region")
        if self._session.get_credentials() is None:
            raise AccountError("no AWS credentials: set AWS_PROFILE, or run `aws configure`")
        self.region = str(self._session.region_name)
        self.partition = str(self._session.get_partition_for_region(self.region))

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return self._session.client(service, endpoint_url=self._endpoint_url)


@contextlib.contextmanager
def open_account(stack: str, endpoint_url: str | None) -> Iterator[Account]:
    """Provide the account of a stack; AWS errors within the block become an AccountError that names the stack."""
    try:
        yield Account(stack, endpoint_url)
    except NoRegionError as error:
        raise AccountError(f"stack {stack}: {NO_REGION}; {LOCAL}") from error
    except NoCredentialsError as error:
        raise AccountError(f"stack {stack}: {NO_CREDENTIALS}; {LOCAL}") from error
    except (BotoCoreError, ClientError, StoreError, RequestError) as error:
        raise AccountError(f"stack {stack}: {error}") from error
