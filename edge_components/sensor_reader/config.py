"""The sensor reader's configuration: its sources, units and resolutions by series, and the limits of its batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from edge_components.common.config import integer, mapping
from edge_components.common.series_limit import DEFAULT_SERIES, MAX_SERIES
from edge_components.sensor_reader.entries import ALLOWED, DEFAULT, Entry, read_entries, without_invalid
from edge_components.sensor_reader.source_series import Traits
from wire.errors import ModelError
from wire.model import Series

_TRAITS = 'an object from globs to {"unit": text of at most 32 bytes, "resolution": a number above 0}, both optional'
_MQTT_KEYS = {
    "value_key": "value",
    "time_key": "time",
    "quality_key": "quality",
    **{
        key: key
        for key in (
            *("host", "port", "client_id", "topics", "qos", "version", "inflight", "clean_session", "keepalive_s"),
            *("username", "password_file", "tls", "ca_file", "cert_file", "key_file", "max_payload_bytes"),
        )
    },
}
_HOST_KEYS = {"prefix": "prefix", "interval_ms": "interval_ms", "disk": "disk"}


def _traits(value: Any) -> Traits:
    if not isinstance(value, Mapping) or len(value) > MAX_SERIES:
        raise ValueError(f"{_TRAITS}, at most {MAX_SERIES}")
    return {str(glob): _trait(str(glob), given) for glob, given in value.items()}


def _trait(glob: str, given: Any) -> tuple[str | None, float | None]:
    if not isinstance(given, Mapping) or not set(given) <= {"unit", "resolution"}:
        raise ValueError(f"{_TRAITS} (see {glob[:80]!r})")
    try:
        unit = None if given.get("unit") is None else str(given["unit"])
        raw = given.get("resolution")
        resolution = math.nan if isinstance(raw, bool) else None if raw is None else float(raw)
        Series("x", unit or "", resolution)
    except (TypeError, ValueError, OverflowError, ModelError) as error:
        raise ValueError(f"{_TRAITS} (see {glob[:80]!r})") from error
    return unit, resolution


def _replaced() -> dict[str, str]:
    replaced = {
        "mqtt": 'an entry {"name": "mqtt", "kind": "mqtt"} in sources',
        "host": 'an entry {"name": "host", "kind": "host"} in sources',
        "max_future_ms": "the key max_future_ms of an entry in sources",
    }
    for kind, keys in (("mqtt", _MQTT_KEYS), ("host", _HOST_KEYS)):
        for former, key in keys.items():
            entry = f'{{"name": "{kind}", "kind": "{kind}", "{key}": ...}}'
            replaced[f"{kind}_{former}"] = f"the key {key} of an entry in sources: {entry}"
    return replaced


@dataclass(frozen=True, slots=True)
class Config:
    """See README.md for the table of keys."""

    REPLACED: ClassVar[Mapping[str, str]] = _replaced()

    sources: tuple[Entry, ...] = mapping(
        DEFAULT, read_entries, ALLOWED, "the sensors to read; docs/sources.md has the keys of each kind"
    )
    series: Traits = mapping(  # noqa: RUF009
        {},
        _traits,
        _TRAITS,
        "units and resolutions by glob over series' names; of several that match the longest counts",
    )
    max_series: int = integer(
        DEFAULT_SERIES, 1, MAX_SERIES, "series at most; beyond it a new one replaces the least recently active one"
    )
    max_age_ms: int = integer(1_000, 10, 60_000, "milliseconds that a reading waits at most for its batch to fill")
    outbox_bytes: int = integer(
        4_000_000, 100_000, 100_000_000, "batches kept in memory until acknowledged; beyond it the oldest are dropped"
    )
    retry_s: int = integer(
        30, 1, 600, "seconds until an unacknowledged batch is first sent again; above the aggregator's `commit_ms`"
    )

    def entries(self) -> dict[str, Entry]:
        """Return the sources by name."""
        return {entry.name: entry for entry in self.sources}

    @staticmethod
    def valid_part(values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values without the entries of invalid sources."""
        return without_invalid(values)
