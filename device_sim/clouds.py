"""Choice of the cloud whose functions receive the batches of a simulation."""

from __future__ import annotations

import contextlib
import importlib
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
    GOOGLE = "google"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Sources of a proof: the store of a cloud, and the number of its dead letters of batches."""

    store: CloudStore
    dead_letters: Callable[[], int]


def check(kind: CloudKind) -> None:
    """Raise a SimulationError with the command that installs it if a cloud needs something that is not installed."""
    if kind is CloudKind.AZURE:
        _require(kind, "azure.functions", "azure.data.tables", "azure.storage.blob", "azure.storage.queue")
        from device_sim.azure import azurite

        azurite.installed()
    elif kind is CloudKind.GOOGLE:
        _require(kind, "google.cloud.bigtable", "google.cloud.storage")
        from device_sim.google import bigtable, storage

        bigtable.installed()
        storage.check()


def connect(
    kind: CloudKind, root: Path, cloud: LocalCloud, gateway: str, stack: contextlib.ExitStack, watch_every_s: float
) -> Receiver:
    """Return the receiver of the batches of ``gateway``, which is connected to the broker of the local AWS.

    That of another cloud is started below ``root`` and takes the batches from the broker in the place of AWS.
    """
    if kind is CloudKind.AWS:
        from device_sim.aws.store import CloudStore

        return Receiver(CloudStore(cloud), lambda: _aws_dead_letters(cloud))
    from device_sim.table_store import TableStore

    if kind is CloudKind.AZURE:
        from cloud_functions.adapters.azure.table import AzureTable
        from device_sim.azure.bridge import AzureBehindBroker

        azure = stack.enter_context(AzureBehindBroker(root / "azure", cloud, watch_every_s)).azure
        azure.register(gateway)
        tables = azure.storage()
        store = TableStore(AzureTable(tables.table("telemetry")), AzureTable(tables.table("alerts")))
        return Receiver(store, azure.dead_letters)
    from device_sim.google.behind_broker import GoogleBehindBroker

    google = stack.enter_context(GoogleBehindBroker(cloud, watch_every_s)).google
    return Receiver(TableStore(google.table("telemetry"), google.table("alerts")), google.dead_letters)


def _require(kind: CloudKind, *modules: str) -> None:
    from device_sim.errors import SimulationError

    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise SimulationError(f"{name} is not installed: pip install 'strandline[{kind}]'") from error


def _aws_dead_letters(cloud: LocalCloud) -> int:
    sqs, name = cloud.client("sqs"), "ApproximateNumberOfMessages"
    urls = [cloud.outputs[output] for output in _DEAD_LETTERS]
    found = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name] for url in urls]
    return sum(map(int, found))
