"""Message with a batch, between the components of one gateway: the format depends on the kind of its rows. Pure."""

from __future__ import annotations

from edge_components.common import aggregates_message, message_columns, readings_message
from wire import codec
from wire.limits import MAX_LOCAL_BYTES
from wire.model import Aggregates, Batch, Readings

_READERS = readings_message.READERS | aggregates_message.READERS


def encode(batch: Batch, limit: int = MAX_LOCAL_BYTES) -> bytes:
    """Encode a batch: readings and aggregates as columns, other rows in the wire format.

    Raises TooLargeError above ``limit`` bytes.
    """
    if isinstance(batch.rows, Readings):
        return readings_message.encode(batch, limit)
    if isinstance(batch.rows, Aggregates):
        return aggregates_message.encode(batch, limit)
    return codec.encode(batch, limit)


def decode(data: bytes) -> Batch:
    """Decode a batch of any kind of rows; raises DecodeError for anything else."""
    return message_columns.decode(data, _READERS)
