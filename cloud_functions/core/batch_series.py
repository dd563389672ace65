"""Names of the series that have rows in a batch, without decoding the rows."""

from __future__ import annotations

from cloud_functions.core.batch_rows import UnreadableBatchError
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.watched import Watched
from wire.codec import Profiles
from wire.errors import WireError
from wire.summary import read_name, read_present


def series_of(batch: StoredBatch, watched: Watched, profiles: Profiles) -> list[str]:
    """Return the names of the series with rows in a batch; raises UnreadableBatchError.

    A profile is read only if ``watched`` does not know it, and is then added to it.
    """
    try:
        present = read_present(read_name(batch.data))
    except WireError as error:
        raise UnreadableBatchError(f"batch of {batch.gateway}: {type(error).__name__}: {str(error)[:300]}") from error
    if present.profile is None:
        return [series.name for series in present.series]
    names = watched.profiles.get(str(present.profile))
    if names is None:
        known = profiles(batch.gateway, present.profile)
        if known is None:
            raise UnreadableBatchError(f"batch of {batch.gateway}: profile {present.profile} is not known")
        names = [series.name for series in known.series]
        watched.learn_profile(present.profile, names)
    if present.series_ids and max(present.series_ids) >= len(names):
        raise UnreadableBatchError(f"batch of {batch.gateway}: series outside profile {present.profile}")
    return [names[series_id] for series_id in present.series_ids]
