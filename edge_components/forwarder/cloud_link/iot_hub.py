"""Names, topics and tokens of Azure IoT Hub, which accepts MQTT 3.1.1 with topics of its own. Pure.

A device publishes on ``devices/<id>/messages/events/`` followed by properties in the form of a query, and receives
messages on ``devices/<id>/messages/devicebound/`` followed by their properties. A password is a token, signed with the
device's key, that expires.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import quote, urlencode

API_VERSION = "2021-04-12"
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
