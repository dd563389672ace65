"""The way of gateways into the local Azure: from the local IoT broker to the stand-in of IoT Hub, and back.

The gateways of a simulation have certificates of the local AWS IoT broker, which checks them and enforces the policy of
each gateway. Its topic rules put what gateways publish into two queues. The bridge takes it from there in the place of
the function of AWS, and publishes it under the identity of the connection, as IoT Hub does.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from pathlib import Path
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from device_sim.aws.local import LocalCloud
from device_sim.azure.local import LocalAzure
from wire import topics

_LOG = logging.getLogger(__name__)
_QUEUES = ("UrgentQueueUrl", "BulkQueueUrl")
_STOP_S, _PAUSE_S = 30.0, 0.2


class AzureBehindBroker:
    """A local Azure whose devices are the gateways of a local AWS IoT broker; a context manager."""

    def __init__(self, root: Path, cloud: LocalCloud, watch_every_s: float) -> None:
        self._cloud, self._ended = cloud, threading.Event()
        self._iot, self._sqs = cloud.client("iot-data"), cloud.client("sqs")
        self.azure = LocalAzure(root, self._deliver, watch_every_s)
        self._threads = [
            threading.Thread(
                target=self._forward, args=(cloud.outputs[name],), name=f"azure-bridge-{name}", daemon=True
            )
            for name in _QUEUES
        ]

    def __enter__(self) -> Self:
        self._disconnect_ingest()
        self.azure.__enter__()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(_STOP_S)
        self.azure.__exit__()

    def _disconnect_ingest(self) -> None:
        functions = self._cloud.client("lambda")
        mappings = functions.list_event_source_mappings(FunctionName=self._cloud.outputs["IngestFunctionName"])
        for mapping in mappings["EventSourceMappings"]:
            functions.delete_event_source_mapping(UUID=mapping["UUID"])

    def _deliver(self, device: str, payload: bytes) -> bool:
        try:
            self._iot.publish(topic=topics.ack(device), qos=0, payload=payload)
        except (ClientError, BotoCoreError) as error:
            _LOG.warning("not delivered to %s: %s", device, error)
            return False
        return True

    def _forward(self, url: str) -> None:
        while not self._ended.is_set():
            try:
                found = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
                for message in found.get("Messages", []):
                    self._publish(json.loads(message["Body"]))
                    self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            except (ClientError, BotoCoreError) as error:
                _LOG.warning("bridge: %s", error)
                self._ended.wait(_PAUSE_S)

    def _publish(self, envelope: dict[str, Any]) -> None:
        device = str(envelope["client"]).split("#", 1)[0]
        lane = str(envelope["topic"]).rsplit("/", 1)[-1]
        self.azure.publish(device, base64.b64decode(envelope["data"]), {"lane": lane})
