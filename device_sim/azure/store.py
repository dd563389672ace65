"""Stored data, read from the tables of the local Azure."""

from __future__ import annotations

from collections.abc import Iterator

from cloud_functions.adapters.azure.storage import Storage
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.core.ports import Item
from device_sim.aws.store import CloudStore

_TABLES = {"TelemetryTableName": "telemetry", "AlertsTableName": "alerts"}


class AzureStore(CloudStore):
    """Reads the telemetry and the alerts table of a storage account."""

    def __init__(self, storage: Storage) -> None:
        self._tables = {name: AzureTable(storage.table(table)) for name, table in _TABLES.items()}

    def usage(self) -> dict[str, float]:
        """Return nothing: what Azure would have metered is not counted."""
        return {}

    def _query(self, table: str, pk: str) -> Iterator[Item]:
        yield from self._tables[table].query(pk)
