"""Thin typed client of API v1: one method a route, pages joined, GET requests repeated while the store is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode

from strandline.api.transport import Request, Response, Send
from strandline.api.types import (
    Aggregates,
    Alert,
    Costs,
    Document,
    DryRun,
    Event,
    Gateway,
    GatewayDetails,
    Latest,
    Limits,
    Me,
    Posted,
    Series,
)
from strandline.errors import ApiError

ATTEMPTS = 4
REPEATED = (429, 502, 503, 504)
PAUSE_S = 0.3


class ApiClient:
    """Client of the API at ``url``, without ``/v1``. Each method raises ApiError."""

    def __init__(self, url: str, send: Send, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url, self._send, self._sleep = url.rstrip("/"), send, sleep

    def me(self) -> Me:
        """Return user and role of the caller."""
        return cast(Me, self.get("me"))

    def costs(self) -> Costs:
        """Return an estimate of the charges of a month at the present rate."""
        return cast(Costs, self.get("costs"))

    def gateways(self) -> Iterator[Gateway]:
        """Yield all gateways."""
        return cast(Iterator[Gateway], self.pages("gateways"))

    def gateway(self, name: str) -> GatewayDetails:
        """Return one gateway."""
        return cast(GatewayDetails, self.get(f"gateways/{_quoted(name)}"))

    def series(self, gateway: str, pattern: str = "*") -> Iterator[Series]:
        """Yield the series of a gateway that match a pattern."""
        return cast(Iterator[Series], self.pages(f"gateways/{_quoted(gateway)}/series", series=pattern))

    def latest(self, gateway: str, pattern: str = "*") -> list[Latest]:
        """Return the latest row of each series that matches a pattern."""
        return cast(list[Latest], self.get(f"gateways/{_quoted(gateway)}/latest", series=pattern)["items"])

    def aggregates(self, gateway: str, series: str, **query: Any) -> Aggregates:
        """Return all rows of a series; ``from_``, ``to``, ``resolution`` and ``unit`` as in the API."""
        path, names = f"gateways/{_quoted(gateway)}/aggregates", {"series": series, **query}
        found = cast(Aggregates, self.get(path, **names))
        while "next" in found:
            page = cast(Aggregates, self.get(path, **names, cursor=found.pop("next")))
            for name, column in page["columns"].items():
                found["columns"][name] += column
            found["rows"] += page["rows"]
            if "next" in page:
                found["next"] = page["next"]
        return found

    def forecast(self, gateway: str, series: str, **query: Any) -> dict[str, Any]:
        """Return when a series reaches its limits; ``high``, ``low``, ``from_``, ``to`` and ``horizon``."""
        return self.get(f"gateways/{_quoted(gateway)}/forecast", series=series, **query)

    def limits(self, gateway: str, series: str) -> Limits:
        """Return the limits of a series."""
        return cast(Limits, self.get(f"gateways/{_quoted(gateway)}/limits", series=series))

    def put_limits(self, gateway: str, series: str, high: float | None, low: float | None) -> Limits:
        """Store the limits of a series."""
        path = f"gateways/{_quoted(gateway)}/limits"
        return cast(Limits, self.call("PUT", path, {"high": high, "low": low}, series=series))

    def alerts(self, **query: Any) -> Iterator[Alert]:
        """Yield alerts, newest onset first; ``state``, ``gateway``, ``series``, ``severity``, ``from_``, ``to``."""
        return cast(Iterator[Alert], self.pages("alerts", **query))

    def alert(self, alert_id: str) -> Alert:
        """Return one alert."""
        return cast(Alert, self.get(f"alerts/{_quoted(alert_id)}"))

    def history(self, alert_id: str) -> list[Event]:
        """Return the events of an alert, oldest first."""
        return cast(list[Event], self.get(f"alerts/{_quoted(alert_id)}/history")["items"])

    def acknowledge(self, alert_id: str, comment: str = "") -> Alert:
        """Acknowledge an alert."""
        return cast(Alert, self.call("POST", f"alerts/{_quoted(alert_id)}/acknowledge", {"comment": comment}))

    def documents(self, kind: str) -> Iterator[Document]:
        """Yield the rules, silences, routes or channels."""
        return self.pages(kind)

    def document(self, kind: str, name: str) -> Document:
        """Return one document."""
        return self.get(f"{kind}/{_quoted(name)}")

    def put_document(
        self, kind: str, name: str, body: Mapping[str, Any], version: int | None = None, create_only: bool = False
    ) -> Document:
        """Create or replace a document; ``version`` is the one that it must have."""
        headers = {} if version is None else {"if-match": f'"{version}"'}
        headers |= {"if-none-match": "*"} if create_only else {}
        return self._decoded(self._request("PUT", f"{kind}/{_quoted(name)}", dict(body), headers, {}))

    def delete_document(self, kind: str, name: str, version: int | None = None) -> None:
        """Delete a document."""
        headers = {} if version is None else {"if-match": f'"{version}"'}
        self._request("DELETE", f"{kind}/{_quoted(name)}", None, headers, {})

    def dry_run(self, rule: Mapping[str, Any], from_ms: int | None = None, to_ms: int | None = None) -> DryRun:
        """Return the alerts that a rule would have fired."""
        body = {"rule": dict(rule), "from": from_ms, "to": to_ms}
        return cast(DryRun, self.call("POST", "rules/dry-run", body))

    def post_telemetry(self, gateway: str, readings: Sequence[Mapping[str, Any]], request_id: str) -> Posted:
        """Store readings; the same id stores them once."""
        body = {"id": request_id, "readings": [dict(one) for one in readings]}
        return cast(Posted, self.call("POST", f"gateways/{_quoted(gateway)}/telemetry", body))

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the answer to GET of a path below ``/v1/``; ``from_`` is the parameter ``from``, None is left out."""
        return self.call("GET", path, None, **query)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None, **query: Any) -> dict[str, Any]:
        """Return the JSON answer to a request."""
        return self._decoded(self._request(method, path, body, {}, query))

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, cursor=cursor)
            yield from page["items"]
            cursor = page.get("next")
            if cursor is None:
                return

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        query: Mapping[str, Any],
    ) -> Response:
        given = {name.rstrip("_"): str(value) for name, value in query.items() if value is not None}
        url = f"{self.url}/v1/{path}" + (f"?{urlencode(given, quote_via=quote, safe='')}" if given else "")
        sent = {"accept": "application/json", "accept-encoding": "gzip", **headers}
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            sent["content-type"] = "application/json"
        for attempt in range(1, ATTEMPTS + 1):
            response = self._send(Request(method, url, sent, content))
            if response.status not in REPEATED or method != "GET" or attempt == ATTEMPTS:
                break
            self._sleep(PAUSE_S * 2**attempt)
        if response.status >= 400:
            raise ApiError(_problem(response, f"{method} /v1/{path}"), response.status)
        return response

    @staticmethod
    def _decoded(response: Response) -> dict[str, Any]:
        try:
            value = json.loads(response.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ApiError("the answer is not a JSON object: the address is not that of the API", response.status)
        return value


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _problem(response: Response, request: str) -> str:
    try:
        body = json.loads(response.body)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("problems"), list):
        return "; ".join(map(str, body["problems"]))
    if response.status in (401, 403):
        return f"{request}: {response.status}: the API accepts neither these credentials nor this token"
    detail = str(body.get("message", "")) if isinstance(body, dict) else ""
    return f"{request}: status {response.status} {detail}".rstrip()
