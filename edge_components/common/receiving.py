"""Reception of batches from another component: decode, and reject those that this component cannot use."""

from __future__ import annotations

from typing import Generic, TypeVar

from edge_components.common import batch_message
from edge_components.common.limited_log import RateLimitedLog
from wire.errors import WireError
from wire.model import Batch, Rows

R = TypeVar("R", bound=Rows)


class BatchReceiver(Generic[R]):
    """Decoder of the batches of a topic; each rejected one is counted, and logged at a limited rate.

    ``kinds`` are the kinds of rows that the component uses.
    """

    def __init__(self, topic: str, gateway: str, kinds: tuple[type[R], ...], limited_log: RateLimitedLog) -> None:
        self._topic, self._gateway, self._kinds, self._limited_log = topic, gateway, kinds, limited_log

    def receive(self, payload: bytes) -> tuple[Batch, R | None] | None:
        """Return a batch and its rows, None for an invalid payload and for a batch of another gateway.

        The rows are None if they are of an unexpected kind. The component records such a batch as received like any
        other one, so that it is acknowledged: its sender would otherwise send it again without end.

        Counters: ``batches_unreadable``, ``batches_foreign``, ``batches_unexpected``.
        """
        try:
            batch = batch_message.decode(payload)
        except WireError as error:
            self._limited_log.warning("batches_unreadable", f"{type(error).__name__}: {error}", key=self._topic)
            return None
        if batch.gateway != self._gateway:
            text = f"a batch of gateway {batch.gateway}, this is {self._gateway}"
            self._limited_log.warning("batches_foreign", text, key=batch.gateway)
            return None
        if isinstance(batch.rows, self._kinds):
            return batch, batch.rows
        expected = " or ".join(kind.__name__ for kind in self._kinds)
        text = f"a batch of {type(batch.rows).__name__}, expected {expected}"
        self._limited_log.warning("batches_unexpected", text, key=self._topic)
        return batch, None
