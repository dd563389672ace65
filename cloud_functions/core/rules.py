"""Cloud rules: conditions on the stored rows of any series, also of data that was posted over HTTP.

A rule names gateways and series by pattern, and one condition:

- ``threshold``: the mean of a window is above or below a limit; it is over when a mean is back by ``clear_margin``.
- ``rate``: the change between two windows, per ``per``, is above or below a limit.
- ``absence``: no row came for ``after_s`` seconds.
- ``forecast``: the limit is expected to be reached within ``within_s`` seconds.
- ``silence``: sets the time after which the gateway, or its series, count as silent, in the place of the learned one.
  It fires no alert of its own: the alert is that of a silent gateway or series, with the severity of the rule.

A condition that holds for ``for_s`` seconds fires an alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloud_functions.core.fields import Fields, whole
from cloud_functions.core.globs import matches, matches_series
from cloud_functions.core.severity import Severity

MIN_SILENCE_S = 60
"""Least time that can be set as silence: the interval of the timer."""
UNITS_MS = {"1s": 1_000, "1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}


class ConditionType(StrEnum):
    """Kind of a rule's condition."""

    THRESHOLD = "threshold"
    RATE = "rate"
    ABSENCE = "absence"
    FORECAST = "forecast"
    SILENCE = "silence"


class Subject(StrEnum):
    """Subject of a set silence: the gateway as a whole, or each of its series."""

    GATEWAY = "gateway"
    SERIES = "series"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The mean is above ``above`` or below ``below``; it is over when it is back by ``clear_margin``."""

    above: float | None
    below: float | None
    clear_margin: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the condition as JSON values."""
        margin = {"clear_margin": whole(self.clear_margin)} if self.clear_margin else {}
        return {"type": "threshold"} | _limits(self.above, self.below) | margin


@dataclass(frozen=True, slots=True)
class Rate:
    """The mean changes by more than ``above``, or less than ``below``, per ``per``."""

    above: float | None
    below: float | None
    per: str = "1h"

    @property
    def per_ms(self) -> int:
        """The unit of time of the limits in milliseconds."""
        return UNITS_MS[self.per]

    def to_dict(self) -> dict[str, Any]:
        """Return the condition as JSON values."""
        return {"type": "rate"} | _limits(self.above, self.below) | {"per": self.per}


@dataclass(frozen=True, slots=True)
class Absence:
    """No row came for ``after_s`` seconds."""

    after_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the condition as JSON values."""
        return {"type": "absence", "after_s": whole(self.after_s)}


@dataclass(frozen=True, slots=True)
class Forecast:
    """The ``limit`` is expected to be reached from ``side`` within ``within_s`` seconds."""

    limit: float
    side: str
    within_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the condition as JSON values."""
        return {
            "type": "forecast",
            "limit": whole(self.limit),
            "side": self.side,
            "within_s": whole(self.within_s),
        }


@dataclass(frozen=True, slots=True)
class SetSilence:
    """A gateway, or each of its series, counts as silent ``after_s`` seconds after its last arrival."""

    after_s: float
    of: Subject

    @property
    def after_ms(self) -> int:
        """The time in milliseconds."""
        return round(self.after_s * 1000)

    def to_dict(self) -> dict[str, Any]:
        """Return the condition as JSON values."""
        return {"type": "silence", "of": str(self.of), "after_s": whole(self.after_s)}


Condition = Threshold | Rate | Absence | Forecast | SetSilence


@dataclass(frozen=True, slots=True)
class Rule:
    """A named condition on the series that match both patterns."""

    name: str
    enabled: bool
    gateways: str
    series: str
    condition: Condition
    for_s: float
    severity: Severity
    summary: str = ""

    def applies_to(self, gateway: str, series: str) -> bool:
        """Return True for a series that the rule names; one of a gateway itself needs a pattern ``host.*``."""
        return matches(self.gateways, gateway) and matches_series(self.series, series)

    def applies_to_gateway(self, gateway: str) -> bool:
        """Return True for a gateway of which the rule can name series."""
        return matches(self.gateways, gateway)

    @property
    def needs_rows(self) -> bool:
        """True for a condition on the rows as they arrive; a forecast reads the history by itself."""
        return isinstance(self.condition, Threshold | Rate | Absence)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON values, as :func:`parse` reads them."""
        return {
            "name": self.name,
            "enabled": self.enabled,
            "gateways": self.gateways,
            "series": self.series,
            "condition": self.condition.to_dict(),
            "for_s": whole(self.for_s),
            "severity": str(self.severity),
            "summary": self.summary,
        }


def parse(body: Mapping[str, Any]) -> Rule:
    """Return the rule of a document; raises RequestError with one sentence a problem."""
    fields = Fields(body)
    rule = Rule(
        name=fields.name(),
        enabled=fields.flag("enabled", True),
        gateways=fields.glob("gateways"),
        series=fields.glob("series"),
        condition=_condition(fields.child("condition")),
        for_s=fields.seconds("for_s", 0.0),
        severity=Severity(fields.choice("severity", list(Severity), Severity.WARNING)),
        summary=fields.text("summary", longest=200),
    )
    if isinstance(rule.condition, SetSilence):
        if rule.for_s:
            fields.problem("for_s", f"{rule.for_s:g}: 0 with the condition silence, whose duration is after_s")
        if rule.condition.of is Subject.GATEWAY and rule.series != "*":
            fields.problem("series", f"{rule.series!r:.80}: * with a condition of the gateway")
    fields.finish()
    return rule


def set_silence(rules: Iterable[Rule], gateway: str, series: str = "") -> Rule | None:
    """Return the rule that sets the silence of a gateway, or of its series if one is named: the first by name."""
    of = Subject.SERIES if series else Subject.GATEWAY
    found = (
        rule
        for rule in rules
        if isinstance(rule.condition, SetSilence)
        and rule.condition.of is of
        and (rule.applies_to(gateway, series) if series else rule.applies_to_gateway(gateway))
    )
    return min(found, key=lambda rule: rule.name, default=None)


def _condition(fields: Fields) -> Condition:
    kind = fields.choice("type", list(ConditionType), None)
    condition: Condition
    if kind == ConditionType.ABSENCE:
        condition = Absence(fields.seconds("after_s", None, least=1))
    elif kind == ConditionType.SILENCE:
        of = Subject(fields.choice("of", list(Subject), Subject.GATEWAY))
        condition = SetSilence(fields.seconds("after_s", None, least=MIN_SILENCE_S), of)
    elif kind == ConditionType.FORECAST:
        limit = fields.number("limit")
        if limit is None and "limit" not in fields:
            fields.problem("limit", "a number is needed")
        side = fields.choice("side", ("high", "low"), "high")
        condition = Forecast(limit or 0.0, side, fields.seconds("within_s", None, least=1))
    else:
        above, below = fields.number("above"), fields.number("below")
        if above is None and below is None and "above" not in fields and "below" not in fields:
            fields.problem("above", "a limit is needed: above, below or both")
        if above is not None and below is not None and below >= above:
            fields.problem("below", f"{below:g} is not less than above, {above:g}")
        if kind == ConditionType.RATE:
            condition = Rate(above, below, fields.choice("per", tuple(UNITS_MS), "1h"))
        else:
            condition = Threshold(above, below, fields.number("clear_margin", at_least=0) or 0.0)
    fields.unknown()
    return condition


def _limits(above: float | None, below: float | None) -> dict[str, Any]:
    both = {"above": above, "below": below}
    return {name: whole(limit) for name, limit in both.items() if limit is not None}
