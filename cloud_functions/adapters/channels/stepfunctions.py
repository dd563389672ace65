"""Channels of Step Functions: each transition starts an execution whose input is the CloudEvent."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from botocore.exceptions import ClientError

from cloud_functions.adapters.aws import error_code, lazy_client, store_errors
from cloud_functions.adapters.channels.registry import Pair, each, register
from cloud_functions.core.channels import Channel, ChannelType
from cloud_functions.core.deliveries import Delivery
from cloud_functions.core.errors import StoreError


class StepFunctionsDeliverer:
    """Starts executions. The name is made of the delivery's key, so a repeated delivery starts none."""

    def __init__(self, states: Any = None) -> None:
        self._client = states if states is not None else lazy_client("stepfunctions")

    def deliver(self, deliveries: list[Pair]) -> list[str]:
        """Start executions one by one."""
        return each(deliveries, self._start)

    def _start(self, delivery: Delivery, channel: Channel) -> None:
        name = hashlib.sha256(delivery.key.encode()).hexdigest()
        try:
            with store_errors(f"start an execution for {delivery.gateway}"):
                self._client.start_execution(
                    stateMachineArn=str(channel.settings["state_machine"]),
                    name=name,
                    input=json.dumps(dict(delivery.event)),
                )
        except StoreError as error:
            cause = error.__cause__
            if not isinstance(cause, ClientError) or error_code(cause) != "ExecutionAlreadyExists":
                raise


register(ChannelType.STEPFUNCTIONS, lambda options: StepFunctionsDeliverer())
