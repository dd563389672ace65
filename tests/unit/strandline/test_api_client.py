"""The typed client against the API in memory: every method, pages, errors and repeated requests."""

from __future__ import annotations

import ast
import gzip
import http.client
from pathlib import Path

import pytest
from botocore.credentials import Credentials

import strandline.api.client as client_module
from cloud_functions.api.table import ROUTES
from cloud_functions.forecast.routes import ROUTES as FORECAST_ROUTES
from strandline.api.client import ApiClient
from strandline.api.transport import Request, Response, send, signed, with_token
from strandline.errors import ApiError
from tests.unit.cloud.api_site import ApiSite
from tests.unit.cloud.fakes import NOW_MS, report
from tests.unit.strandline.api_sender import sender_to

RULE = {"condition": {"type": "threshold", "above": 5}}


@pytest.fixture
def site() -> ApiSite:
    made = ApiSite()
    made.rows("gw-1", n=60)
    made.services.book.report("gw-1", report())
    return made


@pytest.fixture
def client(site: ApiSite) -> ApiClient:
    return ApiClient("http://api/", sender_to(site))


def test_gateways_series_rows_and_limits_are_read(client: ApiClient) -> None:
    assert client.me()["role"] == "admin"
    assert [one["gateway"] for one in client.gateways()] == ["gw-1"]
    assert client.gateway("gw-1")["rows"] == 60
    assert [one["series"] for one in client.series("gw-1", "pump*")] == ["pump/temp"]
    assert client.latest("gw-1")[0]["mean"] == 59.0
    rows = client.aggregates("gw-1", "pump/temp", resolution="raw")
    assert rows["columns"]["mean"] == [float(at) for at in range(60)]
    assert client.put_limits("gw-1", "pump/temp", 400.0, None) == client.limits("gw-1", "pump/temp")
    assert client.forecast("gw-1", "pump/temp")["limits"][0]["limit"] == 400.0


def test_costs_are_estimated(client: ApiClient) -> None:
    costs = client.costs()
    assert costs["gateways"] == costs["gateways_active"] == 1
    assert costs["total"] == pytest.approx(sum(costs["items"].values()))


def test_pages_of_rows_and_lists_are_joined(client: ApiClient, site: ApiSite) -> None:
    rows = client.aggregates("gw-1", "pump/temp", resolution="raw", limit=7)
    assert (rows["rows"], len(rows["columns"]["mean"]), "next" in rows) == (60, 60, False)
    for at in range(5):
        site.rows(f"gw-{at}", n=1, series="x/y")
    assert len(list(client.pages("gateways", limit=2))) == 5


def test_alerts_are_listed_shown_and_acknowledged(client: ApiClient) -> None:
    (alert,) = client.alerts(state="open", gateway="gw-1")
    assert client.alert(alert["id"])["state"] == "firing"
    assert client.acknowledge(alert["id"], "seen")["state"] == "acknowledged"
    assert client.history(alert["id"])[-1]["detail"] == "seen"


def test_documents_are_stored_with_conditions_and_deleted(client: ApiClient) -> None:
    assert client.put_document("rules", "a", RULE, create_only=True)["version"] == 1
    with pytest.raises(ApiError, match="it exists already") as caught:
        client.put_document("rules", "a", RULE, create_only=True)
    assert caught.value.status == 412
    assert client.put_document("rules", "a", RULE | {"severity": "info"}, version=1)["version"] == 2
    assert client.document("rules", "a")["severity"] == "info"
    assert [one["name"] for one in client.documents("rules")] == ["a"]
    client.delete_document("rules", "a", version=2)
    assert list(client.documents("rules")) == []
    assert client.dry_run(RULE, NOW_MS - 60_000, NOW_MS)["count"] == 1


def test_telemetry_is_posted_once(client: ApiClient) -> None:
    readings = [{"series": "a/b", "time": NOW_MS, "value": 1.0}]
    assert client.post_telemetry("gw-2", readings, "r-1") == {"accepted": 1, "duplicates": 0, "faults": []}
    assert client.post_telemetry("gw-2", readings, "r-1")["duplicates"] == 1


