"""The API on Azure, with requests in the form of azure-functions and the header of App Service's authentication."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import azure.functions as func
import pytest
from azure.functions.timer import TimerRequest

from cloud_functions.adapters.azure.api import ROLE_CLAIM, ApiHandler, rest_of
from cloud_functions.core import keys
from cloud_functions.core.keys import HOUR_MS
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Key
from cloud_functions.rest.roles import RoleRules
from tests.integration.azure.conftest import LOG, Site
from tests.unit.cloud.fakes import START_MS, aggregates, report
from wire.model import Anomalies, Batch

HOST = "https://api.example.net"


class Api:
    """The API, called by people with a role."""

    def __init__(self, site: Site, *, authenticated: bool = True) -> None:
        from cloud_functions.adapters.azure.handlers import Options

        rest = rest_of(site.storage, Options(), RoleRules.read(ROLE_CLAIM, ""), lambda: site.now, Metrics(), LOG)
        self._handler = ApiHandler(rest, authenticated, LOG)

    def call(self, role: str | None, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        """Send a request with the claims of a person, without any for None; return status and body."""
        headers = {"Accept-Encoding": "gzip"}
        if role is not None:
            claims = [{"typ": "preferred_username", "val": "Ada"}, {"typ": "roles", "val": role}]
            principal = {"auth_typ": "aad", "claims": claims, "name_typ": "", "role_typ": "roles"}
            headers["X-MS-CLIENT-PRINCIPAL"] = base64.b64encode(json.dumps(principal).encode()).decode()
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = self._handler.respond(
            func.HttpRequest(method=method, url=f"{HOST}{target}", headers=headers, body=content)
        )
        found = answer.get_body()
        if answer.headers.get("content-encoding") == "gzip":
            found = gzip.decompress(found)
        return answer.status_code, json.loads(found) if found else None


@pytest.fixture
def api(site: Site) -> Api:
    return Api(site)


def test_people_are_answered_by_their_role(site: Site, api: Api) -> None:
    site.send(Batch("gw-1", 7, 1, aggregates(1)))
    status, body = api.call("viewer", "GET", "/v1/gateways")
    assert status == 200
    assert "gw-1" in json.dumps(body)
    rule = {"condition": {"type": "silence", "after_s": 120}}
    assert api.call("viewer", "PUT", "/v1/rules/away", rule)[0] == 403
    assert api.call("operator", "PUT", "/v1/rules/away", rule)[0] in (200, 201)
    assert api.call("operator", "GET", "/v1/rules/away")[1]["condition"]["after_s"] == 120
    assert api.call("stranger", "GET", "/v1/gateways")[0] == 403
    assert api.call("viewer", "GET", "/v1/nothing")[0] == 404


def test_a_request_without_claims_and_any_request_without_authentication_is_rejected(site: Site, api: Api) -> None:
    assert api.call(None, "GET", "/v1/gateways")[0] == 401
    assert Api(site, authenticated=False).call("admin", "GET", "/v1/gateways")[0] == 401


def test_an_acknowledged_alert_is_a_change_that_alerting_processes(site: Site, api: Api) -> None:
    site.send(Batch("gw-2", 7, 1, Anomalies((report(),))))
    handlers = site.handlers()
    for _ in range(2):
        for body in site.taken("changes"):
            handlers.alerting(func.QueueMessage(id="1", body=body))
    site.taken("channel-sns")
    (alert,) = api.call("viewer", "GET", "/v1/alerts?gateway=gw-2")[1]["items"]
    status, found = api.call("operator", "POST", f"/v1/alerts/{alert['id']}/acknowledge", {"comment": "seen"})
    assert (status, found["state"]) == (200, "acknowledged")
    (body,) = site.taken("changes")
    handlers.alerting(func.QueueMessage(id="1", body=body))
    (delivery,) = site.taken("channel-sns")
    assert "acknowledged" in json.loads(delivery)["event"]["type"]


def test_rows_that_only_the_archive_has_are_read_and_forecast_is_answered(site: Site, api: Api) -> None:
    site.send(Batch("gw-3", 7, 1, aggregates(0, 360)))
    hour = site.handlers()
    hour.compact(TimerRequest(past_due=False))
    assert hour.metrics.counts["tasks_failed"] == 0
    table = site.table("telemetry")
    partitions = (keys.batch("gw-3", 0, 1).pk, keys.rollup("gw-3", 0).pk)
    expired = [item for pk in partitions for item in table.query(pk)]
    assert len(expired) >= 2
    times = f"series=pump0.temperature&from={START_MS}&to={START_MS + HOUR_MS}"
    status, forecast = api.call("viewer", "GET", f"/v1/gateways/gw-3/forecast?high=30&{times}")
    assert (status, forecast["series"]) == (200, "pump0.temperature")
    table.remove([Key(str(item["pk"]), str(item["sk"])) for item in expired])
    status, rows = api.call("viewer", "GET", f"/v1/gateways/gw-3/aggregates?{times}")
    assert status == 200
    assert sum(rows["columns"]["count"]) == int(aggregates(0, 360).count[::3].sum())
