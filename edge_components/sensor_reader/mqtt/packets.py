"""Parser of the packets that a broker sends. Pure.

Publications, of which there can be thousands a second, become columns; other packets are returned unchanged for the
MQTT library. A publication larger than allowed is skipped while it is received, so that it needs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_components.sensor_reader.errors import ProtocolError

PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 0x30, 0x40, 0x50, 0x62, 0x70
_MAX_HEADER = 70_000
"""The topic (at most 65,535 bytes), packet identifier and properties of a publication that is skipped."""

_ACKNOWLEDGEMENT = {0: b"", 2: bytes((PUBACK, 2)), 4: bytes((PUBREC, 2))}
"""The acknowledgement of a publication up to its packet identifier, by the QoS bits of the first byte."""


@dataclass(slots=True)
class Publications:
    """Publications in the order of their arrival, as columns of equal length.

    ``acknowledgements`` has the packet that acknowledges each (PUBACK for QoS 1, PUBREC for QoS 2), empty for QoS 0.
    ``retained`` and ``oversize`` name publications by index; an oversize one has an empty payload and its size there.
    """

    topics: list[bytes] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    acknowledgements: list[bytes] = field(default_factory=list)
    retained: set[int] = field(default_factory=set)
    oversize: dict[int, int] = field(default_factory=dict)
    size: int = 0

    def __len__(self) -> int:
        return len(self.topics)


class PacketReader:
    """A reader of one connection; ``properties`` is True for MQTT 5, whose publications carry properties."""

    def __init__(self, max_payload: int, properties: bool) -> None:
        self._max_payload, self.properties = max_payload, properties
        self._rest = b""
        self._skip = 0

    def feed(self, data: bytes) -> tuple[Publications, list[bytes]]:  # noqa: C901 # a call a packet costs too much
        """Return the publications and the other packets that are complete with ``data``; raises ProtocolError."""
        found, others = Publications(), []
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._rest:
            data = self._rest + data
        topics, payloads = found.topics.append, found.payloads.append
        acknowledgements, properties, largest = found.acknowledgements.append, self.properties, self._max_payload
        at, end = 0, len(data)
        while at + 2 <= end:
            first, length, body = data[at], data[at + 1], at + 2
            if length > 127:
                number = _variable(data, at + 1)
                if number is None:
                    break
                length, body = number
            stop = body + length
            if stop > end:
                if first & 0xF0 != PUBLISH or length <= largest or not self._read_oversize(data, at, body, stop, found):
                    break
                at = end
                break
            if first & 0xF0 == PUBLISH:
                start = body + 2 + (data[body] << 8 | data[body + 1]) if length > 1 else stop + 1
                topic_end = start
                if first & 6:
                    start += 2
                    acknowledgements(_acknowledgement(first) + data[topic_end:start])
                else:
                    acknowledgements(b"")
                if properties:
                    start = _after_properties(data, start, stop)
                if start > stop:
                    raise ProtocolError(f"a publication of {length} bytes ends before its payload")
                topics(data[body + 2 : topic_end])
                if stop - start > largest:
                    found.oversize[len(found.payloads)] = stop - start
                    payloads(b"")
                else:
                    payloads(data[start:stop])
                if first & 1:
                    found.retained.add(len(found.payloads) - 1)
            else:
                others.append(data[at:stop])
            at = stop
        self._rest = data[at:]
        found.size = end
        return found, others

    def _read_oversize(self, data: bytes, at: int, body: int, stop: int, found: Publications) -> bool:
        """Take an incomplete publication that may be too large, and skip the rest of it; False to wait for more."""
        first = data[at]
        if len(data) - body < 2:
            return False
        start = body + 2 + (data[body] << 8 | data[body + 1])
        topic_end = start
        start += 2 if first & 6 else 0
        if self.properties:
            number = _variable(data, start)
            if number is None:
                return False
            start = sum(number)
        if start > stop or start - body > _MAX_HEADER:
            raise ProtocolError(f"a publication whose header takes {start - body} bytes")
        if stop - start <= self._max_payload or len(data) < start:
            return False
        found.topics.append(data[body + 2 : topic_end])
        found.acknowledgements.append(_acknowledgement(first) + data[topic_end : topic_end + 2] if first & 6 else b"")
        found.oversize[len(found.payloads)] = stop - start
        if first & 1:
            found.retained.add(len(found.payloads))
        found.payloads.append(b"")
        self._skip = stop - len(data)
        return True


def _acknowledgement(first: int) -> bytes:
    known = _ACKNOWLEDGEMENT.get(first & 6)
    if known is None:
        raise ProtocolError("a publication with QoS 3")
    return known


def _variable(data: bytes, at: int) -> tuple[int, int] | None:
    """Return a variable byte integer and the index after it, None where it is not complete."""
    value = shift = 0
    for index in range(at, min(at + 4, len(data))):
        value |= (data[index] & 127) << shift
        if data[index] < 128:
            return value, index + 1
        shift += 7
    if at + 4 <= len(data):
        raise ProtocolError("a length of more than four bytes")
    return None


def _after_properties(data: bytes, at: int, stop: int) -> int:
    if at < stop and not data[at]:
        return at + 1
    number = _variable(data[:stop], at)
    return stop + 1 if number is None else sum(number)
