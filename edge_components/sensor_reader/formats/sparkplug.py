"""Sparkplug B over MQTT: births, data, deaths, aliases, sequence numbers. Pure.

A field's name is group, node, device and metric, joined by dots. A death gives the last value of each metric again with
quality bad. A gap in the sequence, or data of a node whose birth was not received, asks the node for a rebirth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_components.sensor_reader.errors import RejectedError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings, PayloadFormat
from edge_components.sensor_reader.sparkplug import NUMERIC, Metric, Payload, decode, rebirth_request, signed
from wire.model import Quality

MAX_NODES = 1_000
MAX_METRICS = 20_000
_REQUEST_AGAIN_AFTER = 100
"""Messages of a node without a birth after which the rebirth is requested again."""
_CONTROL = ("Node Control/", "Device Control/")
_UNIT_KEYS = ("engUnit", "EngUnit", "Engineering Unit", "engineeringUnit", "unit", "Unit", "units")
_STALE = 500


@dataclass(slots=True)
class _Known:
    """A metric as its birth describes it, and its last value."""

    field: str
    datatype: int
    unit: str
    value: float | bool | None = None


@dataclass(slots=True)
class _Node:
    """The state of one node."""

    metrics: dict[tuple[str, str], _Known] = field(default_factory=dict)
    """By device (empty for the node itself) and metric name."""
    aliases: dict[int | None, _Known] = field(default_factory=dict)
    sequence: int | None = None
    birth_sequence: float | None = None
    born: bool = False
    since_request: int | None = None


class SparkplugFormat(PayloadFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the metrics of one message; raises RejectedError."""
        namespace, group, kind, node, device = _levels(topic)
        if kind not in ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"):
            into.skipped += 1
            return
        message = decode(payload)
        key = (group, node)
        state = self._nodes.get(key)
        if state is None:
            if len(self._nodes) >= MAX_NODES:
                self._nodes.pop(next(iter(self._nodes)))
            state = self._nodes[key] = _Node()
        in_order = kind == "NDEATH" or self._note_sequence(state, kind, message)
        if kind.endswith("DEATH"):
            self._death(state, device, message, into, index)
            if not in_order:
                self._ask(state, f"{namespace}/{group}/NCMD/{node}", into)
            return
        if kind == "NBIRTH":
            state.metrics, state.aliases, state.born, state.since_request = {}, {}, True, None
            state.birth_sequence = next((float(one.value or 0) for one in message.metrics if one.name == "bdSeq"), None)
        prefix = ".".join(filter(None, (group, node, device)))
        rows, unknown = self._described(message.metrics, state, device, prefix, birth="BIRTH" in kind)
        self._take(rows, message.timestamp, into, index)
        if unknown or not in_order or not state.born:
            self._ask(state, f"{namespace}/{group}/NCMD/{node}", into)
        if unknown:
            text = f"{unknown} metrics with an alias whose birth was not received; a rebirth is requested"
            raise RejectedError("rejected_alias", text)

    def _described(
        self, metrics: list[Metric], state: _Node, device: str, prefix: str, *, birth: bool
    ) -> tuple[list[tuple[Metric, _Known]], int]:
        """Return the metrics that are measurements, with their descriptions, and the number of unknown aliases."""
        rows, unknown, aliases = [], 0, state.aliases
        for metric in metrics:
            known = None if birth or metric.name else aliases.get(metric.alias)
            known = known or self._describe(metric, state, device, prefix, birth=birth)
            if known is not None:
                rows.append((metric, known))
            elif not metric.name:
                unknown += 1
        return rows, unknown

    @staticmethod
    def _describe(metric: Metric, state: _Node, device: str, prefix: str, *, birth: bool) -> _Known | None:
        """Return the description of a metric; None for one that is not a measurement, and for an unknown alias."""
        name = metric.name
        if not name:
            return state.aliases.get(metric.alias)
        if name == "bdSeq" or name.startswith(_CONTROL):
            return None
        known = state.metrics.get((device, name))
        if known is None or birth:
            if len(state.metrics) >= MAX_METRICS:
                raise RejectedError("rejected_sparkplug", f"a node with more than {MAX_METRICS} metrics")
            known = _Known(f"{prefix}.{name}", metric.datatype, _unit(metric))
            state.metrics[device, name] = known
        if birth and metric.alias is not None:
            state.aliases[metric.alias] = known
        return known

    @staticmethod
    def _take(rows: list[tuple[Metric, _Known]], message_time: int | None, into: Columns, index: int) -> None:
        """Append the values of metrics."""
        before = len(into.fields)
        for (_name, _alias, time, datatype, historical, value, properties), known in rows:
            datatype = datatype or known.datatype
            if datatype not in NUMERIC and not (datatype == 0 and value is not None):
                into.skipped += 1
                continue
            if value is not None and type(value) is not float:
                value = signed(value, datatype)
            into.fields.append(known.field)
            into.values.append(value)
            into.times.append(message_time if time is None else time)
            into.qualities.append(_quality(properties) if properties else None)
            into.units.append(known.unit)
            if not historical:
                known.value = value
        into.payloads += [index] * (len(into.fields) - before)

    @staticmethod
    def _death(state: _Node, device: str, message: Payload, into: Columns, index: int) -> None:
        if not device:
            number = next((float(one.value or 0) for one in message.metrics if one.name == "bdSeq"), None)
            if state.birth_sequence is not None and number is not None and number != state.birth_sequence:
                return  # the late death of an earlier session
            state.born, state.sequence = False, None
        # The broker sends a node's death long after the node wrote its time.
        time = message.timestamp if device else None
        for (owner, _name), known in state.metrics.items():
            if known.value is not None and (not device or owner == device):
                into.add(index, known.field, known.value, time, Quality.BAD, known.unit)
                known.value = None

    @staticmethod
    def _note_sequence(state: _Node, kind: str, message: Payload) -> bool:
        """Return whether the message follows the one before."""
        before, state.sequence = state.sequence, message.sequence
        if kind == "NBIRTH" or before is None or message.sequence is None:
            return True
        return message.sequence == (before + 1) % 256

    @staticmethod
    def _ask(state: _Node, topic: str, into: Columns) -> None:
        if state.since_request is not None and state.since_request < _REQUEST_AGAIN_AFTER:
            state.since_request += 1
            return
        state.since_request = 0
        into.replies.append((topic, rebirth_request()))


def _levels(topic: bytes) -> tuple[str, str, str, str, str]:
    levels = topic.decode(errors="replace").split("/")
    if len(levels) == 4:
        levels.append("")
    if len(levels) != 5 or not levels[0].startswith("spB"):
        raise RejectedError("rejected_topic", "not a topic of Sparkplug B: spBv1.0/<group>/<type>/<node>[/<device>]")
    return levels[0], levels[1], levels[2], levels[3], levels[4]


def _unit(metric: Metric) -> str:
    found = next((metric.properties[key] for key in _UNIT_KEYS if key in metric.properties), "")
    return found[:32] if isinstance(found, str) else ""


def _quality(properties: Mapping[str, Any]) -> int | None:
    code = properties.get("Quality", properties.get("quality"))
    if not isinstance(code, int):
        return None
    if code >= _STALE or code < 64:
        return Quality.BAD
    return Quality.GOOD if code >= 192 else Quality.UNCERTAIN


FORMAT = FormatKind(SparkplugFormat, complete_names=True, topics_of_type=True)
