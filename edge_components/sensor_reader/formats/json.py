"""JSON: one or more values in a payload, selected by paths with wildcards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_components.sensor_reader.errors import EmptyPayloadError, RejectedError
from edge_components.sensor_reader.formats import SEPARATOR, Columns, FormatKind
from edge_components.sensor_reader.mapping import paths, values
from edge_components.sensor_reader.mapping.names import AnyLevel, NameTemplate
from edge_components.sensor_reader.mapping.paths import DEEP, MISSING, Path
from edge_components.sensor_reader.mapping.settings import MappingSettings
from edge_components.sensor_reader.payloads import JsonDecoder


class JsonFormat:
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: MappingSettings) -> None:
        self._settings = settings
        self._decoder = JsonDecoder()
        self._each = paths.parse(settings.each)
        self._values = [paths.parse(text) for text in settings.value] or [()]
        self._time, self._quality, self._unit = (
            paths.parse(text) for text in (settings.time, settings.quality, settings.unit)
        )
        self._flat = self._flat_keys()
        # The levels of the topic are checked when the topic is known.
        template = NameTemplate(settings.series, AnyLevel())
        self._extra_paths, self._uses_each = template.payload_paths, template.uses_each
        self._uses_field = "{field}" in settings.series
        self._lists = bool(self._each) or any(not paths.is_plain(path) for path in self._values)
        self._element_key = self._single_key()

    def parse_all(self, topics: Sequence[bytes], payloads: Sequence[bytes], into: Columns) -> None:
        """Append the measurements of payloads."""
        errors: dict[int, RejectedError] = {}
        bodies = self._decoder.decode_all(payloads, errors)
        into.rejections += errors.items()
        for index, body in enumerate(bodies):
            if index in errors:
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
        single = [path for path in (*self._values, self._time, self._quality, self._unit) if path]
        if self._each or self._settings.series or not all(self._values):
            return None
        if any(len(path) > 1 or not paths.is_plain(path) for path in single) or len(self._values) < 2:
            return None
        return [str(path[0]) for path in self._values]

    def _single_key(self) -> str | None:
        """Return the key of the value where every element of a list has one reading, which is a fast case, too."""
        if not self._each or self._each[-1] is not paths.ANY or not paths.is_plain(self._each[:-1]):
            return None
        beside = (self._time, self._quality, self._unit)
        if self._extra_paths or self._uses_each or len(self._values) != 1 or len(self._values[0]) != 1:
            return None
        if any(len(path) > 1 or not paths.is_plain(path) for path in beside):
            return None
        key = self._values[0][0]
        return key if isinstance(key, str) else None

    def _take_elements(self, key: str, body: Any, index: int, into: Columns) -> bool:
        """Append the readings of a list of objects; False where an element is of another kind."""
        elements = paths.get(body, self._each[:-1])
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
        into.times += self._of_elements(elements, root, self._time)
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
        time = body.get(str(self._time[0])) if self._time else None
        quality = body.get(str(self._quality[0])) if self._quality else None
        unit = body.get(str(self._unit[0])) if self._unit else None
        into.payloads += [index] * count
        into.fields += [key for key, _value in found]
        into.values += [value for _key, value in found]
        into.times += [time] * count
        into.qualities += [quality] * count
        into.units += [unit if isinstance(unit, str) else ""] * count
        return count > 0

    def _take(self, body: Any, index: int, into: Columns) -> None:
        before = len(into) + into.skipped + into.nulls
        if not self._each:
            self._element(body, body, "", index, into)
        else:
            for way, element in paths.find(body, self._each):
                self._element(element, body, _fixed(self._each, way), index, into)
        if len(into) + into.skipped + into.nulls == before:
            if body == [] or body == {}:
                raise EmptyPayloadError
            shown = ", ".join(self._settings.value)
            raise RejectedError("rejected_value", f"the payload has no value at {shown[:80]}: {repr(body)[:80]}")

    def _element(self, element: Any, root: Any, each: str, index: int, into: Columns) -> None:
        several = len(self._values) > 1 or self._lists
        for path in self._values:
            if not isinstance(element, dict | list) and not self._each and not several:
                into.add(index, self._field("", each, element, root), element)
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
                    self._field(field, each, element, root),
                    value,
                    self._near(element, root, self._time),
                    self._near(element, root, self._quality),
                    self._unit_at(way, element, root),
                )

    def _is_context(self, way: list[str]) -> bool:
        """Return whether a leaf is the time, quality or unit of the others."""
        return any(path and tuple(way[: len(path)]) == path for path in (self._time, self._quality, self._unit))

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

    def _field(self, name: str, each: str, element: Any, root: Any) -> str:
        """Return the field with the values of the payload that its series' name contains."""
        if not self._extra_paths and not self._uses_each:
            return name
        extras = [each] if self._uses_each else []
        for path in self._extra_paths:
            found = self._near(element, root, path)
            if found is None or isinstance(found, dict | list):
                missing = ".".join(str(step) for step in path)
                raise RejectedError("rejected_name", f"the payload has no {missing[:60]} for the name of the series")
            extras.append(str(found)[:128].replace(SEPARATOR, " "))
        return SEPARATOR.join([name, *extras])

    def _unit_at(self, way: list[str], element: Any, root: Any) -> str:
        """Return the unit beside a value, else that of its element or of the payload."""
        beside = paths.get(element, (*way[:-1], *self._unit)) if self._unit and len(way) > 1 else MISSING
        found = self._near(element, root, self._unit) if beside is MISSING else beside
        return found if isinstance(found, str) else ""

    @staticmethod
    def _near(element: Any, root: Any, path: Path) -> Any:
        """Return the value at a path in the element, else in the payload, None where both have none."""
        if not path:
            return None
        found = paths.get(element, path)
        if found is MISSING:
            found = paths.get(root, path)
        return None if found is MISSING else found


def _fixed(each: Path, way: list[str]) -> str:
    """Return the keys that wildcards matched, joined by dots, without the indexes of lists."""
    steps = [key for at, key in enumerate(way) if at >= len(each) or not isinstance(each[at], str)]
    return ".".join(key for key in steps if not key.isdecimal())


FORMAT = FormatKind(JsonFormat)
