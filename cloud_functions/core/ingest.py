"""One invocation of ingest: store the batches, then send each gateway one acknowledgement per epoch.

Only batches that are stored, or kept as dead letters with the reason, are acknowledged: the cloud has them durably and
the gateway may free them. A batch that needs an unknown profile is neither: the acknowledgement requests the profile,
and the gateway sends both again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cloud_functions.core import keys
from cloud_functions.core.arrival import Envelope, Label, open_envelope, open_profile, read_envelope, read_label
from cloud_functions.core.errors import Reason, RejectError, StoreError
from cloud_functions.core.ports import Acknowledger, DeadLetterSink, NowMs, Table
from cloud_functions.core.profiles import Profiles
from cloud_functions.core.received_sequences import ReceivedSequences, received_of
from cloud_functions.core.storing import Storer, count, gateway_item
from wire.acknowledgement import MAX_UNKNOWN
from wire.codec import Kind
from wire.errors import UnknownProfileError

# Reasons for which an intact batch from its own gateway is kept as a dead letter and acknowledged. A batch that cannot
# be decoded has no name to acknowledge, and a batch under a foreign name must not be acknowledged to that gateway.
_HELD = (Reason.TIME, Reason.SIZE, Reason.DIFFERENT)


@dataclass(slots=True)
class _Gateway:
    """Work of one invocation for one gateway."""

    amounts: Counter[str] = field(default_factory=Counter)
    seen_ms: int | None = None
    held: dict[int, dict[int, list[str]]] = field(default_factory=dict)
    totals: dict[int, dict[int, Mapping[str, int]]] = field(default_factory=dict)
    """What the stored ones among the held add to their epoch's totals, by epoch and sequence."""
    unknown: dict[int, set[int]] = field(default_factory=dict)
    """Unknown profiles, by the epoch of the batches that need them."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """A message and the queue it came from."""

    message_id: str
    body: str
    source: str


class Ingest:
    """Collects the batches of one invocation; ``log`` gets a line per rejected batch."""

    def __init__(
        self,
        table: Table,
        storer: Storer,
        acknowledger: Acknowledger,
        dead_letters: DeadLetterSink,
        now_ms: NowMs,
        log: logging.Logger,
        *,
        check_client: bool = True,
        profiles: Profiles | None = None,
    ) -> None:
        self._table, self._storer, self._acknowledger = table, storer, acknowledger
        self._profiles = profiles if profiles is not None else Profiles(table, now_ms)
        self._dead_letters, self._now_ms, self._log = dead_letters, now_ms, log
        self._check_client = check_client
        self._gateways: dict[str, _Gateway] = {}

    def accept(self, message_id: str, body: str, source: str = "") -> None:
        """Store one batch from the queue ``source`` (an ARN), or keep it as a dead letter.

        Raises StoreError when neither is certain: the queue delivers it again.
        """
        origin = _Origin(message_id, body, source)
        try:
            envelope = read_envelope(body)
        except RejectError as error:
            self._reject(origin, None, None, error)
            return
        try:
            label = read_label(envelope, check_client=self._check_client)
        except RejectError as error:
            self._reject(origin, envelope, None, error)
            return
        accept = self._accept_profile if label.kind is Kind.PROFILE else self._accept_batch
        try:
            amounts, totals = accept(envelope, label)
        except RejectError as error:
            self._reject(origin, envelope, label, error)
            return
        self._see(envelope)
        self._of(envelope.gateway).amounts.update(amounts)
        if totals is not None:
            self._hold(envelope.gateway, label, message_id, totals)

    def _accept_batch(self, envelope: Envelope, label: Label) -> tuple[Mapping[str, int], Mapping[str, int] | None]:
        """Store a batch, or request its profile; return the amounts to count, and the totals of a stored one."""
        try:
            arrival = open_envelope(envelope, check_client=self._check_client, profiles=self._profiles.find)
        except UnknownProfileError as error:
            same = self._storer.find_same(envelope, label)
            if same is not None:  # stored while the profile was here
                return {"duplicates": 1}, same.totals
            held = received_of(self._table.get(keys.acknowledgement(envelope.gateway, label.epoch)))
            if label.sequence in held:  # a redriven dead letter: its gateway no longer has it
                raise RejectError(Reason.PROFILE, str(error)) from error
            self._of(envelope.gateway).unknown.setdefault(label.epoch, set()).add(error.version)
            return {"unknown_profiles": 1}, None
        stored = self._storer.store(arrival)
        return {} if stored.new else {"duplicates": 1}, stored.totals

    def _accept_profile(self, envelope: Envelope, label: Label) -> tuple[Mapping[str, int], Mapping[str, int] | None]:
        """Store a profile; return the amounts to count, and its totals."""
        known = open_profile(envelope)
        try:
            self._profiles.store(envelope, known)
        except RejectError:
            # Request it again: batches of this gateway must not be decoded with the other profile.
            self._of(envelope.gateway).unknown.setdefault(label.epoch, set()).add(known.version)
            raise
        new = self._storer.note(envelope, label)
        return {} if new else {"duplicates": 1}, {"profiles": 1, "bytes": len(envelope.data)}

    def finish(self) -> list[str]:
        """Acknowledge all accepted batches; return the messages that the queue must deliver again."""
        failed: list[str] = []
        for gateway, work in self._gateways.items():
            for epoch in work.held.keys() | work.unknown.keys():
                messages, unknown = work.held.get(epoch, {}), tuple(sorted(work.unknown.get(epoch, ())))
                try:
                    received = ReceivedSequences(self._table, self._now_ms)
                    held = received.add(gateway, epoch, messages, work.totals.get(epoch))
                except StoreError as error:
                    self._log.warning("acknowledgement of %s not saved: %s", gateway, error)
                    failed += [message for ids in messages.values() for message in ids]
                    continue
                ack = replace(held.acknowledgement(epoch), unknown=unknown[:MAX_UNKNOWN])
                self._send(gateway, ack.encode(), work)
            self._count(gateway, work)
        self._gateways.clear()
        return failed

    def _of(self, gateway: str) -> _Gateway:
        return self._gateways.setdefault(gateway, _Gateway())

    def _hold(self, gateway: str, label: Label, message_id: str, totals: Mapping[str, int]) -> None:
        work = self._of(gateway)
        work.held.setdefault(label.epoch, {}).setdefault(label.sequence, []).append(message_id)
        if totals:
            work.totals.setdefault(label.epoch, {})[label.sequence] = totals

    def _see(self, envelope: Envelope) -> None:
        work = self._of(envelope.gateway)
        work.seen_ms = max(work.seen_ms or 0, envelope.received_ms)

    def _reject(self, origin: _Origin, envelope: Envelope | None, label: Label | None, error: RejectError) -> None:
        gateway = envelope.gateway if envelope else ""
        self._log.error(
            "batch rejected: %s",
            error,
            extra={"gateway": gateway, "message_id": origin.message_id, "reason": error.reason},
        )
        attributes = {"reason": str(error.reason), "detail": error.detail[:1000], "message_id": origin.message_id}
        attributes |= {name: text for name, text in (("gateway", gateway), ("source", origin.source)) if text}
        stored = None
        if envelope is not None and label is not None and error.reason in _HELD:
            # Another batch may be stored under the name, by a function that died before it acknowledged.
            stored = self._storer.find(envelope, label)
        self._dead_letters.keep(origin.body, attributes)
        self._of(gateway).amounts[f"rejected_{error.reason}"] += 1
        if envelope is not None:
            self._see(envelope)
            if label is not None and error.reason in _HELD:
                self._hold(gateway, label, origin.message_id, stored.totals if stored else {})

    def _send(self, gateway: str, payload: bytes, work: _Gateway) -> None:
        try:
            self._acknowledger.send(gateway, payload)
            work.amounts["acknowledgements"] += 1
        except StoreError as error:
            # The next acknowledgement covers it, and the gateway retransmits unacknowledged batches.
            self._log.warning("acknowledgement to %s not sent: %s", gateway, error)

    def _count(self, gateway: str, work: _Gateway) -> None:
        try:
            now_ms = self._now_ms()
            count(self._table, gateway, work.amounts, now_ms, now_ms if work.seen_ms is None else work.seen_ms)
            if gateway and any(name.startswith("rejected_") for name in work.amounts):
                # A gateway whose batches are all rejected must be listed, too.
                self._table.put_new(gateway_item(gateway))
        except StoreError as error:
            self._log.warning("figures of %s not counted: %s", gateway, error)
