"""The API and the forecast over the ports, and requests of any HTTP server in the form that they read."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud_functions.adapters.functions import Options
from cloud_functions.clock import DAY_MS
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import ArchiveReader, NowMs, Table
from cloud_functions.rest.roles import RoleRules

_FORECAST = "/forecast"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; ``claims`` are those of the caller's verified token, None for a caller without one.

    ``query`` is the text after the question mark.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    claims: Mapping[str, Any] | None

    def to_event(self) -> dict[str, Any]:
        """Return the request in the payload format 2.0, which the API reads in every cloud."""
        authorizer = {} if self.claims is None else {"authorizer": {"jwt": {"claims": dict(self.claims)}}}
        return {
            "rawPath": self.path,
            "rawQueryString": self.query,
            "headers": dict(self.headers),
            "body": base64.b64encode(self.body).decode(),
            "isBase64Encoded": True,
            "requestContext": {"http": {"method": self.method}, **authorizer},
        }


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Rest:
    """All routes of API v1, that of the forecast included; ``archive`` reads rows that have left the table."""

    def __init__(
        self,
        telemetry: Table,
        alerts: Table,
        archive: ArchiveReader | None,
        options: Options,
        rules: RoleRules,
        now_ms: NowMs,
        metrics: Metrics,
        log: logging.Logger,
    ) -> None:
        from cloud_functions.api.services import Services
        from cloud_functions.api.table import ROUTES
        from cloud_functions.core.profiles import Profiles
        from cloud_functions.forecast.routes import ROUTES as FORECAST_ROUTES
        from cloud_functions.forecast.routes import ForecastServices
        from cloud_functions.rest.routes import Router
        from cloud_functions.rest.service import Service

        services = Services(
            telemetry=telemetry,
            alerts=alerts,
            now_ms=now_ms,
            raw_ms=options.raw_days * DAY_MS,
            report_ms=options.retention_days * DAY_MS,
            alert_ms=options.alert_retention_days * DAY_MS,
            silent_after_ms=options.silent_after_ms,
            metrics=metrics,
            archive=archive,
        )
        forecast = ForecastServices(telemetry, now_ms, Profiles(telemetry, now_ms))
        self._api = Service(Router(ROUTES), services, rules, metrics, log)
        self._forecast = Service(Router(FORECAST_ROUTES), forecast, rules, metrics, log)

    def respond(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer; a failure is an answer, too."""
        service = self._forecast if request.path.endswith(_FORECAST) else self._api
        answer = service.respond(request.to_event())
        body = str(answer["body"])
        content = base64.b64decode(body) if answer["isBase64Encoded"] else body.encode()
        return HttpAnswer(int(answer["statusCode"]), answer["headers"], content)
