"""Choice of the cloud whose functions receive the batches of a simulation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line imports this module without the packages of the simulation
    from device_sim.aws.local import LocalCloud
    from device_sim.aws.store import CloudStore

_DEAD_LETTERS = ("IngestDeadLettersUrl", "RuleDeadLettersUrl")


class CloudKind(StrEnum):
    """Cloud whose functions receive the batches."""

    AWS = "aws"
    AZURE = "azure"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Sources of a proof: the store of a cloud, and the number of its dead letters of batches."""

    store: CloudStore
    dead_letters: Callable[[], int]


def connect(
    kind: CloudKind, root: Path, cloud: LocalCloud, gateway: str, stack: contextlib.ExitStack, watch_every_s: float
) -> Receiver:
    """Return the receiver of the batches of ``gateway``, which is connected to the broker of the local AWS.

    That of Azure is started below ``root`` and takes the batches from the broker in the place of AWS.
    """
    if kind is CloudKind.AWS:
        from device_sim.aws.store import CloudStore

        return Receiver(CloudStore(cloud), lambda: _aws_dead_letters(cloud))
    from device_sim.azure.bridge import AzureBehindBroker
    from device_sim.azure.store import AzureStore

    behind = stack.enter_context(AzureBehindBroker(root / "azure", cloud, watch_every_s))
    behind.azure.register(gateway)
    return Receiver(AzureStore(behind.azure.storage()), behind.azure.dead_letters)


def _aws_dead_letters(cloud: LocalCloud) -> int:
    sqs, name = cloud.client("sqs"), "ApproximateNumberOfMessages"
    urls = [cloud.outputs[output] for output in _DEAD_LETTERS]
    found = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name] for url in urls]
    return sum(map(int, found))
