"""Stand-in of the service API of IoT Hub: device messages and direct methods, with the checks of the real one.

It was written after Microsoft's description of the API and is not the real one: signature, expiry and policy of the
token, version of the API, existence of the device and size of the message are checked, a direct method needs a
connected device, a device has a limited number of waiting messages, and the hub a limited rate of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from cloud_functions.adapters.azure.iot_hub import METHOD

HOST = "strandline.azure-devices.net"
POLICY = "service"
MAX_BYTES, MAX_METHOD_BYTES = 64 * 1024, 128 * 1024
_VERSIONS = ("2020-05-31-preview", "2021-04-12")

UNITS = 1
SENDS_PER_MINUTE = 100
"""Messages to devices that a unit of the tier S1 accepts in a minute; bursts of one minute's number are accepted."""

Deliver = Callable[[str, bytes], bool]
"""Queues a message for a device, by id; returns False if the maximum number waits."""
Call = Callable[[str, bytes], int | None]
"""Calls the method of acknowledgements of a device with a JSON value; returns its status, None if it is offline."""


class LocalIotHub:
    """The API on a loopback port; a context manager. ``devices`` are the ids that are registered."""

    def __init__(
        self,
        deliver: Deliver,
        call: Call,
        key: bytes = hashlib.sha256(b"service").digest(),
        units: int = UNITS,
    ) -> None:
        self.devices: set[str] = set()
        self.throttled = False
        """True while the hub rejects every request, as above the limit of its rate."""
        self._deliver, self._call, self._key = deliver, call, key
        self._sends = Rate(units * SENDS_PER_MINUTE)
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = hub.answer(self.path, dict(self.headers.items()), body)
                content = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def connection_string(self) -> str:
        """The connection string of the policy, with the address of this stand-in."""
        key = base64.b64encode(self._key).decode()
        url = f"http://127.0.0.1:{self._server.server_port}"
        return f"HostName={HOST};SharedAccessKeyName={POLICY};SharedAccessKey={key};GatewayHostName={url}"

    def answer(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Return status and body of the answer to a POST."""
        address = urlsplit(target)
        names = {name.lower(): value for name, value in headers.items()}
        if parse_qs(address.query).get("api-version", [""])[0] not in _VERSIONS:
            return 400, {"Message": "ErrorCode:ArgumentInvalid;api-version"}
        if problem := self._unauthorized(names.get("authorization", "")):
            return 401, {"Message": f"ErrorCode:IotHubUnauthorizedAccess;{problem}"}
        if self.throttled:
            return 429, {"Message": "ErrorCode:ThrottlingException"}
        parts = [unquote(part) for part in address.path.strip("/").split("/")]
        if parts[:1] == ["devices"] and parts[2:] == ["messages", "devicebound"]:
            return self._message(parts[1], names, body)
        if parts[:1] == ["twins"] and parts[2:] == ["methods"]:
            return self._method(parts[1], body)
        return 404, {"Message": "ErrorCode:NotFound"}

    def _message(self, device: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        if device not in self.devices:
            return 404, {"Message": f"ErrorCode:DeviceNotFound;{device}"}
        if unquote(headers.get("iothub-to", "")) != f"/devices/{device}/messages/devicebound":
            return 400, {"Message": "ErrorCode:ArgumentInvalid;iothub-to"}
        if len(body) > MAX_BYTES:
            return 413, {"Message": "ErrorCode:MessageTooLarge"}
        if not self._sends.take(time.monotonic()):
            return 429, {"Message": "ErrorCode:ThrottlingException"}
        if not self._deliver(device, body):
            return 403, {"Message": "ErrorCode:DeviceMaximumQueueDepthExceeded"}
        return 204, None

    def _method(self, device: str, body: bytes) -> tuple[int, Any]:
        if device not in self.devices:
            return 404, {"Message": f"ErrorCode:DeviceNotFound;{device}"}
        try:
            call = json.loads(body)
            name, payload = call["methodName"], json.dumps(call["payload"]).encode()
        except (ValueError, KeyError, TypeError):
            return 400, {"Message": "ErrorCode:ArgumentInvalid"}
        if len(payload) > MAX_METHOD_BYTES:
            return 413, {"Message": "ErrorCode:MessageTooLarge"}
        status = self._call(device, payload) if name == METHOD else 404
        if status is None:
            return 404, {"Message": "ErrorCode:DeviceNotOnline"}
        return 200, {"status": status, "payload": {}}

    def _unauthorized(self, authorization: str) -> str:
        """Return the reason for which a token is not accepted, empty for a valid one."""
        kind, _, rest = authorization.partition(" ")
        fields = dict(part.partition("=")[::2] for part in rest.split("&"))
        resource, expires = fields.get("sr", ""), fields.get("se", "")
        if kind != "SharedAccessSignature" or unquote(resource) != HOST or fields.get("skn") != POLICY:
            return "not a token of the policy for this hub"
        if not expires.isdecimal() or int(expires) < time.time():
            return "the token has expired"
        digest = hmac.new(self._key, f"{resource}\n{expires}".encode(), hashlib.sha256).digest()
        signature = quote(base64.b64encode(digest), safe="")
        return "" if hmac.compare_digest(signature, fields.get("sig", "")) else "the signature does not match"

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def answering_by(deliver: Deliver) -> Call:
    """Return a device that answers calls: it passes the acknowledgement to ``deliver``, which returns False offline."""
    return lambda device, payload: 200 if deliver(device, base64.b64decode(json.loads(payload))) else None


class Rate:
    """Limit of the number of operations in a minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left, self._at_s = float(per_minute), 0.0
        self._lock = threading.Lock()

    def take(self, now_s: float) -> bool:
        """Count an operation; return False if it is over the limit."""
        with self._lock:
            gained = (now_s - self._at_s) * self._per_minute / 60
            self._left, self._at_s = min(self._per_minute, self._left + gained), now_s
            if self._left < 1:
                return False
            self._left -= 1
            return True
