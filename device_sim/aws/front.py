"""Front of the local cloud on loopback: one origin with the page, the API, and an issuer of tokens.

In AWS, CloudFront is the origin of page and API, and a user pool issues the tokens. Here requests below ``/v1`` go
unchanged to the API of the emulator, whose JWT authorizer checks the tokens by the issuer's public key.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from cloud_functions.dashboard import page
from cloud_functions.rest.roles import LABELS
from device_sim.aws.issuer import AUDIENCE, LIFETIME_S, ROLE_CLAIM, Issuer
from device_sim.aws.local import LocalCloud
from device_sim.aws.process import check_port

_PASSED = ("accept", "accept-encoding", "authorization", "content-type", "if-match", "if-none-match", "origin")
_RETURNED = (
    *("allow", "cache-control", "content-encoding", "content-type", "etag", "retry-after", "vary"),
    "x-content-type-options",
)
MAX_BODY = 10_000_000
"""Longest body of a request that API Gateway accepts."""
TIMEOUT_S = 30.0
"""Time that API Gateway waits for a function."""


class Front:
    """Server of page, API and tokens; a context manager. ``parameters`` are those of the stack for its tokens."""

    def __init__(self, port: int | None = None, dist: Path = page.DIST) -> None:
        checked = 0 if port is None else check_port(port, "the page")
        self._dist = dist
        self._cloud: LocalCloud | None = None
        self._server = _Server(("127.0.0.1", checked), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.issuer = Issuer(f"{self.url}/local")
        self.parameters = {"JwtIssuer": self.issuer.url, "JwtAudience": AUDIENCE, "JwtRoleClaim": ROLE_CLAIM}
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="front", daemon=True)
        self._thread.start()

    def attach(self, cloud: LocalCloud) -> None:
        """Send requests below ``/v1`` to the API of a cloud that was started with ``parameters``."""
        self._cloud = cloud

    def token(self, user: str, role: str, **claims: Any) -> str:
        """Return a token; ``claims`` replace or add single claims."""
        return self.issuer.token(user, role, int(time.time()), **claims)

    def stop(self) -> None:
        """Stop the server; safe to call again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        """Return the answer to a request."""
        path = urlsplit(target).path
        if path.startswith("/v1/"):
            return self._from_api(method, target, headers, body)
        if (method, path) == ("POST", "/local/token"):
            return self._new_token(body)
        if method != "GET":
            return _json(405, {"message": "Method Not Allowed"})
        documents = {
            "/local/.well-known/openid-configuration": self.issuer.configuration,
            "/local/.well-known/jwks.json": self.issuer.keys,
        }
        if path in documents:
            return _json(200, documents[path]())
        return self._file(path.removeprefix("/") or page.INDEX)

    def _from_api(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        if self._cloud is None:
            return _json(503, {"message": "Service Unavailable"})
        passed = {name: headers[name] for name in _PASSED if name in headers}
        connection = http.client.HTTPConnection(urlsplit(self._cloud.endpoint_url).netloc, timeout=TIMEOUT_S)
        try:
            connection.request(
                method, f"/_aws/execute-api/{self._cloud.outputs['ApiId']}{target}", body or None, passed
            )
            answer = connection.getresponse()
            found = {name: answer.headers[name] for name in _RETURNED if name in answer.headers}
            return answer.status, found, answer.read()
        except (OSError, http.client.HTTPException):
            return _json(503, {"message": "Service Unavailable"})
        finally:
            connection.close()

    def _new_token(self, body: bytes) -> _Answer:
        try:
            given = json.loads(body)
            user, role = given["user"], given["role"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return _json(400, {"message": 'a JSON object {"user", "role"} is expected'})
        if not isinstance(user, str) or not 1 <= len(user) <= 100 or not user.isprintable() or role not in LABELS:
            return _json(400, {"message": f"user: 1 to 100 printable characters; role: one of {', '.join(LABELS)}"})
        expires_ms = (int(time.time()) + LIFETIME_S) * 1000
        answer = {"token": self.token(user, role), "expires_ms": expires_ms, "expires_in": LIFETIME_S}
        return _json(200, answer)

    def _file(self, name: str) -> _Answer:
        try:
            files = page.files(self._dist)
        except page.PageMissingError as error:
            return 503, {"Content-Type": "text/plain; charset=utf-8"}, f"{error}\n".encode()
        if name == page.CONFIG:
            return 200, page.headers(name), page.local_config()
        if name not in files:
            return _json(404, {"message": "Not Found"})
        return 200, page.headers(name), files[name].read_bytes()


_Answer = tuple[int, Mapping[str, str], bytes]


def _json(status: int, content: Mapping[str, Any]) -> _Answer:
    return status, {"Content-Type": "application/json", "Cache-Control": "no-store"}, json.dumps(content).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], front: Front) -> None:
        self.front = front
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 60

    def _respond(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        # Another name that leads to loopback would make this an origin of a foreign page.
        if headers.get("host", "").rsplit(":", 1)[0] not in ("127.0.0.1", "localhost"):
            self._send(_json(421, {"message": "Misdirected Request"}))
            return
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            self._send(_json(413, {"message": "Request Too Long"}))
            return
        body = self.rfile.read(int(length))
        self._send(self.server.front.answer(self.command, self.path, headers, body))

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _respond  # noqa: N815 - names of the base class

    def _send(self, answer: _Answer) -> None:
        status, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # a browser cancels requests of a view that it leaves
            self.end_headers()
            if status != 304:
                self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the address of a request is of no use here."""