def test_every_route_of_the_api_has_a_method() -> None:
    source = ast.unparse(ast.parse(Path(client_module.__file__).read_text()))
    for route in (*ROUTES, *FORECAST_ROUTES):
        last = next(part for part in reversed(route.segments) if not part.startswith("{"))
        known = last in source or route.segments[1] in ("rules", "silences", "routes", "channels")
        assert known or last in ("openapi.json", "costs"), route.path


def test_an_error_has_the_problems_and_the_status(site: ApiSite) -> None:
    viewer = ApiClient("http://api", sender_to(site, "viewer"))
    with pytest.raises(ApiError, match=r"role: .* is viewer; operator is required") as caught:
        viewer.put_limits("gw-1", "pump/temp", 1.0, None)
    assert caught.value.status == 403
    with pytest.raises(ApiError, match="gateway gw-9 is not known"):
        viewer.gateway("gw-9")


def test_reading_is_repeated_while_the_store_is_away_and_writing_is_not(site: ApiSite) -> None:
    pauses: list[float] = []
    failures = iter([True, True])
    site.alerts.refuse = lambda key: next(failures, False)
    client = ApiClient("http://api", sender_to(site), pauses.append)
    with pytest.raises(ApiError, match="no document"):
        client.document("rules", "a")
    assert len(pauses) == 2
    site.alerts.refuse = lambda key: True
    with pytest.raises(ApiError, match="the store is not available") as caught:
        client.put_document("rules", "a", RULE)
    assert caught.value.status == 503
    assert len(pauses) == 2
    with pytest.raises(ApiError):
        client.document("rules", "a")
    assert len(pauses) == 5


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b'{"message": "Unauthorized"}', "accepts neither these credentials nor this token"),
        (403, b'{"message": "Forbidden"}', "accepts neither"),
        (429, b'{"message": "Too Many Requests"}', "status 429 Too Many Requests"),
        (500, b"<html>", "status 500"),
        (200, b"<html>", "the address is not that of the API"),
        (200, b"[]", "the address is not that of the API"),
    ],
)
def test_an_answer_that_is_not_of_the_api_is_an_error(status: int, body: bytes, message: str) -> None:
    client = ApiClient("http://api", lambda request: Response(status, {}, body), lambda seconds: None)
    with pytest.raises(ApiError, match=message):
        client.me()


def test_a_token_is_sent_as_a_header_and_never_in_the_address() -> None:
    sent: list[Request] = []

    def record(request: Request) -> Response:
        sent.append(request)
        return Response(200, {}, b"{}")

    ApiClient("http://api", with_token("secret", record)).me()
    assert sent[0].headers["authorization"] == "Bearer secret"
    assert "secret" not in sent[0].url


def test_a_signed_request_has_a_signature_of_its_body_and_query() -> None:
    sent: list[Request] = []

    def record(request: Request) -> Response:
        sent.append(request)
        return Response(200, {}, b"{}")

    signing = signed(Credentials("AKIDEXAMPLE", "secret"), "eu-central-1", record)
    client = ApiClient("http://api", signing)
    client.call("PUT", "gateways/gw-1/limits", {"high": 1}, series="a/b c")
    assert sent[0].url.endswith("?series=a%2Fb%20c")
    assert "/eu-central-1/execute-api/aws4_request" in sent[0].headers["Authorization"]


@pytest.mark.parametrize("url", ["ftp://x/v1/me", "file:///etc/passwd", "x"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(ApiError, match="begins with https://"):
        send(Request("GET", url, {}, None))


def test_a_compressed_answer_is_read() -> None:
    from strandline.api.transport import _response

    headers = http.client.HTTPMessage()
    headers["Content-Encoding"] = "gzip"
    assert _response(200, headers, gzip.compress(b"{}")).body == b"{}"
