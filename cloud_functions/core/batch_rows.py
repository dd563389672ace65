"""Rows of batches, decoded."""

from __future__ import annotations

from cloud_functions.core import keys
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.columns import aggregates_of
from cloud_functions.core.errors import CloudError
from wire import codec
from wire.codec import Profiles
from wire.errors import UnknownProfileError, WireError
from wire.model import AGGREGATE_COLUMNS, Aggregates, Readings, Rows
from wire.summary import Name


class UnreadableBatchError(CloudError):
    """A stored batch whose rows cannot be decoded."""


def rows_of(batch: StoredBatch, profiles: Profiles) -> Aggregates:
    """Return the rows of a batch, readings as windows of one millisecond; raises UnreadableBatchError."""
    try:
        rows = codec.decode(batch.data, profiles).rows
    except (WireError, UnknownProfileError) as error:
        name = f"{batch.gateway} {keys.batch_name(batch.epoch, batch.sequence)}"
        raise UnreadableBatchError(f"batch {name}: {type(error).__name__}: {str(error)[:300]}") from error
    if isinstance(rows, Readings):
        return aggregates_of(rows)
    if isinstance(rows, Aggregates):
        return rows
    raise UnreadableBatchError(f"batch of {batch.gateway}: {type(rows).__name__.lower()} are not rows")


def check_rows(name: Name, profiles: Profiles) -> None:
    """Decode the rows of a batch; raises WireError if that is not possible."""
    codec.unpack(name.packed, lambda version: profiles(name.gateway, version))


def have_same_rows(one: bytes, other: bytes, profiles: Profiles) -> bool:
    """Return True if two batches have bit-equal aggregates; the order of series in the directory is ignored."""
    try:
        return _same(codec.decode(one, profiles).rows, codec.decode(other, profiles).rows)
    except WireError:
        return False


def _same(one: Rows, other: Rows) -> bool:
    if not isinstance(one, Aggregates) or not isinstance(other, Aggregates) or len(one) != len(other):
        return False
    names = [[rows.series[at] for at in rows.series_index.tolist()] for rows in (one, other)]
    return names[0] == names[1] and all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in AGGREGATE_COLUMNS[1:]
    )
