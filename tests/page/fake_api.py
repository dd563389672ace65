"""A server of the page and of API v1 in memory, over the sample fleet; documents are checked by the real core."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import numpy as np

from cloud_functions.core import channels, routes, rules, silences
from cloud_functions.core.columns import COLUMNS
from cloud_functions.core.dry_run import SeriesName, dry_run
from cloud_functions.core.errors import RequestError
from cloud_functions.core.globs import matches
from cloud_functions.dashboard import page
from tests.page import contract, sample_fleet
from tests.page.sample_fleet import CHANNELS, DAY, HOUR, MINUTE, SECOND, Shift
from wire.model import Aggregates

WIDTHS = {"raw": SECOND, "15m": 15 * MINUTE, "1h": HOUR, "1d": DAY}
OPEN_MS = 2**52
ROLES = ("viewer", "operator", "admin")
PARSERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "rules": rules.parse, "silences": silences.parse, "routes": routes.parse, "channels": channels.parse,
}  # fmt: skip
ADMIN_ONLY = ("routes", "channels")


class HttpError(Exception):
    """A request that is answered with problem details."""

    def __init__(self, status: int, title: str, problems: list[str]) -> None:
        super().__init__(title)
        self.status, self.title, self.problems = status, title, problems


class Sent(NamedTuple):
    """Caller, body and headers of a request."""

    user: str
    role: str
    body: Any
    headers: Any


def now_ms() -> int:
    return int(time.time() * 1000)


class FakeCloud:
    """State behind the API. ``inject`` begins a fault with its alert, ``end`` ends it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.started_ms = now_ms()
        self.gateways = {one["gateway"]: one for one in sample_fleet.fleet(self.started_ms)}
        self.alerts: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.documents: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in PARSERS}
        self.limits: dict[tuple[str, str], dict[str, float | None]] = {}
        self.shifts: list[Shift] = []
        self.requests: list[tuple[str, str]] = []
        self.down = False
        self.delay_s = 0.0  # of answers with rows
        self.violations: list[str] = []
        self.oidc = False
        self.challenges: dict[str, str] = {}

    def inject(self, gateway: str, series: str, severity: str, *, size: float, age_ms: int = 2_000, **more: Any) -> str:
        """Begin a fault of a series; return the id of its alert."""
        with self.lock:
            onset = now_ms() - age_ms
            channel = next(one for one in CHANNELS if one.name == series)
            expected = float(channel.means(np.array([onset]))[0])
            self.shifts.append(Shift(series, onset, OPEN_MS, size))
            alert = {
                "id": f"{gateway}#{onset}#{series}".encode().hex(), "gateway": gateway, "series": series,
                "kind": "anomaly", "rule": None, "severity": severity, "state": "firing", "unit": channel.unit,
                "summary": f"{series} is {'above' if size > 0 else 'below'} its expectation",
                "onset_ms": onset, "opened_ms": onset + 1_000, "fired_ms": onset + 1_000, "last_ms": onset + 2_000,
                "ended_ms": None, "acknowledged_ms": None, "acknowledged_by": "", "comment": "", "silenced_by": None,
                "inhibited_by": None, "flapping": False, "observed": expected + size, "expected": expected,
                "lower": expected - channel.noise * 3, "upper": expected + channel.noise * 3, "score": 4.2,
                "cause": "level_shift", "causes": {"level_shift": 4.2, "spike": 2.1, "drift": 0.3}, "direction": "up",
                "channel": "", "history": [expected, expected + 0.1, expected + size], "gateway_silent": False,
            } | more  # fmt: skip
            self.alerts[alert["id"]] = alert
            self.events[alert["id"]] = [
                {"time_ms": onset + 1_000, "event": "pending", "by": "", "detail": "level_shift, score 4.2"},
                {"time_ms": onset + 1_000, "event": "firing", "by": "", "detail": ""},
            ]
            return str(alert["id"])

    def end(self, alert_id: str) -> None:
        """End a fault and its alert."""
        with self.lock:
            alert = self.alerts[alert_id]
            alert |= {"state": "resolved", "ended_ms": now_ms(), "last_ms": now_ms()}
            self.events[alert_id].append({"time_ms": now_ms(), "event": "resolved", "by": "", "detail": ""})
            self.shifts = [
                replace(one, to_ms=now_ms()) if one.to_ms == OPEN_MS and one.series == alert["series"] else one
                for one in self.shifts
            ]

    def acknowledge(self, alert_id: str, user: str, comment: str) -> dict[str, Any]:
        with self.lock:
            alert = self._alert(alert_id)
            if alert["state"] == "resolved":
                raise HttpError(400, "Invalid request", ["the alert is resolved and cannot be acknowledged"])
            alert |= {"state": "acknowledged", "acknowledged_ms": now_ms(), "acknowledged_by": user, "comment": comment}
            self.events[alert_id].append({"time_ms": now_ms(), "event": "acknowledged", "by": user, "detail": comment})
            return alert

    def _alert(self, alert_id: str) -> dict[str, Any]:
        if alert_id not in self.alerts:
            raise HttpError(404, "Not found", [f"there is not an alert {alert_id}"])
        return self.alerts[alert_id]

    # RowHistory of the dry run

    def series(self, rule: rules.Rule) -> Iterator[SeriesName]:
        for gateway in self.gateways:
            for channel in CHANNELS:
                if rule.applies_to(gateway, channel.name):
                    yield SeriesName(gateway, channel.name)

    def rows(self, name: SeriesName, from_ms: int, to_ms: int) -> Aggregates:
        channel = next(one for one in CHANNELS if one.name == name.series)
        return sample_fleet.rows(channel, self.shifts, from_ms, to_ms, 15 * MINUTE)

    def answer(self, method: str, path: list[str], query: dict[str, str], sent: Sent) -> Any:  # noqa: C901
        """Return the JSON answer of a request below /v1, or None for an empty one."""
        user, role = sent.user, sent.role
        body = sent.body
        match (method, *path):
            case ("GET", "me"):
                return {"user": user, "role": role}
            case ("GET", "gateways"):
                return {"items": [self._gateway(name, detail=False) for name in self.gateways]}
            case ("GET", "gateways", name):
                return self._gateway(name, detail=True)
            case ("GET", "gateways", _, "series"):
                found = [one for one in CHANNELS if matches(query.get("series", "*"), one.name)]
                return {"items": [{"series": c.name, "unit": c.unit, "resolution": 0.01} for c in found]}
            case ("GET", "gateways", _, "latest"):
                return {"items": self._latest(query.get("series", "*"))}
            case ("GET", "gateways", name, "aggregates"):
                return self._aggregates(name, query)
            case ("GET", "gateways", name, "limits"):
                limits = self.limits.get((name, query["series"]), {"high": None, "low": None})
                return {"gateway": name, "series": query["series"], **limits}
            case ("PUT", "gateways", name, "limits"):
                self._operate(role)
                self.limits[name, query["series"]] = {"high": body.get("high"), "low": body.get("low")}
                return {"gateway": name, "series": query["series"], **body}
            case ("GET", "gateways", name, "forecast"):
                return self._forecast(name, query["series"])
            case ("GET", "alerts"):
                return {"items": self._alerts(query)}
            case ("GET", "alerts", alert_id):
                return self._alert(alert_id)
            case ("GET", "alerts", alert_id, "history"):
                return {"items": self.events[self._alert(alert_id)["id"]]}
            case ("POST", "alerts", alert_id, "acknowledge"):
                self._operate(role)
                return self.acknowledge(alert_id, user, body.get("comment", ""))
            case ("POST", "rules", "dry-run"):
                self._operate(role)
                return dry_run(rules.parse(body["rule"]), self, body["from"], body["to"])
            case ("GET", "costs"):
                return sample_fleet.costs(self.started_ms)
            case (_, kind, *rest) if kind in PARSERS:
                return self._document(method, kind, rest, sent)
        raise HttpError(404, "Not found", [f"{method} /{'/'.join(path)}"])

    def _document(self, method: str, kind: str, rest: list[str], sent: Sent) -> Any:
        stored = self.documents[kind]
        if not rest:
            return {"items": [stored[name] for name in sorted(stored)]}
        name = rest[0]
        if method != "PUT" and name not in stored:
            raise HttpError(404, "Not found", [f"there is not a document {name}"])
        if method == "GET":
            return stored[name]
        self._operate(sent.role)
        if kind in ADMIN_ONLY and sent.role != "admin":
            raise HttpError(403, "Forbidden", [f"the role {sent.role} may not change {kind}"])
        self._check_version(stored.get(name), sent.headers)
        if method == "DELETE":
            del stored[name]
            return None
        document = PARSERS[kind]({**sent.body, "name": name}).to_dict()
        version = stored[name]["version"] + 1 if name in stored else 1
        stored[name] = document | {"version": version, "updated_ms": now_ms(), "updated_by": sent.user}
        return stored[name]

    @staticmethod
    def _check_version(found: dict[str, Any] | None, headers: Any) -> None:
        """Raise HttpError if a write names another version, or would replace a document that it must create."""
        version = f'"{found["version"]}"' if found else None
        if found and headers.get("If-None-Match") == "*":
            raise HttpError(412, "Precondition failed", [f"{found['name']} exists already"])
        if headers.get("If-Match") not in (None, "*", version):
            raise HttpError(412, "Precondition failed", [f"the document has another version, {version}"])

    @staticmethod
    def _operate(role: str) -> None:
        if role == "viewer":
            raise HttpError(403, "Forbidden", ["the role viewer may not change anything"])

    def _gateway(self, name: str, *, detail: bool) -> dict[str, Any]:
        if name not in self.gateways:
            raise HttpError(404, "Not found", [f"gateway {name} is not known"])
        about = dict(self.gateways[name])
        counts: dict[str, int] = {}
        for alert in self.alerts.values():
            if alert["gateway"] == name and alert["state"] != "resolved":
                counts[alert["severity"]] = counts.get(alert["severity"], 0) + 1
        about["alerts"] = counts
        return (
            about if detail else {k: v for k, v in about.items() if k not in ("losses", "merged", "notice", "epochs")}
        )

    def _latest(self, pattern: str) -> list[dict[str, Any]]:
        end = now_ms() // SECOND * SECOND
        found = []
        for channel in CHANNELS:
            if matches(pattern, channel.name):
                row = sample_fleet.rows(channel, self.shifts, end - SECOND, end, SECOND)
                found.append({
                    "series": channel.name, "unit": channel.unit, "start_ms": end - SECOND, "end_ms": end, "count": 10,
                    **{name: round(float(getattr(row, name)[0]), 3) for name in ("mean", "min", "max")},
                })  # fmt: skip
        return found

    def _aggregates(self, gateway: str, query: dict[str, str]) -> dict[str, Any]:
        channel = next((one for one in CHANNELS if one.name == query["series"]), None)
        if channel is None:
            raise HttpError(404, "Not found", [f"gateway {gateway} has no series {query['series']}"])
        resolution = query.get("resolution", "raw")
        width, now = WIDTHS[resolution], now_ms()
        oldest = now - (RAW_AGE if resolution == "raw" else sample_fleet.FIRST_DATA_DAYS * DAY)
        begin = int(query.get("cursor") or query["from"])
        limit = int(query.get("limit", "5000"))
        end = min(int(query["to"]), now - width)
        found = sample_fleet.rows(channel, self.shifts, max(begin, oldest), end, width)
        more = {"next": str(int(found.start_ms[limit]))} if len(found) > limit else {}
        found = found.take(np.arange(min(limit, len(found))))
        columns = {
            name: [value if math.isfinite(value) else None for value in np.round(getattr(found, name), 4).tolist()]
            for name in COLUMNS
        }
        return {"gateway": gateway, "series": channel.name, "unit": channel.unit, "resolution": 0.01,
                "width": resolution, "rows": len(found), "columns": columns} | more  # fmt: skip

    def _forecast(self, gateway: str, series: str) -> dict[str, Any]:
        limits = self.limits.get((gateway, series))
        if not limits:
            raise HttpError(400, "Invalid request", ["high, low: name at least one limit, or keep one for the series"])
        now = now_ms()
        entries = [
            {"side": side, "limit": limit, "reason": None, "detail": "", "probability": 0.9,
             "estimate": {"early_ms": now + 10 * MINUTE, "middle_ms": now + 15 * MINUTE, "late_ms": now + 24 * MINUTE}}
            for side, limit in limits.items() if limit is not None
        ]  # fmt: skip
        return {"gateway": gateway, "series": series, "unit": "Cel", "interval": 0.8, "until_ms": now + DAY,
                "history": {"from_ms": now - DAY, "to_ms": now, "rows": 1_000, "steps": 96, "step_ms": 900_000},
                "model": None, "limits": entries}  # fmt: skip

    def _alerts(self, query: dict[str, str]) -> list[dict[str, Any]]:
        state = query.get("state", "open")
        states = {"open": ("firing", "acknowledged"), "all": ("pending", "firing", "acknowledged", "resolved")}
        return [
            alert for alert in reversed(self.alerts.values())
            if alert["state"] in states.get(state, (state,))
            and query.get("gateway", alert["gateway"]) == alert["gateway"]
            and matches(query.get("series", "*"), alert["series"])
            and query.get("severity", alert["severity"]) == alert["severity"]
        ]  # fmt: skip


