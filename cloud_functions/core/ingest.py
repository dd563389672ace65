"""One invocation of ingest: store what came, then tell each gateway once an epoch what is held.

An acknowledgement is sent only for what is stored, or kept among the dead letters with the reason: in both cases the
cloud has it safely and the gateway may free it.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from cloud_functions.core.arrival import Arrival, Envelope, open_envelope, read_envelope
from cloud_functions.core.errors import Reason, RejectError, StoreError
from cloud_functions.core.holdings import Holdings
from cloud_functions.core.ports import Acknowledger, DeadLetters, NowMs, Table
from cloud_functions.core.storing import Storer, count, gateway_item

# Rejects whose batch is whole and comes from its own gateway: held among the dead letters, so acknowledged. A batch
# that cannot be read has no name to acknowledge, and one under a false name is no business of that gateway.
_HELD = (Reason.TIME, Reason.SIZE, Reason.DIFFERENT)


@dataclass(slots=True)
class _Gateway:
    """What one invocation did for a gateway."""

    amounts: Counter[str] = field(default_factory=Counter)
    seen_ms: int | None = None
    held: dict[int, dict[int, list[str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the queue gave: the message, and which queue it was."""

    message_id: str
    body: str
    source: str


class Ingest:
    """Collects the batches of one invocation; ``log`` gets a line a reject."""

    def __init__(
        self,
        table: Table,
        storer: Storer,
        acknowledger: Acknowledger,
        dead_letters: DeadLetters,
        now_ms: NowMs,
        log: logging.Logger,
        *,
        check_client: bool = True,
    ) -> None:
        self._table, self._storer, self._acknowledger = table, storer, acknowledger
        self._dead_letters, self._now_ms, self._log = dead_letters, now_ms, log
        self._check_client = check_client
        self._gateways: dict[str, _Gateway] = {}

    def accept(self, message_id: str, body: str, source: str = "") -> None:
        """Store one batch that came from the queue ``source`` (an ARN), or keep it among the dead letters.

        Raises StoreError when neither is certain: the queue will bring it again.
        """
        origin = _Origin(message_id, body, source)
        try:
            envelope = read_envelope(body)
        except RejectError as error:
            self._reject(origin, None, None, error)
            return
        try:
            arrival = open_envelope(envelope, check_client=self._check_client)
        except RejectError as error:
            self._reject(origin, envelope, None, error)
            return
        try:
            stored = self._storer.store(arrival)
        except RejectError as error:
            self._reject(origin, envelope, arrival, error)
            return
        self._see(envelope)
        amounts = self._gateways.setdefault(envelope.gateway, _Gateway()).amounts
        if stored.new:
            amounts.update(batches=1, rows=stored.rows, bytes=arrival.size)
        else:
            amounts.update(duplicates=1)
        self._hold(arrival, message_id)

    def finish(self) -> list[str]:
        """Acknowledge all that was accepted; return the messages that the queue must bring again."""
        failed: list[str] = []
        for gateway, work in self._gateways.items():
            for epoch, messages in work.held.items():
                try:
                    held = Holdings(self._table, self._now_ms).add(gateway, epoch, messages)
                except StoreError as error:
                    self._log.warning("acknowledgement of %s not saved: %s", gateway, error)
                    failed += [message for ids in messages.values() for message in ids]
                    continue
                self._send(gateway, held.acknowledgement(epoch).encode(), work)
            self._count(gateway, work)
        self._gateways.clear()
        return failed

    def _hold(self, arrival: Arrival, message_id: str) -> None:
        batch = arrival.batch
        epochs = self._gateways.setdefault(batch.gateway, _Gateway()).held
        epochs.setdefault(batch.epoch, {}).setdefault(batch.sequence, []).append(message_id)

    def _see(self, envelope: Envelope) -> None:
        work = self._gateways.setdefault(envelope.gateway, _Gateway())
        work.seen_ms = max(work.seen_ms or 0, envelope.received_ms)

    def _reject(self, origin: _Origin, envelope: Envelope | None, arrival: Arrival | None, error: RejectError) -> None:
        gateway = envelope.gateway if envelope else ""
        self._log.error(
            "batch rejected: %s",
            error,
            extra={"gateway": gateway, "message_id": origin.message_id, "reason": error.reason},
        )
        attributes = {"reason": str(error.reason), "detail": error.detail[:1000], "message_id": origin.message_id}
        attributes |= {name: text for name, text in (("gateway", gateway), ("source", origin.source)) if text}
        self._dead_letters.keep(origin.body, attributes)
        self._gateways.setdefault(gateway, _Gateway()).amounts[f"rejected_{error.reason}"] += 1
        if envelope is not None:
            self._see(envelope)
        if arrival is not None and error.reason in _HELD:
            self._hold(arrival, origin.message_id)

    def _send(self, gateway: str, payload: bytes, work: _Gateway) -> None:
        try:
            self._acknowledger.send(gateway, payload)
            work.amounts["acknowledgements"] += 1
        except StoreError as error:
            # The next acknowledgement covers it, and the gateway sends again what it believes lost.
            self._log.warning("acknowledgement to %s not sent: %s", gateway, error)

    def _count(self, gateway: str, work: _Gateway) -> None:
        try:
            now_ms = self._now_ms()
            count(self._table, gateway, work.amounts, now_ms, now_ms if work.seen_ms is None else work.seen_ms)
            if gateway and any(name.startswith("rejected_") for name in work.amounts):
                # One whose batches are all rejected is to be seen too.
                self._table.put_new(gateway_item(gateway))
        except StoreError as error:
            self._log.warning("figures of %s not counted: %s", gateway, error)
