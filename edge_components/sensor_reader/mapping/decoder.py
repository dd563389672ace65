"""The decoder of one binding: payloads to named, finite values. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from edge_components.sensor_reader.errors import IgnoredError, RejectedError
from edge_components.sensor_reader.formats import SEPARATOR, Columns
from edge_components.sensor_reader.mapping import names, values
from edge_components.sensor_reader.mapping.bindings import Binding
from edge_components.sensor_reader.mapping.names import NameTemplate
from edge_components.sensor_reader.mapping.paths import unit_path
from edge_components.sensor_reader.mapping.settings import format_kind, zone_of
from edge_components.sensor_reader.mapping.values import Rule
from edge_components.sensor_reader.timestamps import EventTimes
from wire.limits import MAX_VALUE

MAX_RULES = 50_000
"""Maximum number of cached fields; the cache is cleared beyond it, because a device may send any number of fields."""


class Decoder:
    """See :class:`Binding`."""

    def __init__(self, binding: Binding) -> None:
        self.binding, self._settings = binding, binding.mapping
        self.pattern = binding.pattern
        kind = format_kind(self._settings.format)
        self._format, self._topics_of_type = kind.open(self._settings), kind.topics_of_type
        self._template = NameTemplate(self._settings.series, [*self.pattern.placeholders, "rest", "topic"])
        self._extras = len(self._template.payload_paths) + self._template.uses_each
        """The number of values that a payload's format appends to each field for the names of the series."""
        self._rules: dict[str, tuple[Rule, bool]] = {}
        self.times = event_times(binding)

    def decode(self, topics: Sequence[bytes], payloads: Sequence[bytes]) -> Columns:
        """Return the measurements of payloads; values are finite, qualities 0 to 2, times as written."""
        if self._settings.skip:
            return Columns(skipped=len(payloads))
        raw = Columns()
        self._format.parse_all(topics, payloads, raw)
        if not self._changes(raw):
            return raw
        kept = Columns(rejections=raw.rejections, skipped=raw.skipped, nulls=raw.nulls, replies=raw.replies)
        for row, field in enumerate(raw.fields):
            rule, _identity = self._rule(field)
            if rule.ignore:
                kept.skipped += 1
                continue
            value, unit = raw.values[row], raw.units[row]
            try:
                number, quality = values.number(value, rule), values.quality(raw.qualities[row])
            except RejectedError as error:
                if self._settings.text_values == "skip" and error.reason in ("rejected_value", "rejected_null"):
                    kept.nulls += value is None
                    kept.skipped += value is not None
                    continue
                kept.rejections.append((raw.payloads[row], _named(error, self._parts(field)[0])))
                continue
            if not unit and isinstance(value, str):
                unit = values.unit_in(value, rule)
            kept.add(raw.payloads[row], field, number, raw.times[row], quality, unit)
        return kept

    def name(self, topic: str, field: str) -> str:
        """Return the name of the series that a field of a topic is; raises RejectedError."""
        levels = self.pattern.match(topic)
        if levels is None:
            raise RejectedError("rejected_topic", f"does not match {self.binding.topic}")
        known = {**levels, "rest": self.pattern.rest(topic), "topic": topic}
        field, *extras = self._parts(field)
        each = extras.pop(0) if self._template.uses_each and extras else ""
        renamed = self._rule(field)[0].name
        field = field if renamed is None else renamed
        text = self._template.render(known if self._settings.series else levels, field, each, extras)
        if any(fnmatch.fnmatchcase(text, glob) for glob in self._settings.ignore):
            raise IgnoredError(text)
        return names.escape(self._settings.rename.get(text, text))

    def address(self, topic: str, field: str) -> str:
        """Return the text that identifies the origin of a field's series among all that the source reads."""
        if self._topics_of_type:
            return field
        if self._settings.duplicates == "merge":
            return self.name(topic, field)
        return f"{topic} {field}" if field else topic

    def unit(self, field: str, given: str, name: str) -> str:
        """Return the unit of a field, or of a series without one: the configured one, else that of the payload."""
        configured = (self._rule(field)[0] if field else self._settings.rule(name)).unit
        if configured is not None and unit_path(configured) is None:
            return configured
        text = values.unit_text(given)
        return self._settings.unit_names.get(text, text)

    @property
    def skips_duplicates(self) -> bool:
        """True where a series that another topic provides is left out."""
        return self._settings.duplicates == "skip"

    def _changes(self, raw: Columns) -> bool:
        """Return whether any measurement has to be changed or left out."""
        rules = self._rules
        for field, value, quality in zip(raw.fields, raw.values, raw.qualities, strict=True):
            known = rules.get(field)
            if known is None:
                known = self._rule(field)
            if not known[1] or quality is not None or not (type(value) is float or type(value) is int):
                return True
            if not -MAX_VALUE <= value <= MAX_VALUE:
                return True
        raw.qualities = [0] * len(raw.qualities)
        return False

    def _parts(self, field: str) -> list[str]:
        """Return the name in a payload, which may have the separator in it, and the values appended to it."""
        return field.rsplit(SEPARATOR, self._extras) if self._extras else [field]

    def _rule(self, field: str) -> tuple[Rule, bool]:
        known = self._rules.get(field)
        if known is None:
            if len(self._rules) >= MAX_RULES:
                self._rules.clear()
            rule = self._settings.rule(self._parts(field)[0])
            known = rule, rule.identity and not rule.ignore
            self._rules[field] = known
        return known


def event_times(binding: Binding) -> EventTimes:
    """Return the reader of a binding's times."""
    settings = binding.mapping
    return EventTimes(settings.max_future_ms, zone_of(settings.time_zone), settings.unusable_time == "arrival")


def _named(error: RejectedError, name: str) -> RejectedError:
    return RejectedError(error.reason, f"{name[:80]}: {error}") if name else error
