"""Values as devices write them, to finite numbers: text with a unit suffix, a decimal comma, booleans, words. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from wire.limits import MAX_VALUE
from wire.model import Quality

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?)\s*([^\d\s.,+-][^\d]{0,15})?\s*\Z")
_MAX_TEXT = 64
MAX_UNIT = 32
"""Bytes of a series' unit."""
_QUALITIES: dict[Any, Quality] = {
    **{int(quality): quality for quality in Quality},
    **{quality.name.lower(): quality for quality in Quality},
}
_OPC_DA_UNCERTAIN, _OPC_DA_GOOD = 64, 192


@dataclass(frozen=True, slots=True)
class Rule:
    """The treatment of one field. ``words`` has lower-case keys."""

    name: str | None = None
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    words: Mapping[str, float] = field(default_factory=dict)
    decimal_comma: bool = False
    ignore: bool = False

    @property
    def identity(self) -> bool:
        """True where a number stays as it is."""
        return self.scale == 1.0 and self.offset == 0.0


PLAIN = Rule()


def number(raw: Any, rule: Rule = PLAIN) -> float:
    """Return the value as a finite number, scaled; raises RejectedError."""
    value = _number(raw, rule)
    if not rule.identity:
        value = value * rule.scale + rule.offset
    if not math.isfinite(value):
        raise RejectedError("rejected_not_finite", f"the value is {value}")
    if abs(value) > MAX_VALUE:
        raise RejectedError("rejected_range", f"the value {value:g} is beyond {MAX_VALUE:g}")
    return value


def _number(raw: Any, rule: Rule) -> float:
    if raw is None:
        raise RejectedError("rejected_null", "the value is null")
    if isinstance(raw, bool):
        return rule.words.get("true" if raw else "false", float(raw))
    if isinstance(raw, int | float):
        try:
            return float(raw)
        except OverflowError as error:
            raise RejectedError("rejected_range", f"the value {str(raw)[:20]}... is beyond {MAX_VALUE:g}") from error
    if isinstance(raw, str) and len(raw) <= _MAX_TEXT:
        found = from_text(raw, rule)
        if found is not None:
            return found
    raise RejectedError("rejected_value", f"the value {repr(raw)[:80]} is not a number")


def from_text(raw: str, rule: Rule) -> float | None:
    """Return the number that a text stands for, None where it stands for none."""
    word = rule.words.get(raw.strip().lower())
    if word is not None:
        return word
    text = raw.replace(".", "").replace(",", ".") if rule.decimal_comma and "," in raw else raw
    match = _NUMBER.match(text[:_MAX_TEXT])
    return float(match[1]) if match else None


def unit_in(raw: str, rule: Rule) -> str:
    """Return the unit that follows the number in a text, empty where the text has only a number."""
    match = _NUMBER.match(raw.replace(",", ".") if rule.decimal_comma else raw)
    return (match[2] or "").strip() if match else ""


def unit_text(raw: Any) -> str:
    """Return a unit as a payload gives it, without what a series' unit may not have; empty for other than text."""
    if not isinstance(raw, str):
        return ""
    return "".join(filter(str.isprintable, raw)).strip().encode()[:MAX_UNIT].decode(errors="ignore")


def quality(raw: Any) -> int:
    """Return the quality: 0 to 2, good, uncertain, bad, true and false, an OPC DA or OPC UA code; None is good.

    Raises RejectedError for anything else.
    """
    if raw is None:
        return Quality.GOOD
    if isinstance(raw, bool):
        return Quality.GOOD if raw else Quality.BAD
    key = raw.strip().lower() if isinstance(raw, str) else raw
    if isinstance(key, int | str):
        found = _QUALITIES.get(key)
        if found is not None:
            return found
    if isinstance(key, int) and 3 < key < 2**32:
        return _opc(key)
    allowed = ", ".join(str(known) for known in _QUALITIES)
    raise RejectedError("rejected_quality", f"the quality {repr(raw)[:80]} is not one of {allowed}, or an OPC code")


def _opc(code: int) -> int:
    """Return the quality of an OPC UA status code (severity in the upper two of 32 bits) or an OPC DA quality."""
    if code > 0xFFFF:
        return (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)[code >> 30]
    low = code & 0xFF
    if low >= _OPC_DA_GOOD:
        return Quality.GOOD
    return Quality.UNCERTAIN if low >= _OPC_DA_UNCERTAIN else Quality.BAD
