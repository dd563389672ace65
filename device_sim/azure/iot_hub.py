"""Stand-in of the service API of IoT Hub: device messages and direct methods, with the checks of the real one.

It was written after Microsoft's description of the API and is not the real one: signature, expiry and policy of the
token, version of the API, existence of the device and size of the message are checked, and a direct method needs a
connected device.
"""

from __future__ import annotations

import base64
import binascii
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
MAX_BYTES = 64 * 1024
_VERSIONS = ("2020-05-31-preview", "2021-04-12")

Deliver = Callable[[str, bytes], bool]
"""Delivers a payload to a connected device, by id; returns False if it is not connected."""


class LocalIotHub:
    """The API on a loopback port; a context manager. ``devices`` are the ids that are registered."""

    def __init__(self, deliver: Deliver, key: bytes = hashlib.sha256(b"service").digest()) -> None:
        self.devices: set[str] = set()
        self._deliver, self._key = deliver, key
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
        # The hub accepts a message for a device that is not connected; here it is lost, as if it had expired.
        self._deliver(device, body)
        return 204, None

    def _method(self, device: str, body: bytes) -> tuple[int, Any]:
        if device not in self.devices:
            return 404, {"Message": f"ErrorCode:DeviceNotFound;{device}"}
        try:
            call = json.loads(body)
            payload = base64.b64decode(call["payload"], validate=True)
            known = call["methodName"] == METHOD
        except (ValueError, KeyError, TypeError, binascii.Error):
            return 400, {"Message": "ErrorCode:ArgumentInvalid"}
        if not known:
            return 200, {"status": 404, "payload": None}
        if not self._deliver(device, payload):
            return 404, {"Message": "ErrorCode:DeviceNotOnline"}
        return 200, {"status": 200, "payload": None}

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
