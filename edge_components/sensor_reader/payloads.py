"""What a JSON payload says: a value, and perhaps a time and a quality. Pure.

Two forms: a bare number, or an object whose keys are configured (a dot descends into an object in an object).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from wire.model import Quality

MAX_VALUE = 1e100
"""Values beyond it are nobody's measurement, and their squares would overflow in the aggregator."""

_DECODER = json.JSONDecoder()
_QUALITIES: dict[Any, Quality] = {
    **{int(quality): quality for quality in Quality},
    **{quality.name.lower(): quality for quality in Quality},
}


@dataclass(frozen=True, slots=True)
class Said:
    """What one payload says; ``time`` is as written, None where absent."""

    value: float
    time: Any
    quality: Quality


class PayloadForm:
    """Reads payloads with the keys given; an empty time or quality key means that payloads have none."""

    def __init__(self, value_key: str, time_key: str, quality_key: str) -> None:
        self._value, self._time, self._quality = (
            tuple(filter(None, key.split("."))) for key in (value_key, time_key, quality_key)
        )
        self._value_key = value_key

    def read(self, payload: bytes) -> Said:
        """Return what the payload says; raises RejectedError with the reason."""
        try:
            body = _DECODER.decode(payload.decode())
        except (ValueError, RecursionError) as error:
            raise RejectedError("rejected_json", f"no JSON: {str(error)[:80]}: {payload[:40]!r}") from error
        if not isinstance(body, dict):
            return Said(_finite(body), None, Quality.GOOD)
        value = _at(body, self._value)
        if value is None:
            raise RejectedError("rejected_value", f"no {self._value_key!r} in {payload[:80]!r}")
        time = _at(body, self._time) if self._time else None
        quality = _at(body, self._quality) if self._quality else None
        return Said(_finite(value), time, Quality.GOOD if quality is None else _quality(quality))


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(body, dict):
            return None
        body = body.get(key)
    return body


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RejectedError("rejected_value", f"value {repr(value)[:80]} is no number")
    try:
        result = float(value)
    except OverflowError as error:
        raise RejectedError("rejected_range", f"value {str(value)[:20]}... is beyond {MAX_VALUE:g}") from error
    if not math.isfinite(result):
        raise RejectedError("rejected_not_finite", f"value is {result}")
    if abs(result) > MAX_VALUE:
        raise RejectedError("rejected_range", f"value {result:g} is beyond {MAX_VALUE:g}")
    return result


def _quality(raw: Any) -> Quality:
    key = raw.lower() if isinstance(raw, str) else raw
    if isinstance(key, bool) or not isinstance(key, int | str) or key not in _QUALITIES:
        allowed = ", ".join(str(known) for known in _QUALITIES)
        raise RejectedError("rejected_quality", f"quality {repr(raw)[:80]} is none of {allowed}")
    return _QUALITIES[key]
