"""SenML as CBOR (RFC 8428, section 6). Pure."""

from __future__ import annotations

from typing import Any

from edge_components.sensor_reader.cbor import decode
from edge_components.sensor_reader.errors import EmptyPayloadError
from edge_components.sensor_reader.formats import Columns, FormatKind, FormatSettings, PayloadFormat
from edge_components.sensor_reader.formats.senml_json import take_pack

_LABELS = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}


class SenmlCborFormat(PayloadFormat):
    """See edge_components.sensor_reader.formats.Format."""

    def __init__(self, settings: FormatSettings) -> None:
        """All settings apply after parsing."""

    def parse(self, topic: bytes, payload: bytes, into: Columns, index: int) -> None:
        """Append the records of one pack; a bad record is a rejection and affects no other. Raises RejectedError."""
        if not payload:
            raise EmptyPayloadError
        pack = decode(payload)
        take_pack([_named(record) for record in pack] if isinstance(pack, list) else pack, into, index)


def _named(record: Any) -> Any:
    return {_LABELS.get(key, key): value for key, value in record.items()} if isinstance(record, dict) else record


FORMAT = FormatKind(SenmlCborFormat, complete_names=True)
