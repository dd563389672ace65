"""Silences: periods in which alerts raise no notification, with the author and the reason.

A silence lasts from ``from`` to ``to``; with ``recurring`` it applies only in a part of the days of this time range,
such as every Sunday from 22:00 to 02:00 in the time zone of the site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud_functions.core.fields import Fields
from cloud_functions.core.globs import matches
from cloud_functions.core.severity import Severity

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Recurring:
    """A time range of the day on some weekdays (Monday is 0); one that ends before it begins lasts over midnight."""

    weekdays: tuple[int, ...]
    from_minute: int
    to_minute: int
    zone: str

    def covers(self, now_ms: int) -> bool:
        """Return True if the local time lies in the range; the weekday is that of its begin."""
        local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(_zone(self.zone))
        minute = local.hour * 60 + local.minute
        if self.from_minute < self.to_minute:
            return local.weekday() in self.weekdays and self.from_minute <= minute < self.to_minute
        if minute >= self.from_minute:
            return local.weekday() in self.weekdays
        return minute < self.to_minute and (local - timedelta(days=1)).weekday() in self.weekdays

    def to_dict(self) -> dict[str, Any]:
        """Return the range as JSON values."""
        begin, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in (self.from_minute, self.to_minute))
        return {"weekdays": list(self.weekdays), "from": begin, "to": end, "zone": self.zone}


@dataclass(frozen=True, slots=True)
class Silence:
    """A named silence of the alerts that match all patterns; ``severities`` empty: of any severity."""

    name: str
    gateways: str
    series: str
    rules: str
    severities: tuple[str, ...]
    from_ms: int
    to_ms: int
    recurring: Recurring | None
    author: str
    comment: str

    def is_active(self, now_ms: int) -> bool:
        """Return True while the silence applies."""
        within = self.from_ms <= now_ms < self.to_ms
        return within and (self.recurring is None or self.recurring.covers(now_ms))

    def covers(self, gateway: str, series: str, rule: str, severity: str) -> bool:
        """Return True for an alert that the patterns name; ``rule`` is the rule's name or the cause of the alert."""
        if self.severities and severity not in self.severities:
            return False
        return matches(self.gateways, gateway) and matches(self.series, series) and matches(self.rules, rule)

    def to_dict(self) -> dict[str, Any]:
        """Return the silence as JSON values, as :func:`parse` reads them."""
        optional: dict[str, Any] = {"severities": list(self.severities)} if self.severities else {}
        optional |= {"recurring": self.recurring.to_dict()} if self.recurring else {}
        return {
            "name": self.name,
            "gateways": self.gateways,
            "series": self.series,
            "rules": self.rules,
            **optional,
            "from": self.from_ms,
            "to": self.to_ms,
            "author": self.author,
            "comment": self.comment,
        }


def parse(body: Mapping[str, Any]) -> Silence:
    """Return the silence of a document; raises RequestError with one sentence a problem."""
    fields = Fields(body)
    from_ms, to_ms = fields.time_ms("from"), fields.time_ms("to")
    for key, value in (("from", from_ms), ("to", to_ms)):
        if value is None and key not in fields:
            fields.problem(key, "a time in milliseconds since 1970 is needed")
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        fields.problem("to", f"{to_ms} is not after from, {from_ms}")
    silence = Silence(
        name=fields.name(),
        gateways=fields.glob("gateways"),
        series=fields.glob("series"),
        rules=fields.glob("rules"),
        severities=fields.choices("severities", list(Severity)),
        from_ms=from_ms or 0,
        to_ms=to_ms or 0,
        recurring=_recurring(fields.child("recurring")) if "recurring" in fields else None,
        author=fields.text("author", longest=256),
        comment=fields.text("comment"),
    )
    fields.raw("recurring")
    fields.finish()
    return silence


def silencing(silences: Iterable[Silence], gateway: str, series: str, rule: str, severity: str, now_ms: int) -> str:
    """Return the name of the first active silence of an alert, in the order of names; empty without one."""
    found = [one.name for one in silences if one.is_active(now_ms) and one.covers(gateway, series, rule, severity)]
    return min(found, default="")


def _recurring(fields: Fields) -> Recurring:
    weekdays = fields.raw("weekdays")
    valid = isinstance(weekdays, list) and weekdays and all(type(day) is int and 0 <= day <= 6 for day in weekdays)
    if not valid:
        fields.problem("weekdays", f"{weekdays!r:.80}: a list of weekdays, 0 (Monday) to 6 (Sunday)")
    begin, end = _minute(fields, "from"), _minute(fields, "to")
    if begin == end:
        fields.problem("to", "is the same time as from")
    zone = fields.text("zone", "UTC", 64)
    try:
        _zone(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fields.problem("zone", f"{zone!r:.80}: a time zone of the IANA database, such as Europe/Berlin")
    fields.unknown()
    return Recurring(tuple(sorted(set(weekdays))) if valid else (), begin, end, zone)


def _minute(fields: Fields, key: str) -> int:
    value = fields.raw(key)
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found:
        return int(found[1]) * 60 + int(found[2])
    fields.problem(key, f"{value!r:.80}: a time of the day, 00:00 to 23:59")
    return -1 if key == "from" else -2


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
