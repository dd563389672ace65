"""Stored data, read from tables of any cloud."""

from __future__ import annotations

from collections.abc import Iterator

from cloud_functions.core.ports import Item, Table
from device_sim.aws.store import CloudStore


class TableStore(CloudStore):
    """Reads the telemetry and the alerts table of a cloud."""

    def __init__(self, telemetry: Table, alerts: Table) -> None:
        self._tables = {"TelemetryTableName": telemetry, "AlertsTableName": alerts}

    def usage(self) -> dict[str, float]:
        """Return nothing: the usage that another cloud than AWS would have metered is not counted."""
        return {}

    def _query(self, table: str, pk: str) -> Iterator[Item]:
        yield from self._tables[table].query(pk)
