"""Requests that schemathesis generates from the description of the API: no 5xx, and every answer as described.

Each operation gets a bounded number of seeded examples, half of them with names that exist in the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import one_of

from cloud_functions.api.describe import description
from tests.unit.cloud.api_site import ApiSite, event
from tests.unit.cloud.fakes import NOW_MS, report

schemathesis = pytest.importorskip("schemathesis")
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402 - after the check that it is installed
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.slow
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 30
RULE = {"condition": {"type": "threshold", "above": 5}}


def filled() -> ApiSite:
    site = ApiSite()
    site.rows("gw-1", n=60)
    site.services.book.report("gw-1", report())
    site.call("PUT", "/v1/rules/a", RULE)
    site.call("PUT", "/v1/silences/a", {"from": NOW_MS, "to": NOW_MS + 1_000, "comment": "x"})
    site.call("PUT", "/v1/routes/a", {"channels": ["a"]})
    site.call("PUT", "/v1/channels/a", {"type": "mqtt"})
    return site


SITE = filled()
ALERT = SITE.call("GET", "/v1/alerts").json["items"][0]["id"]
KNOWN = {"gateway": "gw-1", "alert": ALERT, "name": "a"}
calls = iter(range(10**9))


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request over WSGI, as an admin."""
    headers = {name[5:].replace("_", "-").lower(): str(v) for name, v in environ.items() if name.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape")
    request = event(environ["REQUEST_METHOD"], "/", environ.get("QUERY_STRING", ""), body, headers, "admin")
    answer = SITE.raw(request | {"rawPath": path})
    start(f"{answer.status} X", list(answer.headers.items()))
    return [answer.content]


def schemas() -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(description())
    schema.app = application
    yield schema


(SCHEMA,) = schemas()


OPERATIONS = {found.label: found for found in (result.ok() for result in SCHEMA.get_all_operations())}


# Not SCHEMA.parametrize(): its tests have one name, of which pytest-xdist runs one.
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_generated_requests_are_answered_as_described(label: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=one_of(*(OPERATIONS[label].as_strategy(generation_mode=mode) for mode in GenerationMode)))
    def answered_as_described(case: Any) -> None:
        if next(calls) % 2:
            case.path_parameters = {name: KNOWN[name] for name in case.path_parameters or {}}
            if "series" in (case.query or {}):
                case.query["series"] = "pump/temp"
        response = case.call(app=application)
        case.validate_response(response, checks=CHECKS)

    answered_as_described()
