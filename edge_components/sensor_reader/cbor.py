"""CBOR payloads of sensors. Pure."""

from __future__ import annotations

from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from wire import cbor
from wire.errors import FormatError


def decode(data: bytes) -> Any:
    """Return the one item in ``data``; raises RejectedError (``rejected_cbor``)."""
    try:
        return cbor.decode(data)
    except FormatError as error:
        raise RejectedError("rejected_cbor", str(error)) from error
