"""Routes that store readings sent over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloud_functions.api.services import Services
from cloud_functions.core import keys
from cloud_functions.core.errors import DifferentError, Reason, RejectError, RequestError
from cloud_functions.rest.answers import Answer
from cloud_functions.rest.problems import MediaTypeError
from cloud_functions.rest.request import Request, read_json
from cloud_functions.rest.roles import Role
from cloud_functions.rest.routes import Route
from cloud_functions.rest.schema import MS, NUMBER, TEXT, WHOLE, array, one_of, or_null, record

if TYPE_CHECKING:
    from cloud_functions.core.telemetry import Posted

JSON, TEXT_PLAIN, SENML_JSON = "application/json", "text/plain", ("application/senml+json", "application/sensml+json")
SENML_CBOR = ("application/senml+cbor", "application/sensml+cbor")


def post(request: Request, services: Services) -> Answer:
    """Store readings; an item with a fault is left out and named, the others are stored."""
    posted = _read(request, services.now_ms())
    if posted.arrival is None:
        return _answer(0, 0, posted.faults)
    try:
        stored = services.storer.store(posted.arrival)
    except RejectError as error:
        kind = DifferentError if error.reason is Reason.DIFFERENT else RequestError
        raise kind([error.detail]) from error
    amounts = stored.totals if stored.new else {"duplicates": 1}
    services.metrics.counts.update(amounts)
    now = services.now_ms()
    gateway = posted.arrival.name.gateway
    services.telemetry.add(keys.about(gateway), amounts, {"kind": "about", "seen_ms": now}, {"first_seen_ms": now})
    rows = int(stored.totals["rows"])
    return _answer(rows, 0, posted.faults) if stored.new else _answer(0, rows, posted.faults)


def _read(request: Request, now_ms: int) -> Posted:
    from cloud_functions.core.senml import read_cbor, read_senml
    from cloud_functions.core.telemetry import read_telemetry

    kind, gateway = request.content_type, request.names.get("gateway")
    if kind in ("", JSON, TEXT_PLAIN):
        return read_telemetry(read_json(request.body), now_ms, gateway, request.body)
    if kind in SENML_JSON:
        return read_senml(read_json(request.body), now_ms, gateway, request.body)
    if kind in SENML_CBOR:
        return read_senml(read_cbor(request.body), now_ms, gateway, request.body)
    raise MediaTypeError([f"content-type: {kind[:80]!r}: one of {', '.join((JSON, *SENML_JSON, *SENML_CBOR))}"])


def _answer(accepted: int, duplicates: int, faults: list[tuple[int, str]]) -> Answer:
    shown = [{"index": index, "problem": problem} for index, problem in faults]
    return Answer(202, {"accepted": accepted, "duplicates": duplicates, "faults": shown})


_READING = record(
    {"series": TEXT, "time": MS, "value": NUMBER},
    {"unit": TEXT, "resolution": or_null(NUMBER), "quality": one_of("good", "uncertain", "bad")},
)
_BODY = record({"readings": array(_READING)}, {"id": TEXT, "gateway": TEXT})
_SENML: dict[str, Any] = {
    "type": "array",
    "items": {"type": "object"},
    "description": "SenML (RFC 8428); the gateway is that of the path",
}
_RESULT = record({"accepted": WHOLE, "duplicates": WHOLE, "faults": array(record({"index": WHOLE, "problem": TEXT}))})
_CBOR: dict[str, Any] = {
    "type": "string",
    "format": "binary",
    "description": "SenML as CBOR (RFC 8428, section 6); the gateway is that of the path",
}
_BODIES = {"application/json": _BODY, **dict.fromkeys(SENML_JSON, _SENML), **dict.fromkeys(SENML_CBOR, _CBOR)}

ROUTES = (
    Route(
        "POST",
        "/v1/telemetry",
        Role.OPERATOR,
        post,
        "Store readings of the gateway that the body names",
        _RESULT,
        status=202,
        body={"application/json": _BODY},
        statuses=(409, 415),
    ),
    Route(
        "POST",
        "/v1/gateways/{gateway}/telemetry",
        Role.OPERATOR,
        post,
        "Store readings of a gateway",
        _RESULT,
        status=202,
        body=_BODIES,
        statuses=(409, 415),
    ),
)
