"""Start of the cloud whose functions receive the batches of a simulation."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sim.cloud_kind import CloudKind

if TYPE_CHECKING:  # the command line imports this module without the packages of the simulation
    from device_sim.aws.gateways import GatewayCredentials
    from device_sim.aws.local import LocalCloud
    from device_sim.aws.store import CloudStore
    from device_sim.azure.local import LocalAzure

_DEAD_LETTERS = ("IngestDeadLettersUrl", "RuleDeadLettersUrl")
_REGION = "us-east-1"
_WATCH_S = 5.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """A running cloud: its store and dead letters for the proof, and the identity of its gateway.

    ``uplink`` returns the settings of the forwarder that connects with these credentials; they are empty for a cloud
    that the nucleus connects to (``aws``).
    """

    store: CloudStore
    dead_letters: Callable[[], int]
    credentials: GatewayCredentials
    uplink: Callable[[GatewayCredentials], dict[str, Any]]
    region: str = _REGION
    aws: LocalCloud | None = None
    azure: LocalAzure | None = None

    def of_nucleus(self, credentials: GatewayCredentials) -> GatewayCredentials | None:
        """Return the credentials of the nucleus, None for one that is not connected to AWS."""
        return credentials if self.aws is not None else None


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


def start(
    kind: CloudKind,
    root: Path,
    gateway: str,
    stack: contextlib.ExitStack,
    watch_every_s: float | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Receiver:
    """Start a cloud below ``root`` with a registered gateway; ``stack`` stops it.

    ``watch_every_s`` is the interval of the timer of alerts, ``parameters`` are those of the stack of AWS. Raises the
    error of the part that did not start.
    """
    folder = root / "cloud"
    if kind is CloudKind.AWS:
        return _start_aws(folder, gateway, stack, watch_every_s, parameters or {})
    begin = _start_azure if kind is CloudKind.AZURE else _start_google
    return begin(folder, gateway, stack, watch_every_s or _WATCH_S)


def _start_aws(
    folder: Path,
    gateway: str,
    stack: contextlib.ExitStack,
    watch_every_s: float | None,
    parameters: Mapping[str, str],
) -> Receiver:
    from device_sim.aws.local import LocalCloud
    from device_sim.aws.store import CloudStore

    started = LocalCloud.start(folder, parameters=dict(parameters), watch_every_s=watch_every_s)
    cloud = stack.enter_context(started)
    credentials, store = cloud.provision_gateway(gateway), CloudStore(cloud)
    return Receiver(store, lambda: _aws_dead_letters(cloud), credentials, lambda _: {}, cloud.region, aws=cloud)


def _start_azure(folder: Path, gateway: str, stack: contextlib.ExitStack, watch_every_s: float) -> Receiver:
    from cloud_functions.adapters.azure.table import AzureTable
    from device_sim.azure.local import LocalAzure, uplink
    from device_sim.table_store import TableStore

    azure = stack.enter_context(LocalAzure(folder, watch_every_s))
    tables = azure.storage()
    store = TableStore(AzureTable(tables.table("telemetry")), AzureTable(tables.table("alerts")))
    return Receiver(store, azure.dead_letters, azure.register(gateway), uplink, azure=azure)


def _start_google(folder: Path, gateway: str, stack: contextlib.ExitStack, watch_every_s: float) -> Receiver:
    """Start the functions of Google Cloud behind the broker of a local AWS, which passes batches on to them."""
    from device_sim.aws.local import LocalCloud
    from device_sim.google.behind_broker import GoogleBehindBroker
    from device_sim.table_store import TableStore

    cloud = stack.enter_context(LocalCloud.start(folder))
    google = stack.enter_context(GoogleBehindBroker(cloud, watch_every_s)).google
    store = TableStore(google.table("telemetry"), google.table("alerts"))
    credentials = cloud.provision_gateway(gateway)
    return Receiver(store, google.dead_letters, credentials, lambda _: {}, cloud.region, aws=cloud)


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
