"""Clients of a storage account: by its name with the function's own identity, or by a connection string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableClient
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueClient

from cloud_functions.adapters.azure.service import CONNECT_S, OPTIONS, READ_S
from cloud_functions.core.errors import CloudError

API_VERSION = "2025-05-05"
"""Version of the blob and the queue service: one that Azurite has, too."""


class Storage:
    """A storage account, whose clients share connections; ``options`` replace those of its clients, as tests do."""

    def __init__(
        self, addresses: Mapping[str, str], credentials: Mapping[str, Any], options: Mapping[str, Any] | None = None
    ) -> None:
        self._addresses, self._credentials = addresses, credentials
        self._transport = RequestsTransport(connection_timeout=CONNECT_S, read_timeout=READ_S)
        self._options = OPTIONS | {"transport": self._transport} | dict(options or {})

    def close(self) -> None:
        """Close the connections; a client opens them again."""
        self._transport.close()

    def table(self, name: str) -> TableClient:
        """Return a client of a table."""
        return TableClient(self._addresses["table"], name, credential=self._credentials["table"], **self._options)

    def container(self, name: str) -> ContainerClient:
        """Return a client of a container of blobs."""
        credential, options = self._credentials["blob"], self._options | {"api_version": API_VERSION}
        return ContainerClient(self._addresses["blob"], name, credential=credential, **options)

    def queue(self, name: str) -> QueueClient:
        """Return a client of a queue; its messages are plain text."""
        credential, options = self._credentials["queue"], self._options | {"api_version": API_VERSION}
        return QueueClient(self._addresses["queue"], name, credential=credential, **options)


def of_account(name: str) -> Storage:
    """Return the account of a name, used with the identity of the function app."""
    from azure.identity import DefaultAzureCredential

    credential = DefaultAzureCredential()
    services = ("table", "blob", "queue")
    addresses = {service: f"https://{name}.{service}.core.windows.net" for service in services}
    return Storage(addresses, dict.fromkeys(services, credential))


def of_connection_string(text: str, options: Mapping[str, Any] | None = None) -> Storage:
    """Return the account of a connection string with a key and the three endpoints; raises CloudError."""
    parts = dict(part.partition("=")[::2] for part in text.split(";") if part)
    try:
        name, key = parts["AccountName"], parts["AccountKey"]
        addresses = {service: parts[f"{service.capitalize()}Endpoint"] for service in ("table", "blob", "queue")}
    except KeyError as error:
        raise CloudError(f"connection string of the storage account: {error} is missing") from error
    shared = {"account_name": name, "account_key": key}
    credentials = {"table": AzureNamedKeyCredential(name, key), "blob": shared, "queue": shared}
    return Storage(addresses, credentials, options)
