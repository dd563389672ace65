"""Latest row of each series of a gateway: from the newest stored batches, then from the newest roll-ups."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cloud_functions.core import keys, parameters, rollup
from cloud_functions.core.batch_rows import UnreadableBatchError, rows_of
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.catalogue import series_from
from cloud_functions.core.columns import merge
from cloud_functions.core.errors import RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.globs import matches
from cloud_functions.core.ports import Table
from wire.codec import Profiles
from wire.model import Aggregates

MAX_BATCHES = 20
"""Newest batches that one request decodes; a batch of 600 rows takes about 20 ms."""
MAX_HOURS = 48
"""Newest roll-ups that one request reads for series that are not in those batches."""
MAX_SERIES = 5_000
_LOG = logging.getLogger(__name__)


def latest(telemetry: Table, profiles: Profiles, gateway: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the latest row of each series that matches ``series``, sorted by name.

    A series without a row in the newest batches and roll-ups is absent. Raises RequestError for an invalid pattern.
    """
    problems: list[str] = []
    wanted = parameters.pattern(query, "series", problems)
    if problems:
        raise RequestError(problems)
    prefix = keys.series(check_name(gateway), "")
    known = map(series_from, telemetry.query(prefix.pk, prefix.sk, prefix.sk + "\x7f"))
    missing = {one.name for one in itertools.islice((s for s in known if matches(wanted, s.name)), MAX_SERIES)}
    found: dict[str, dict[str, Any]] = {}
    for rows in itertools.chain(_newest_batches(telemetry, profiles, gateway), _newest_rollups(telemetry, gateway)):
        if not missing - found.keys():
            break
        for shown in _last_rows(rows, missing):
            there = found.get(shown["series"])
            if there is None or (there["start_ms"], there["end_ms"]) < (shown["start_ms"], shown["end_ms"]):
                found[shown["series"]] = shown
    return [found[name] for name in sorted(found)]


def _newest_batches(telemetry: Table, profiles: Profiles, gateway: str) -> Iterator[Aggregates]:
    """Yield the rows of the newest batches, those whose rows lie within a short time first."""
    pk = keys.batch(gateway, 0, 1).pk
    classes = (
        telemetry.query_index(keys.BY_TIME, pk, first, last, newest_first=True)
        for first, last in keys.ranges(0, keys.MAX_TIME_MS + 1)
    )
    for item in itertools.islice(itertools.chain.from_iterable(classes), MAX_BATCHES):
        try:
            yield rows_of(StoredBatch.of(item), profiles)
        except UnreadableBatchError as error:
            _LOG.error("latest: %s", error)


def _newest_rollups(telemetry: Table, gateway: str) -> Iterator[Aggregates]:
    items = telemetry.query(keys.rollup(gateway, 0).pk, newest_first=True)
    for item in itertools.islice(items, MAX_HOURS):
        yield rollup.from_item(item)[1]


def _last_rows(rows: Aggregates, wanted: set[str]) -> Iterator[dict[str, Any]]:
    rows = merge([rows])
    if not len(rows):
        return
    # Sorted by series, then time: the last row of each series is where the next row has another one.
    ends = np.flatnonzero(np.append(rows.series_index[1:] != rows.series_index[:-1], True))
    for at in ends.tolist():
        series = rows.series[int(rows.series_index[at])]
        if series.name in wanted:
            start_ms = int(rows.start_ms[at])
            yield {
                "series": series.name,
                "unit": series.unit,
                "start_ms": start_ms,
                "end_ms": start_ms + int(rows.width_ms[at]),
                "count": int(rows.count[at]),
                **{name: _value(float(getattr(rows, name)[at])) for name in ("mean", "min", "max")},
            }


def _value(value: float) -> float | None:
    return value if math.isfinite(value) else None
