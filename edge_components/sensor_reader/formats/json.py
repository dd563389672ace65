"""JSON: one or more values in a payload, selected by paths with wildcards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_components.sensor_reader.errors import EmptyPayloadError, RejectedError
from edge_components.sensor_reader.formats import SEPARATOR, Columns, FormatKind, FormatSettings
from edge_components.sensor_reader.formats.plain import text_of
from edge_components.sensor_reader.mapping import paths, values
from edge_components.sensor_reader.mapping.names import AnyLevel, NameTemplate
from edge_components.sensor_reader.mapping.paths import DEEP, MISSING, Path, unit_path
from edge_components.sensor_reader.payloads import JsonDecoder, decode_json

_MAX_UNIT_PATHS = 10_000


class JsonFormat:
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        self._settings = settings
        self._decoder = JsonDecoder()
        self._eaches = [paths.parse(text) for text in settings.each]
        self._values = [paths.parse(text) for text in settings.value] or [()]
        self._times = [paths.parse(text) for text in settings.time]
        self._quality, self._unit = paths.parse(settings.quality), paths.parse(settings.unit)
        self._has_unit_paths = any(unit_path(rule.get("unit")) is not None for rule in settings.fields.values())
        self._unit_paths: dict[str, Path | None] = {}
        self._flat = self._flat_keys()
        # The levels of the topic are checked when the topic is known.
        template = NameTemplate(settings.series, AnyLevel())
        self._extra_paths, self._uses_each = template.payload_paths, template.uses_each
        self._optional_paths = template.optional_paths
        self._uses_field = "{field}" in settings.series
        self._lists = bool(self._eaches) or any(not paths.is_plain(path) for path in self._values)
        self._element_key = self._single_key()

    def parse_all(self, topics: Sequence[bytes], payloads: Sequence[bytes], into: Columns) -> None:
        """Append the measurements of payloads."""
        errors: dict[int, RejectedError] = {}
        bodies = self._decoder.decode_all(payloads, errors)
        for index, body in enumerate(bodies):
            if index in errors:
                if self._settings.plain_text and errors[index].reason == "rejected_json":
                    self._take_text(payloads[index], index, into)
                else:
                    into.rejections.append((index, errors[index]))
                continue
            if self._flat is not None and type(body) is dict and self._take_flat(body, index, into):
                continue
            if self._element_key is not None and self._take_elements(self._element_key, body, index, into):
                continue
            try:
                self._take(body, index, into)
            except RejectedError as error:
                into.rejections.append((index, error))

    def _flat_keys(self) -> list[str] | None:
        """Return the keys of the values where all paths are single keys of the payload, which is the fast case."""
        single = [path for path in (*self._values, *self._times, self._quality, self._unit) if path]
        if self._eaches or self._settings.series or self._has_unit_paths or not all(self._values):
            return None
        if any(len(path) > 1 or not paths.is_plain(path) for path in single) or len(self._values) < 2:
            return None
        if len(self._times) > 1:
            return None
        return [str(path[0]) for path in self._values]

    def _single_key(self) -> str | None:
        """Return the key of the value where every element of a list has one reading, which is a fast case, too."""
        if len(self._eaches) != 1 or len(self._times) > 1 or self._has_unit_paths:
            return None
        each = self._eaches[0]
        if not each or each[-1] is not paths.ANY or not paths.is_plain(each[:-1]):
            return None
        beside = (*self._times, self._quality, self._unit)
        if self._extra_paths or self._uses_each or len(self._values) != 1 or len(self._values[0]) != 1:
            return None
        if any(len(path) > 1 or not paths.is_plain(path) for path in beside):
            return None
        key = self._values[0][0]
        return key if isinstance(key, str) else None

    def _take_elements(self, key: str, body: Any, index: int, into: Columns) -> bool:
        """Append the readings of a list of objects; False where an element is of another kind."""
        elements = paths.get(body, self._eaches[0][:-1])
        if type(elements) is not list or not 0 < len(elements) <= paths.MAX_MATCHES:
            return False
        if not all(type(element) is dict and key in element for element in elements):
            return False
        found = [element[key] for element in elements]
        if any(isinstance(value, dict | list) for value in found):
            return False
        root = body if type(body) is dict else {}
        count = len(found)
        into.payloads += [index] * count
        into.fields += [key] * count
        into.values += found
        into.times += self._of_elements(elements, root, self._times[0] if self._times else ())
        into.qualities += self._of_elements(elements, root, self._quality)
        units = self._of_elements(elements, root, self._unit)
        into.units += [unit if isinstance(unit, str) else "" for unit in units]
        return True

    @staticmethod
    def _of_elements(elements: list[dict[str, Any]], root: dict[str, Any], path: Path) -> list[Any]:
        """Return the value at a path of one key in each element, else in the payload, None where both have none."""
        if not path:
            return [None] * len(elements)
        key = str(path[0])
        default = root.get(key)
        return [element.get(key, default) for element in elements]

    def _take_flat(self, body: dict[str, Any], index: int, into: Columns) -> bool:
        found = [(key, body[key]) for key in self._flat or () if key in body]
        count = len(found)
        time = body.get(str(self._times[0][0])) if self._times else None
        quality = body.get(str(self._quality[0])) if self._quality else None
        unit = body.get(str(self._unit[0])) if self._unit else None
        into.payloads += [index] * count
        into.fields += [key for key, _value in found]
        into.values += [value for _key, value in found]
        into.times += [time] * count
        into.qualities += [quality] * count
        into.units += [unit if isinstance(unit, str) else ""] * count
        return count > 0

    def _take_text(self, payload: bytes, index: int, into: Columns) -> None:
        """Append the value of a payload that is not JSON; one that begins like JSON is rejected."""
        try:
            text = text_of(payload)
            self._take(decode_json(payload) if text[0] in "{[" else text, index, into)
        except RejectedError as error:
            into.rejections.append((index, error))

    def _take(self, body: Any, index: int, into: Columns) -> None:
        before = len(into) + into.skipped + into.nulls
        if not self._eaches:
            self._element((body,), "", index, into)
        for each in self._eaches:
            for way, element in paths.find(body, each):
                self._element((element, *_enclosing(body, way)), _fixed(each, way), index, into)
        if len(into) + into.skipped + into.nulls == before:
            if body == [] or body == {}:
                raise EmptyPayloadError
            shown = ", ".join(self._settings.value)
            raise RejectedError("rejected_value", f"the payload has no value at {shown[:80]}: {repr(body)[:80]}")

    def _element(self, scopes: Sequence[Any], each: str, index: int, into: Columns) -> None:
        """Append the values of an element, which is the first of ``scopes``; the others are the objects around it."""
        element = scopes[0]
        several = len(self._values) > 1 or self._lists
        for path in self._values:
            if not isinstance(element, dict | list) and not self._eaches and not several:
                into.add(index, self._field("", each, scopes), element)
                return
            for way, value in paths.find(element, path):
                name = ".".join(way) if several or self._uses_field else ""
                if path and path[-1] is DEEP:
                    if self._is_context(way):
                        continue
                    if not self._is_measurement(name, value):
                        into.nulls += value is None
                        into.skipped += value is not None
                        continue
                elif isinstance(value, dict | list):
                    into.skipped += 1
                    continue
                field = f"{each}.{name}" if each and name else each or name
                into.add(
                    index,
                    self._field(field, each, scopes),
                    value,
                    self._time_of(scopes),
                    _near(scopes, self._quality),
                    self._unit_at(field, way, scopes),
                )

    def _is_context(self, way: list[str]) -> bool:
        """Return whether a leaf is the time, quality or unit of the others."""
        return any(path and tuple(way[: len(path)]) == path for path in (*self._times, self._quality, self._unit))

    def _is_measurement(self, name: str, value: Any) -> bool:
        """Return whether a leaf is a number, a boolean, a word of the mapping, or a numeric text."""
        if isinstance(value, bool | int | float):
            return True
        if not isinstance(value, str):
            return False
        rule = self._settings.rule(name)
        text = value.strip()
        if text.lower() in rule.words:
            return True
        decimal = "," if rule.decimal_comma else "."
        known = rule.unit is not None or rule.name is not None
        return (known or decimal in text) and values.from_text(value, rule) is not None

    def _field(self, name: str, each: str, scopes: Sequence[Any]) -> str:
        """Return the field with the values of the payload that its series' name contains."""
        if not self._extra_paths and not self._uses_each:
            return name
        extras = [each.replace(SEPARATOR, " ")] if self._uses_each else []
        for path in self._extra_paths:
            found = _near(scopes, path)
            if found is None and path in self._optional_paths:
                found = ""
            if found is None or isinstance(found, dict | list):
                missing = ".".join(str(step) for step in path)
                raise RejectedError("rejected_name", f"the payload has no {missing[:60]} for the name of the series")
            extras.append(str(found)[:128].replace(SEPARATOR, " "))
        return SEPARATOR.join([name, *extras])

    def _time_of(self, scopes: Sequence[Any]) -> Any:
        """Return the event time at the first path that has one, None without one."""
        return next((one for path in self._times if (one := _near(scopes, path)) is not None), None)

    def _unit_at(self, field: str, way: list[str], scopes: Sequence[Any]) -> str:
        """Return the unit at the path of the field's rule, else beside the value, else in the objects around it."""
        if self._has_unit_paths:
            if field not in self._unit_paths:
                if len(self._unit_paths) >= _MAX_UNIT_PATHS:
                    self._unit_paths.clear()
                self._unit_paths[field] = unit_path(self._settings.rule(field).unit)
            own = self._unit_paths[field]
            if own is not None:
                given = _near(scopes, own)
                return given if isinstance(given, str) else ""
        beside = paths.get(scopes[0], (*way[:-1], *self._unit)) if self._unit and len(way) > 1 else MISSING
        found = _near(scopes, self._unit) if beside is MISSING else beside
        return found if isinstance(found, str) else ""


def _near(scopes: Sequence[Any], path: Path) -> Any:
    """Return the value at a path in the first scope that has it, None where none has."""
    if not path:
        return None
    for scope in scopes:
        found = paths.get(scope, path)
        if found is not MISSING:
            return found
    return None


def _enclosing(body: Any, way: list[str]) -> list[Any]:
    """Return the objects around the element at ``way``, from the innermost to the payload."""
    found = [body]
    for key in way[:-1]:
        found.append(paths.get(found[-1], (key,)))
    return [one for one in reversed(found) if isinstance(one, dict)]


def _fixed(each: Path, way: list[str]) -> str:
    """Return the keys that wildcards matched, joined by dots, without the indexes of lists."""
    steps = [key for at, key in enumerate(way) if at >= len(each) or not isinstance(each[at], str)]
    return ".".join(key for key in steps if not key.isdecimal())


FORMAT = FormatKind(JsonFormat)
