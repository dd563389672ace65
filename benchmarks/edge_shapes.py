"""Shapes of the load generator's messages: topic, payload, and the source that reads them. Pure.

A payload is built once with placeholders for its times, which :meth:`Shape.stamped` replaces in many messages at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from device_sim.simulation.sparkplug_encoding import UINT64, Metric, encode, varint

PLACEHOLDER = b"0000000000000"
"""Stands for an event time in milliseconds, which has 13 digits until the year 2286."""

CHANNELS = 8
"""Channels of a device."""

VALUES = 101
"""Values of a series before they come again."""

SEQUENCES = 256
"""Sequence numbers of a Sparkplug node."""

_GROUP, _NODE = "bench", "node"
_STAMP_MS = 4_225_167_753_087
_STAMP = varint(_STAMP_MS)
"""Stands for an event time in a Sparkplug message: six groups of seven bits, as any time until the year 2109."""


class Shape(Protocol):
    """Messages of one shape. They are sent in rounds of ``messages``, in which every series has its turn."""

    @property
    def name(self) -> str:
        """Name of the shape."""

    @property
    def series(self) -> int:
        """Number of series of a message."""

    @property
    def readings(self) -> int:
        """Number of readings in a message."""

    @property
    def rounds(self) -> int:
        """Divisor of the number of rounds until messages are repeated."""

    @property
    def source(self) -> Mapping[str, Any]:
        """Keys of the sensor reader's source, besides those of the broker."""

    def message(self, at: int, messages: int) -> tuple[str, bytes]:
        """Return topic and payload of message number ``at``, counted over all rounds."""

    def first(self, messages: int) -> Iterator[tuple[str, bytes]]:
        """Yield topic and payload of what is sent before all messages."""

    def stamped(self, data: bytes, time_ms: int) -> bytes:
        """Return messages with their times."""

    def names(self, messages: int) -> list[str]:
        """Return the names that the gateway gives the series of a round."""


@dataclass(frozen=True, slots=True)
class Json:
    """Payloads of JSON on topics ``sensors/<device>/<channel>``, or ``sensors/<device>`` with several series."""

    name: str
    series: int
    readings: int
    write: Callable[[Sequence[int], int], bytes]
    """Function of the series of a message and its repetition."""
    placeholders: tuple[tuple[bytes, int], ...] = ((PLACEHOLDER, 0),)
    """Placeholders, each with its distance to the time of the message."""
    source: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = VALUES

    def message(self, at: int, messages: int) -> tuple[str, bytes]:
        """Return topic and payload."""
        repetition, number = divmod(at, messages)
        series = range(number * self.series, (number + 1) * self.series)
        device, channel = divmod(series[0], CHANNELS)
        topic = f"sensors/d{device:04d}" + (f"/c{channel}" if self.series == 1 else "")
        return topic, self.write(series, repetition)

    def first(self, messages: int) -> Iterator[tuple[str, bytes]]:
        """Yield nothing."""
        yield from ()

    def stamped(self, data: bytes, time_ms: int) -> bytes:
        """Return messages with their times."""
        for placeholder, distance in self.placeholders:
            data = data.replace(placeholder, b"%013d" % (time_ms + distance))
        return data

    def names(self, messages: int) -> list[str]:
        """Return the names that the gateway gives the series of a round."""
        return [_name(at) for at in range(messages * self.series)]


@dataclass(frozen=True, slots=True)
class Sparkplug:
    """Data of the devices of one Sparkplug node: metrics by their alias, with the time of the message."""

    name: str = "sparkplug"
    series: int = CHANNELS
    readings: int = CHANNELS
    rounds: int = SEQUENCES
    source: Mapping[str, Any] = field(default_factory=lambda: {"preset": "sparkplug"})

    def message(self, at: int, messages: int) -> tuple[str, bytes]:
        """Return topic and payload."""
        repetition, number = divmod(at, messages)
        metrics = [
            Metric("", value(one, repetition, SEQUENCES // 2), alias=one)
            for one in range(number * CHANNELS, (number + 1) * CHANNELS)
        ]
        births = 1 + messages
        return _topic("DDATA", number), encode(metrics, _STAMP_MS, (births + at) % SEQUENCES)

    def first(self, messages: int) -> Iterator[tuple[str, bytes]]:
        """Yield the births of the node and of its devices."""
        yield _topic("NBIRTH"), encode([Metric("bdSeq", 0, UINT64)], _STAMP_MS, 0)
        for number in range(messages):
            series = range(number * CHANNELS, (number + 1) * CHANNELS)
            metrics = [Metric(f"c{at % CHANNELS}", 0.0, alias=at) for at in series]
            yield _topic("DBIRTH", number), encode(metrics, _STAMP_MS, (number + 1) % SEQUENCES)

    def stamped(self, data: bytes, time_ms: int) -> bytes:
        """Return messages with their times."""
        return data.replace(_STAMP, varint(time_ms))

    def names(self, messages: int) -> list[str]:
        """Return the names that the gateway gives the series of a round."""
        return [f"{_GROUP}.{_NODE}.{_name(at)}" for at in range(messages * CHANNELS)]


def value(series: int, repetition: int, values: int = VALUES) -> float:
    """Return a value that no other of ``values`` repetitions of the series has."""
    return 20 + series % 7 + (repetition * 37 + series * 11) % values / 100


def _single(series: Sequence[int], repetition: int) -> bytes:
    return b'{"value":%.2f5,"time":%b}' % (value(series[0], repetition), PLACEHOLDER)  # see edge_packets.MARKER


def _several_fields(series: Sequence[int], repetition: int) -> bytes:
    fields = b",".join(b'"c%d":%.2f5' % (one % CHANNELS, value(one, repetition)) for one in series)
    return b'{"time":%b,%b}' % (PLACEHOLDER, fields)


_TEN = tuple((PLACEHOLDER[:-1] + b"%d" % at, 10 * (at - 9)) for at in range(10))


def _ten_readings(series: Sequence[int], repetition: int) -> bytes:
    readings = (
        b'{"time":%b,"value":%.3f5}' % (placeholder, value(series[0], 10 * repetition + at, 10 * VALUES) / 10 + 20)
        for at, (placeholder, _) in enumerate(_TEN)
    )
    return b"[" + b",".join(readings) + b"]"


def _name(series: int) -> str:
    device, channel = divmod(series, CHANNELS)
    return f"d{device:04d}.c{channel}"


def _topic(kind: str, device: int | None = None) -> str:
    return f"spBv1.0/{_GROUP}/{kind}/{_NODE}" + ("" if device is None else f"/d{device:04d}")


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Json("single", 1, 1, _single),
        Json(
            "ten",
            1,
            10,
            _ten_readings,
            _TEN,
            {"topics": [{"topic": "sensors/{device}/{channel}", "each": "*", "series": "{device}.{channel}"}]},
        ),
        Json(
            "fields",
            CHANNELS,
            CHANNELS,
            _several_fields,
            source={"topics": [{"topic": "sensors/{device}", "value": [f"c{at}" for at in range(CHANNELS)]}]},
        ),
        Sparkplug(),
    )
}
