"""API v1 in memory: events as API Gateway makes them, answered by the routes of the api function over fake tables."""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from cloud_functions.api.services import Services
from cloud_functions.api.table import ROUTES
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.profiles import Profiles
from cloud_functions.forecast.routes import ROUTES as FORECAST_ROUTES
from cloud_functions.forecast.routes import ForecastServices
from cloud_functions.rest.roles import RoleRules
from cloud_functions.rest.routes import Router
from cloud_functions.rest.service import Service
from tests.unit.cloud.fakes import NOW_MS, FakeTable

RULES = RoleRules.read("role", "*:user/viewer=viewer,*:user/operator=operator,*:user/admin=admin")


@dataclass(frozen=True)
class Response:
    """A response as a client sees it, without compression."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def problems(self) -> list[str]:
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == self.status
        assert set(self.json) == {"type", "title", "status", "detail", "problems"}
        return list(self.json["problems"])


@dataclass
class ApiSite:
    """The functions api and forecast with their tables; the time is ``now_ms``."""

    telemetry: FakeTable = field(default_factory=FakeTable)
    alerts: FakeTable = field(default_factory=FakeTable)
    now_ms: int = NOW_MS
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        log = logging.getLogger("test.api")
        self.services = Services(self.telemetry, self.alerts, lambda: self.now_ms, metrics=self.metrics)
        self._api = Service(Router(ROUTES), self.services, RULES, self.metrics, log)
        profiles = Profiles(self.telemetry, lambda: self.now_ms)
        forecast = ForecastServices(self.telemetry, lambda: self.now_ms, profiles)
        self._forecast = Service(Router(FORECAST_ROUTES), forecast, RULES, self.metrics, log)

    def respond(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an event by the function to which the template routes it."""
        service = self._forecast if event["rawPath"].endswith("/forecast") else self._api
        return service.respond(event)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str | None = "admin",
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Response:
        """Send a request; a body that is not bytes is sent as JSON. ``from_`` is the parameter ``from``."""
        text = urlencode({name.rstrip("_"): str(value) for name, value in query.items()})
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.raw(event(method, path, text, content, headers or {}, role))

    def raw(self, event: Mapping[str, Any]) -> Response:
        """Send an event."""
        answer = self.respond(event)
        json.dumps(answer)
        content = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        if answer["headers"].get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        return Response(answer["statusCode"], answer["headers"], content)

    def rows(self, gateway: str = "gw-1", series: str = "pump/temp", n: int = 10, **changes: Any) -> None:
        """Post readings, one a second, the last a second ago."""
        readings = [
            {"series": series, "time": self.now_ms - (n - at) * 1_000, "value": float(at), "unit": "Cel"} | changes
            for at in range(n)
        ]
        answer = self.call("POST", f"/v1/gateways/{gateway}/telemetry", {"readings": readings})
        assert answer.json == {"accepted": n, "duplicates": 0, "faults": []}


def event(
    method: str, path: str, query: str, body: bytes, headers: Mapping[str, str], role: str | None
) -> dict[str, Any]:
    """Return the event of a request in payload format 2.0, the path decoded as API Gateway does."""
    arn = {} if role is None else {"authorizer": {"iam": {"userArn": f"arn:aws:iam::1:user/{role}"}}}
    return {
        "version": "2.0",
        "routeKey": f"{method} /v1/{{proxy+}}",
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": unquote(path)}, "stage": "$default"} | arn,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
