"""JSON Schemas of the answers, parameters and bodies that several routes have."""

from __future__ import annotations

from cloud_functions.core.alert import State
from cloud_functions.core.alert_queries import SEVERITIES
from cloud_functions.rest.routes import Parameter
from cloud_functions.rest.schema import FLAG, MS, NUMBER, TEXT, WHOLE, array, mapping, named, one_of, or_null, record

LIMIT = Parameter("limit", "Most items of a page", {"type": "integer", "minimum": 1})
CURSOR = Parameter("cursor", "next of the page before", TEXT)
FROM = Parameter("from", "Begin of the range: milliseconds since 1970, or ISO 8601 with its offset", TEXT)
TO = Parameter("to", "End of the range, not included; default now", TEXT)
SERIES = Parameter("series", "Name of the series", TEXT, required=True)
SERIES_GLOB = Parameter("series", "Pattern of series: * stands for any text, ? for one character", TEXT)

SEVERITY = one_of(*SEVERITIES)
HEALTH = named(
    "Health",
    record(
        {},
        {
            "components": mapping(TEXT),
            "spool_bytes": WHOLE,
            "spool_batches": WHOLE,
            "clock_offset_ms": WHOLE,
            "version": TEXT,
            "versions": mapping(TEXT),
        },
    ),
)
_GATEWAY = {
    "gateway": TEXT,
    "site": TEXT,
    "silent": FLAG,
    "first_seen_ms": MS,
    "last_seen_ms": MS,
    "batches": WHOLE,
    "rows": WHOLE,
    "bytes": WHOLE,
    "duplicates": WHOLE,
    "acknowledgements": WHOLE,
    "rejected": mapping(WHOLE),
    "alerts": mapping(WHOLE),
}
_MAYBE = {"health": HEALTH}
GATEWAY = named("Gateway", record(_GATEWAY, _MAYBE))
_EPOCH = named(
    "Epoch",
    record(
        {
            "epoch": TEXT,
            "batches": WHOLE,
            "rows": WHOLE,
            "cumulative": WHOLE,
            "highest": WHOLE,
            "missing": array(array(WHOLE)),
            "missing_count": WHOLE,
            "gap_since_ms": or_null(MS),
            "first_ms": MS,
            "changed_ms": MS,
        }
    ),
)
GATEWAY_DETAILS = named(
    "GatewayDetails",
    record(
        {
            **_GATEWAY,
            "losses": mapping(WHOLE),
            "merged": WHOLE,
            "epochs": array(_EPOCH),
            "notice": or_null(record({"time_ms": WHOLE, "counters": mapping(mapping(WHOLE))})),
        },
        _MAYBE,
    ),
)
SERIES_ITEM = named("Series", record({"series": TEXT, "unit": TEXT, "resolution": or_null(NUMBER)}))
LATEST = named(
    "Latest",
    record(
        {
            "series": TEXT,
            "unit": TEXT,
            "start_ms": MS,
            "end_ms": WHOLE,
            "count": WHOLE,
            "mean": or_null(NUMBER),
            "min": or_null(NUMBER),
            "max": or_null(NUMBER),
        }
    ),
)
AGGREGATES = named(
    "Aggregates",
    record(
        {
            "gateway": TEXT,
            "series": TEXT,
            "unit": TEXT,
            "resolution": or_null(NUMBER),
            "width": one_of("raw", "15m", "1h", "1d"),
            "rows": WHOLE,
        },
        {
            "columns": mapping(array(or_null(NUMBER))),
            "items": array(mapping(or_null(NUMBER))),
            "next": TEXT,
            "other_units": mapping(WHOLE),
            "unreadable_batches": WHOLE,
        },
    ),
)
LIMITS = named("Limits", record({"gateway": TEXT, "series": TEXT, "high": or_null(NUMBER), "low": or_null(NUMBER)}))
LIMITS_BODY = record({}, {"high": or_null(NUMBER), "low": or_null(NUMBER)})
ALERT = named(
    "Alert",
    record(
        {"id": TEXT, "gateway": TEXT, "series": TEXT, "state": one_of(*State), "onset_ms": MS, "opened_ms": MS},
        {
            "kind": one_of("anomaly", "rule", "silence", "health"),
            "severity": SEVERITY,
            "rule": or_null(TEXT),
            "summary": or_null(TEXT),
            "unit": TEXT,
            "last_ms": MS,
            "fired_ms": or_null(MS),
            "ended_ms": or_null(MS),
            "acknowledged_ms": or_null(MS),
            "acknowledged_by": or_null(TEXT),
            "comment": or_null(TEXT),
            "observed": or_null(NUMBER),
            "expected": or_null(NUMBER),
            "lower": or_null(NUMBER),
            "upper": or_null(NUMBER),
            "score": or_null(NUMBER),
            "cause": or_null(TEXT),
            "causes": mapping(NUMBER),
            "gateway_silent": FLAG,
            "gateway_last_seen_ms": or_null(MS),
        },
    ),
)
EVENT = named("Event", record({"time_ms": MS, "event": TEXT, "by": TEXT, "detail": TEXT}))
