"""Acknowledgements through the service API of IoT Hub, as a message or as a direct method.

A message waits in the hub until the gateway receives it or it expires; a direct method needs a connected gateway and
returns its answer. Both carry the bytes of the acknowledgement: the message as its body, the method as base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from enum import StrEnum
from urllib.parse import quote, urlsplit

from cloud_functions.core.errors import CloudError, StoreError
from cloud_functions.core.ports import NowMs

API_VERSION = "2021-04-12"
METHOD = "acknowledge"
EXPIRES_S = 3_600
"""Validity of a token, which is renewed after half of it."""
_TIMEOUT_S = 5.0
_SECOND_TRY = (429, 500, 502, 503, 504)

Request = Callable[[str, str, Mapping[str, str], bytes], tuple[int, bytes]]
"""Sends a request, as (method, path, headers, body), and returns status and body; raises OSError."""


class By(StrEnum):
    """Way in which an acknowledgement is sent."""

    MESSAGE = "message"
    METHOD = "method"


def token(host: str, policy: str, key: bytes, expires_s: int) -> str:
    """Return the shared access signature of a policy of a hub that expires at ``expires_s`` (seconds since 1970)."""
    resource = quote(host, safe="")
    digest = hmac.new(key, f"{resource}\n{expires_s}".encode(), hashlib.sha256).digest()
    signature = quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expires_s}&skn={policy}"


class IotHub:
    """A hub as given by a connection string: ``HostName=...;SharedAccessKeyName=...;SharedAccessKey=...``.

    ``GatewayHostName`` may have the URL of a stand-in on loopback. Raises CloudError for another text.
    """

    def __init__(self, connection: str, now_ms: NowMs) -> None:
        parts = dict(part.partition("=")[::2] for part in connection.split(";") if part)
        try:
            self.host, self._policy = parts["HostName"], parts["SharedAccessKeyName"]
            self._key = base64.b64decode(parts["SharedAccessKey"], validate=True)
        except (KeyError, ValueError) as error:
            names = "HostName, SharedAccessKeyName and SharedAccessKey"
            raise CloudError(f"connection string of IoT Hub: {names} are needed, the key as base64") from error
        self._address = urlsplit(parts.get("GatewayHostName") or f"https://{self.host}")
        self._now_ms, self._token, self._renew_ms = now_ms, "", 0
        self._connection: http.client.HTTPConnection | None = None

    def authorization(self) -> str:
        """Return the present token."""
        now_ms = self._now_ms()
        if now_ms >= self._renew_ms:
            self._token = token(self.host, self._policy, self._key, now_ms // 1000 + EXPIRES_S)
            self._renew_ms = now_ms + EXPIRES_S * 500
        return self._token

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Send a request over a connection that is kept; raises OSError."""
        whole = {"Authorization": self.authorization(), "User-Agent": "strandline", **headers}
        connection = self._connection = self._connection or self._connect()
        try:
            connection.request(method, path, body, whole)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            self.close()
            raise OSError(f"{type(error).__name__}: {error}") from error
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or self.host, self._address.port
        if self._address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())


class IotHubAcknowledger:
    """Sends acknowledgements; a request that failed is sent once more."""

    def __init__(self, request: Request, by: By = By.MESSAGE) -> None:
        self._request, self._by = request, by

    def send(self, gateway: str, payload: bytes) -> None:
        """Send an acknowledgement; raises StoreError when the hub did not accept it."""
        method, path, headers, body = _message(gateway, payload) if self._by is By.MESSAGE else _call(gateway, payload)
        problem = ""
        for _ in range(2):
            try:
                status, answer = self._request(method, path, headers, body)
            except OSError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if status // 100 == 2:
                return
            problem = f"{status} {answer[:200].decode(errors='replace')}"
            if status not in _SECOND_TRY:
                break
        raise StoreError(f"acknowledge to {gateway}: {problem}")


def _message(gateway: str, payload: bytes) -> tuple[str, str, dict[str, str], bytes]:
    path = f"/devices/{quote(gateway, safe='')}/messages/devicebound?api-version={API_VERSION}"
    headers = {
        "Content-Type": "application/octet-stream",
        "iothub-to": f"/devices/{quote(gateway, safe='')}/messages/devicebound",
        # No feedback: the next acknowledgement covers a lost one.
        "iothub-ack": "none",
    }
    return "POST", path, headers, payload


def _call(gateway: str, payload: bytes) -> tuple[str, str, dict[str, str], bytes]:
    path = f"/twins/{quote(gateway, safe='')}/methods?api-version={API_VERSION}"
    call = {
        "methodName": METHOD,
        "responseTimeoutInSeconds": 5,
        "connectTimeoutInSeconds": 0,
        "payload": base64.b64encode(payload).decode(),
    }
    return "POST", path, {"Content-Type": "application/json"}, json.dumps(call).encode()
