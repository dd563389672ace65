"""Types of the answers of API v1 (cloud_functions/api/openapi.json describes all keys)."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Health(TypedDict, total=False):
    """Health of a gateway from its last notice; unknown parts are absent."""

    components: dict[str, str]
    spool_bytes: int
    spool_batches: int
    clock_offset_ms: int
    version: str
    versions: dict[str, str]


class Gateway(TypedDict):
    """Gateway with its figures."""

    gateway: str
    site: str
    silent: bool
    first_seen_ms: int
    last_seen_ms: int
    batches: int
    rows: int
    bytes: int
    duplicates: int
    acknowledgements: int
    rejected: dict[str, int]
    alerts: dict[str, int]
    health: NotRequired[Health]


class Epoch(TypedDict):
    """Received and missing sequences of an epoch."""

    epoch: str
    batches: int
    rows: int
    cumulative: int
    highest: int
    missing: list[list[int]]
    missing_count: int
    gap_since_ms: int | None
    first_ms: int
    changed_ms: int


class GatewayDetails(Gateway):
    """Gateway with its epochs, its losses and its last notice."""

    losses: dict[str, int]
    merged: int
    epochs: list[Epoch]
    notice: dict[str, Any] | None


class Costs(TypedDict):
    """Estimated charges of a month in dollars; ``greengrass`` is the fee apart from ``total``."""

    currency: str
    gateways: int
    gateways_read: int
    gateways_active: int
    since_ms: int | None
    month: dict[str, int]
    items: dict[str, float]
    total: float
    greengrass: float


class Series(TypedDict):
    """Series of a gateway."""

    series: str
    unit: str
    resolution: float | None


class Latest(TypedDict):
    """Latest row of a series."""

    series: str
    unit: str
    start_ms: int
    end_ms: int
    count: int
    mean: float | None
    min: float | None
    max: float | None


class Aggregates(TypedDict):
    """Rows of a series as columns."""

    gateway: str
    series: str
    unit: str
    resolution: float | None
    width: str
    rows: int
    columns: dict[str, list[float | None]]
    next: NotRequired[str]
    other_units: NotRequired[dict[str, int]]
    unreadable_batches: NotRequired[int]


class Limits(TypedDict):
    """Limits of a series."""

    gateway: str
    series: str
    high: float | None
    low: float | None


class Alert(TypedDict):
    """Alert; an anomaly has more keys, of its report."""

    id: str
    gateway: str
    series: str
    state: str
    onset_ms: int
    opened_ms: int
    kind: NotRequired[str]
    severity: NotRequired[str]
    summary: NotRequired[str]
    last_ms: NotRequired[int]
    ended_ms: NotRequired[int | None]
    acknowledged_ms: NotRequired[int | None]
    acknowledged_by: NotRequired[str]
    comment: NotRequired[str]
    gateway_silent: NotRequired[bool]
    gateway_last_seen_ms: NotRequired[int | None]


class Event(TypedDict):
    """Event of an alert."""

    time_ms: int
    event: str
    by: str
    detail: str


Document = dict[str, Any]
"""Rule, silence, route or channel, with ``name``, ``version``, ``updated_ms`` and ``updated_by``."""


class Me(TypedDict):
    """Caller."""

    user: str
    role: str


class Posted(TypedDict):
    """Result of posted telemetry."""

    accepted: int
    duplicates: int
    faults: list[dict[str, Any]]


class DryRun(TypedDict):
    """Alerts that a rule would have fired."""

    series_evaluated: int
    firings: list[dict[str, Any]]
    count: int
    truncated: NotRequired[bool]