RAW_AGE = sample_fleet.RAW_DAYS * DAY


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: FakeCloud

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        body = json.loads(raw) if self.headers.get("Content-Type") == "application/json" else {}
        self.cloud.requests.append((self.command, self.path))
        if url.path.startswith("/v1/"):
            self._api([unquote(part) for part in url.path.split("/")[2:]], dict(parse_qsl(url.query)), body)
        elif url.path == "/local/token":
            self._json(200, {"token": f"{body['role']}:{body['user']}", "expires_in": 3_600})
        elif url.path == "/config.json":
            config = page.oidc_config("/v1", f"http://{self.headers['Host']}", "page")
            self._send(200, config if self.cloud.oidc else page.local_config(), page.headers(page.CONFIG))
        elif url.path == "/.well-known/openid-configuration":
            own = f"http://{self.headers['Host']}"
            self._json(200, {"authorization_endpoint": f"{own}/authorize", "token_endpoint": f"{own}/token"})
        elif url.path == "/authorize":
            given = dict(parse_qsl(url.query))
            self.cloud.challenges["code-1"] = given["code_challenge"]
            answer = urlencode({"code": "code-1", "state": given["state"]})
            self._send(302, b"", {"Location": f"{given['redirect_uri']}?{answer}"})
        elif url.path == "/token":
            self._exchange(dict(parse_qsl(raw.decode())))
        else:
            name = url.path[1:] or page.INDEX
            found = page.files().get(name)
            if found is None:
                self._send(404, b"", {})
            else:
                self._send(200, found.read_bytes(), page.headers(name))

    def _api(self, path: list[str], query: dict[str, str], body: Any) -> None:
        role, _, user = (self.headers.get("Authorization") or "").removeprefix("Bearer ").partition(":")
        try:
            if self.cloud.down:
                raise HttpError(503, "Unavailable", ["a store failed"])
            if role not in ROLES:
                raise HttpError(401, "Unauthorized", ["the token is not valid"])
            route = contract.find(self.command, path, query)
            if path[-1:] == ["aggregates"]:
                time.sleep(self.cloud.delay_s)
            with self.cloud.lock:
                answer = self.cloud.answer(self.command, path, query, Sent(user, role, body, self.headers))
            if answer is None:
                assert route.status == 204, f"{self.command} {self.path}: an empty answer"
                self._send(204, b"", {})
                return
            contract.check(route.answer, answer, f"{self.command} {self.path}")
            self._json(200, answer)
        except AssertionError as error:
            self.cloud.violations.append(str(error))
            self._problem(HttpError(500, "Contract", [str(error)]))
        except RequestError as error:
            self._problem(HttpError(400, "Invalid request", list(error.problems)))
        except HttpError as error:
            self._problem(error)

    def _exchange(self, form: dict[str, str]) -> None:
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if form["grant_type"] == "authorization_code" and self.cloud.challenges.pop(form["code"], "") == challenge:
            self._json(200, {"access_token": "operator:olga", "token_type": "Bearer", "expires_in": 600})
        else:
            self._json(400, {"error": "invalid_grant"})

    def _problem(self, error: HttpError) -> None:
        problem = {"type": "about:blank", "title": error.title, "status": error.status,
                   "detail": "; ".join(error.problems), "problems": error.problems}  # fmt: skip
        self._send(error.status, json.dumps(problem).encode(), {"Content-Type": "application/problem+json"})

    def _json(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if self.command == "GET" and self.headers.get("If-None-Match") == etag:
            self._send(304, b"", {"ETag": etag})
        else:
            self._send(status, content, {"Content-Type": "application/json", "ETag": etag})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        with contextlib.suppress(ConnectionError):  # the page cancels requests of a view that it leaves
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names of http.server


class FakeServer:
    """The running server; a context manager."""

    def __init__(self) -> None:
        self.cloud = FakeCloud()
        handler = type("Handler", (_Handler,), {"cloud": self.cloud})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
