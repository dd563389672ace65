"""Names, topics and tokens of Azure IoT Hub, which accepts MQTT 3.1.1 with topics of its own. Pure.

A device publishes on ``devices/<id>/messages/events/`` followed by properties in the form of a query, and receives
messages on ``devices/<id>/messages/devicebound/`` followed by their properties. A direct method is a request on
``$iothub/methods/POST/<name>/`` that the device answers on ``$iothub/methods/res/<status>/``. A password is a token,
signed with the device's key, that expires.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from urllib.parse import quote, urlencode

API_VERSION = "2021-04-12"
METHOD = "acknowledge"
METHODS_FILTER = "$iothub/methods/POST/#"
_METHODS = METHODS_FILTER.removesuffix("#")
MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64
"""Sizes of a device's key that IoT Hub accepts."""


def username(host: str, device: str) -> str:
    """Return the user name of a device."""
    return f"{host}/{device}/?api-version={API_VERSION}"


def batch_topic(device: str, lane: str) -> str:
    """Return the topic of a batch; its properties are the content type and the lane, by which the hub can route."""
    return f"devices/{device}/messages/events/{urlencode({'$.ct': 'application/octet-stream', 'lane': lane})}"


def acknowledgement_filter(device: str) -> str:
    """Return the topic filter of the messages that the cloud sends to a device."""
    return f"devices/{device}/messages/devicebound/#"


def called_method(topic: str, payload: bytes) -> tuple[str, bytes] | None:
    """Return the topic of the response and the acknowledgement in a call of a direct method; None for a message.

    The payload of the method ``acknowledge`` is the acknowledgement in base64, as a JSON text. Another method or
    payload is answered with the status 404 or 400 and has an empty acknowledgement.
    """
    if not topic.startswith(_METHODS):
        return None
    name, _, rest = topic.removeprefix(_METHODS).partition("/")
    request = rest.removeprefix("?$rid=")
    acknowledgement, status = b"", 404
    if name == METHOD:
        try:
            acknowledgement, status = base64.b64decode(json.loads(payload), validate=True), 200
        except (ValueError, TypeError, RecursionError):
            status = 400
    return f"$iothub/methods/res/{status}/?$rid={request}", acknowledgement


def read_key(text: str) -> bytes:
    """Return a device's key from its base64 form; raises ValueError, without the key in the text."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the key is not base64") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes, IoT Hub uses {MIN_KEY_BYTES} to {MAX_KEY_BYTES}")
    return key


def sas_token(host: str, device: str, key: bytes, expires_s: int) -> str:
    """Return the shared access signature of a device that expires at ``expires_s`` (seconds since 1970)."""
    resource = quote(f"{host}/devices/{device}", safe="")
    digest = hmac.new(key, f"{resource}\n{expires_s}".encode(), hashlib.sha256).digest()
    signature = quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expires_s}"
