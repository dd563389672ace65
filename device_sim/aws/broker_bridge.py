"""Way of gateways into a local cloud of another provider: from the local IoT broker of AWS, and back.

The gateways of a simulation have certificates of the local AWS IoT broker, which checks them and enforces the policy of
each gateway. Its topic rules put what gateways publish into two queues. The bridge takes it from there in the place of
the function of AWS.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from device_sim.aws.local import LocalCloud

_LOG = logging.getLogger(__name__)
_QUEUES = ("UrgentQueueUrl", "BulkQueueUrl")
_STOP_S, _PAUSE_S = 30.0, 0.2

Publish = Callable[[str, str, bytes], None]
"""Accepts what a gateway published, given the gateway of the connection, the lane and the payload."""


class BrokerBridge:
    """A running bridge; a context manager."""

    def __init__(self, cloud: LocalCloud, publish: Publish) -> None:
        self._cloud, self._publish, self._ended = cloud, publish, threading.Event()
        self._iot, self._sqs = cloud.client("iot-data"), cloud.client("sqs")
        self._threads = [
            threading.Thread(target=self._forward, args=(cloud.outputs[name],), name=f"bridge-{name}", daemon=True)
            for name in _QUEUES
        ]

    def __enter__(self) -> Self:
        self._disconnect_ingest()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(_STOP_S)

    def deliver(self, topic: str, payload: bytes) -> bool:
        """Publish to gateways; return False if the broker did not accept it."""
        try:
            self._iot.publish(topic=topic, qos=0, payload=payload)
        except (ClientError, BotoCoreError) as error:
            _LOG.warning("not published on %s: %s", topic, error)
            return False
        return True

    def _disconnect_ingest(self) -> None:
        functions = self._cloud.client("lambda")
        mappings = functions.list_event_source_mappings(FunctionName=self._cloud.outputs["IngestFunctionName"])
        for mapping in mappings["EventSourceMappings"]:
            functions.delete_event_source_mapping(UUID=mapping["UUID"])

    def _forward(self, url: str) -> None:
        while not self._ended.is_set():
            try:
                found = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
                for message in found.get("Messages", []):
                    self._accept(json.loads(message["Body"]))
                    self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            except (ClientError, BotoCoreError) as error:
                _LOG.warning("bridge: %s", error)
                self._ended.wait(_PAUSE_S)

    def _accept(self, envelope: dict[str, Any]) -> None:
        gateway = str(envelope["client"]).split("#", 1)[0]
        lane = str(envelope["topic"]).rsplit("/", 1)[-1]
        self._publish(gateway, lane, base64.b64decode(envelope["data"]))
