"""Reception of batches from another component: decode, and reject what this component cannot use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from edge_components.common.limited_log import RateLimitedLog
from wire.errors import WireError
from wire.model import Batch, Rows

R = TypeVar("R", bound=Rows)


class BatchReceiver(Generic[R]):
    """Decodes the batches of a topic; each rejected one is counted, and logged at a limited rate.

    ``decode`` raises WireError for an invalid payload. ``kinds`` are the kinds of rows that the component uses.
    """

    def __init__(
        self,
        topic: str,
        gateway: str,
        decode: Callable[[bytes], Batch],
        kinds: tuple[type[R], ...],
        limited_log: RateLimitedLog,
    ) -> None:
        self._topic, self._gateway, self._decode = topic, gateway, decode
        self._kinds, self._limited_log = kinds, limited_log

    def decode(self, payload: bytes) -> Batch | None:
        """Return the batch, None for one that is rejected.

        Counters: ``batches_unreadable`` for an invalid payload, ``batches_foreign`` for a batch of another gateway.
        """
        try:
            batch = self._decode(payload)
        except WireError as error:
            self._limited_log.warning("batches_unreadable", f"{type(error).__name__}: {error}", key=self._topic)
            return None
        if batch.gateway != self._gateway:
            text = f"a batch of gateway {batch.gateway}, this is {self._gateway}"
            self._limited_log.warning("batches_foreign", text, key=batch.gateway)
            return None
        return batch

    def rows(self, batch: Batch) -> R | None:
        """Return the rows of a batch, None where they are not of an expected kind (``batches_unexpected``)."""
        if isinstance(batch.rows, self._kinds):
            return batch.rows
        self._limited_log.warning("batches_unexpected", f"a batch of {type(batch.rows).__name__}", key=self._topic)
        return None
