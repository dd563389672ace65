"""Answering of one event: request, route, role, handler, and the answer or problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from cloud_functions.core.errors import CloudError
from cloud_functions.core.metrics import Metrics
from cloud_functions.rest.answers import Answer, failure, render
from cloud_functions.rest.problems import ForbiddenError
from cloud_functions.rest.request import Request, read_request
from cloud_functions.rest.roles import RoleRules
from cloud_functions.rest.routes import Route, Router


class Log(Protocol):
    """Log of a function."""

    def error(self, msg: object, *args: object) -> None:
        """Write an error."""

    def exception(self, msg: object, *args: object) -> None:
        """Write an error with its traceback."""


class Service:
    """Routes with their services; ``metrics`` counts ``requests`` and ``failed_requests`` (5xx)."""

    def __init__(self, router: Router, services: Any, rules: RoleRules, metrics: Metrics, log: Log) -> None:
        self._router, self._services, self._rules = router, services, rules
        self._metrics, self._log = metrics, log

    def respond(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to an event of payload format 2.0; it never raises."""
        log = self._log
        headers = {str(name).lower(): str(value) for name, value in (event.get("headers") or {}).items()}
        method = str(((event.get("requestContext") or {}).get("http") or {}).get("method") or "GET").upper()
        try:
            answer = self._answer(read_request(event, self._rules))
            response = render(answer, method, headers)
        except CloudError as error:
            refused = failure(error)
            if refused.status >= 500:
                log.error("request failed: %s", error)
            response = render(refused, method, headers)
        except Exception as error:
            log.exception("request failed")
            response = render(failure(error), method, headers)
        self._metrics.count("requests")
        self._metrics.count("failed_requests", int(response["statusCode"] >= 500))
        return response

    def _answer(self, request: Request) -> Answer:
        route, names = self._router.find(request)
        check_role(request, route)
        answer = route.handle(replace(request, names=names), self._services)
        return answer if isinstance(answer, Answer) else Answer(200, answer)


def check_role(request: Request, route: Route) -> None:
    """Raise ForbiddenError unless the caller's role includes the route's."""
    role = request.caller.role
    if role is None:
        raise ForbiddenError([f"role: {request.caller.user} has none; {route.role.label} is required"])
    if role < route.role:
        raise ForbiddenError([f"role: {request.caller.user} is {role.label}; {route.role.label} is required"])
