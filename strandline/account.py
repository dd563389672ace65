"""An AWS account with the stack in it, reached as every AWS tool reaches one: by the environment and ~/.aws.

``AWS_ENDPOINT_URL`` and its like lead to a local cloud; without it, to AWS.
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from strandline.errors import AccountError


class Account:
    """Access to a deployed stack for :class:`device_sim.aws.store.CloudStore`: clients and the stack's outputs.

    Raises AccountError when the account or the stack in it cannot be read.
    """

    def __init__(self, stack: str, endpoint_url: str | None = None) -> None:
        self._session, self._endpoint_url = boto3.Session(), endpoint_url
        try:
            described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        except (BotoCoreError, ClientError) as error:
            raise AccountError(f"stack {stack}: {error}") from error
        self.outputs: dict[str, str] = {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])}

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return self._session.client(service, endpoint_url=self._endpoint_url)
