"""JSON encoding of anomalies and notices, which are few, urgent and extensible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wire import container
from wire.anomaly import MAX_VERSION, Anomalies, Anomaly, Notice, is_version
from wire.container import Coder, Kind, Packed
from wire.errors import FormatError, ModelError


def write(rows: Anomalies | Notice) -> bytes:
    """Return the rows as JSON; raises ModelError for values that JSON cannot represent."""
    if isinstance(rows, Anomalies):
        return _json([report.to_dict() for report in rows.reports])
    if not all(map(_fits, _numbers(rows.time_ms, rows.counters))):
        raise ModelError("notice: time_ms and counters must be 64-bit integers")
    if not _are_versions(rows.versions):
        raise ModelError(f"notice: versions must be ASCII texts of 1 to {MAX_VERSION} characters")
    versions = {"versions": dict(rows.versions)} if rows.versions else {}
    return _json({"time_ms": rows.time_ms, "counters": rows.counters} | versions)


def unpack(parts: Packed) -> Anomalies | Notice:
    """Return the reports of a batch; raises FormatError for other rows, and ModelError."""
    if parts.kind not in (Kind.ANOMALIES, Kind.NOTICE) or parts.coder is Coder.MODEL or parts.profile is not None:
        raise FormatError(
            f"{parts.kind.name.lower()} by {parts.coder.name}, profile {parts.profile}: neither rows nor reports"
        )
    content = container.inflate(parts.coder, parts.size, parts.stream)
    return read_anomalies(content) if parts.kind is Kind.ANOMALIES else read_notice(content)


def read_anomalies(body: bytes) -> Anomalies:
    """Return the reports; raises FormatError, or ModelError for a report that the model does not allow."""
    reports = _load(body)
    if not isinstance(reports, list) or not all(isinstance(report, dict) for report in reports):
        raise FormatError("anomalies: not a list of objects")
    return Anomalies(tuple(Anomaly.from_dict(report) for report in reports))


def read_notice(body: bytes) -> Notice:
    """Return the notice; raises FormatError."""
    value = _load(body)
    try:
        time_ms = value["time_ms"]
        counters = {component: dict(counts) for component, counts in value["counters"].items()}
        numbers = _numbers(time_ms, counters)
        versions = dict(value.get("versions", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"notice: {type(error).__name__}: {str(error)[:200]}") from error
    if not all(map(_fits, numbers)):
        raise FormatError("notice: time_ms and counters must be 64-bit integers")
    if not _are_versions(versions):
        raise FormatError(f"notice: versions must be ASCII texts of 1 to {MAX_VERSION} characters")
    return Notice(time_ms, counters, versions)


def _numbers(time_ms: object, counters: Mapping[str, Mapping[str, object]]) -> list[object]:
    return [time_ms, *(number for counts in counters.values() for number in counts.values())]


def _are_versions(versions: Mapping[str, Any]) -> bool:
    return all(isinstance(text, str) and is_version(text) for text in versions.values())


def _fits(number: object) -> bool:
    return type(number) is int and -(2**63) <= number < 2**63


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise ModelError(f"cannot be written as JSON: {error}") from error


def _load(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"body: {type(error).__name__}: {str(error)[:200]}") from error
