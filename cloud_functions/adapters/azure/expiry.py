"""Removal of expired items: Table storage has no time to live."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from azure.data.tables import TableClient

from cloud_functions.adapters.azure.service import store_errors
from cloud_functions.adapters.azure.table import AzureTable
from cloud_functions.adapters.azure.table_entities import key_of
from cloud_functions.adapters.azure.table_indexes import OTHERS

_PAGE = 100


def remove_expired(client: TableClient, now_ms: int, left_ms: Callable[[], int], reserved_ms: int = 10_000) -> int:
    """Remove the items of a table that expired, as long as time is left; return their number. Raises StoreError.

    The whole table is read, so this is for a timer at night; the next run continues what this one did not reach.
    """
    table, total = AzureTable(client), 0
    wanted = f"expires_at lt {now_ms // 1000}L and RowKey lt '{OTHERS}'"
    with store_errors("find expired items"):
        found = iter(client.query_entities(wanted, select=["PartitionKey", "RowKey"]))
        while left_ms() > reserved_ms and (page := list(itertools.islice(found, _PAGE))):
            table.remove(key_of(entity) for entity in page)
            total += len(page)
    return total
