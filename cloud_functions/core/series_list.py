"""List of the series of a gateway, from its catalogue."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from cloud_functions.core import keys, paging, parameters
from cloud_functions.core.catalogue import series_from
from cloud_functions.core.errors import RequestError
from cloud_functions.core.gateways import check_name
from cloud_functions.core.globs import matches
from cloud_functions.core.ports import Table

MAX_LISTED, DEFAULT_LISTED = 5_000, 1_000


def page(telemetry: Table, gateway: str, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of the series that match ``series``, and the cursor of the next page; raises RequestError."""
    problems: list[str] = []
    limit = parameters.count(query, "limit", DEFAULT_LISTED, MAX_LISTED, problems)
    wanted = parameters.pattern(query, "series", problems)
    if problems:
        raise RequestError(problems)
    prefix = keys.series(check_name(gateway), "")
    scope = paging.scope_of(f"series of {gateway}", query)
    first, cursor = prefix.sk, query.get("cursor")
    if cursor is not None:
        first = prefix.sk + str(paging.decode(cursor, scope, str)[0]) + "\x01"
    known = map(series_from, telemetry.query(prefix.pk, first, prefix.sk + "\x7f"))
    found = list(itertools.islice((one for one in known if matches(wanted, one.name)), limit + 1))
    items = [{"series": one.name, "unit": one.unit, "resolution": one.resolution} for one in found[:limit]]
    return items, paging.encode(scope, found[limit - 1].name) if len(found) > limit else None
