"""The catalogue of gateways and of their series: items that exist once a gateway or series has sent anything."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cloud_functions.core import keys
from cloud_functions.core.ports import Item, Table
from wire.names import Series

MAX_KNOWN_SERIES = 1_500_000
"""Series of which a worker keeps the hash, 12 MB; above it the least recently seen gateways are forgotten."""


class Catalogue:
    """The catalogue in the telemetry table; a worker reads a gateway's entries once."""

    def __init__(self, table: Table, most: int = MAX_KNOWN_SERIES) -> None:
        self._table, self._most = table, most
        self._known: OrderedDict[str, array[int]] = OrderedDict()
        self._size = 0

    @contextmanager
    def adding(self, gateway: str, series: Iterable[Series]) -> Iterator[list[Item]]:
        """Yield the items to write for what the catalogue lacks; at a regular end they count as written."""
        kept = self._known.get(gateway)
        new = kept is None
        known = self._read(gateway) if kept is None else set(kept)
        missing = {one.name: one for one in series if hash(one) not in known}
        # A name once only: the store takes a key once in a request. The last unit and resolution are listed.
        items = [_series_item(gateway, one) for one in missing.values()]
        if new:
            items.append(gateway_item(gateway))
        yield items
        added = {hash(one) for one in series} - known
        if kept is None or added:
            self._size += len(known | added) - (0 if kept is None else len(kept))
            self._known[gateway] = array("q", known | added)
        self._known.move_to_end(gateway)
        while self._size > self._most and len(self._known) > 1:
            self._size -= len(self._known.popitem(last=False)[1])

    def _read(self, gateway: str) -> set[int]:
        prefix = keys.series(gateway, "")
        found = self._table.query(prefix.pk, prefix.sk, prefix.sk + "\x7f")
        return {hash(series_from(item)) for item in found}


def gateway_item(gateway: str) -> Item:
    """Return the catalogue's item of a gateway."""
    key = keys.gateway(gateway)
    return {"pk": key.pk, "sk": key.sk, "kind": "gateway"}


def _series_item(gateway: str, series: Series) -> Item:
    key = keys.series(gateway, series.name)
    resolution = "" if series.resolution is None else repr(series.resolution)
    return {"pk": key.pk, "sk": key.sk, "kind": "series", "unit": series.unit, "resolution": resolution}


def series_from(item: Item) -> Series:
    """Return the series of a catalogue item."""
    resolution = str(item.get("resolution", ""))
    name = str(item["sk"]).split("#", 1)[1]
    return Series(name, str(item.get("unit", "")), float(resolution) if resolution else None)
