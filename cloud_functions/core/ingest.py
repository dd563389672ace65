"""One invocation of ingest: store the batches, then send each gateway one acknowledgement per epoch.

Only batches that are stored, or kept as dead letters with the reason, are acknowledged: the cloud has them durably and
the gateway may free them. A batch that needs an unknown profile is neither: the acknowledgement requests the profile,
and the gateway sends both again.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cloud_functions.core import keys
from cloud_functions.core.arrival import Arrival, Envelope, open_envelope, read_envelope
from cloud_functions.core.batches import StoredBatch
from cloud_functions.core.catalogue import gateway_item
from cloud_functions.core.errors import Reason, RejectError, StoreError
from cloud_functions.core.metrics import Metrics
from cloud_functions.core.ports import Acknowledger, DeadLetterSink, Item, Key, NowMs, Table
from cloud_functions.core.profiles import DifferentProfileError
from cloud_functions.core.received_sequences import Received, ReceivedSequences, received_of
from cloud_functions.core.storing import Stored, Storer
from wire.acknowledgement import MAX_UNKNOWN
from wire.container import Kind
from wire.errors import UnknownProfileError

# Reasons for which an intact batch from its own gateway is kept as a dead letter and acknowledged. A batch that cannot
# be decoded has no name to acknowledge, and a batch under a foreign name must not be acknowledged to that gateway.
_HELD = (Reason.TIME, Reason.DIFFERENT)


@dataclass(slots=True)
class _Epoch:
    """Batches of one epoch in an invocation, with the messages that brought them, and the unknown profiles."""

    received: Received = field(default_factory=Received)
    messages: list[str] = field(default_factory=list)
    unknown: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Gateway:
    """Work of one invocation for one gateway; ``amounts`` are counts without an epoch."""

    amounts: Counter[str] = field(default_factory=Counter)
    seen_ms: int | None = None
    epochs: dict[int, _Epoch] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Origin:
    """A message and the queue it came from."""

    message_id: str
    body: str
    source: str


class Ingest:
    """Collects the batches of one invocation; ``log`` gets a line per rejected batch.

    ``metrics`` counts batches, rows, duplicates, gaps (missing sequence numbers of the acknowledged epochs), rejected
    batches and unknown profiles, and has the times from event to store and from the topic rule to store.
    """

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
        metrics: Metrics | None = None,
    ) -> None:
        self._table, self._storer, self._acknowledger = table, storer, acknowledger
        self._dead_letters, self._now_ms, self._log = dead_letters, now_ms, log
        self._check_client = check_client
        self._gateways: dict[str, _Gateway] = {}
        self._metrics = metrics if metrics is not None else Metrics()
        self._sequences = ReceivedSequences(table, now_ms)
        self._opened: dict[str, Arrival] = {}
        self._known: dict[Key, Item] = {}
        self._repeated: dict[Key, StoredBatch] = {}

    def recognize(self, bodies: Iterable[str]) -> None:
        """Find which batches among the messages of an invocation are stored already.

        Their repetitions are then accepted without a write. This takes two read requests at most, so that gateways
        which send everything again after an outage do not slow down what is new.
        """
        for body in bodies:
            with contextlib.suppress(RejectError):  # accept() rejects it again, with the reason
                self._opened[body] = open_envelope(read_envelope(body), check_client=self._check_client)
        arrivals = self._opened.values()
        try:
            self._known = self._sequences.read({(arrival.name.gateway, arrival.name.epoch) for arrival in arrivals})
            held = {key: received_of(item) for key, item in self._known.items()}
            names = {
                keys.batch(arrival.name.gateway, arrival.name.epoch, arrival.name.sequence)
                for arrival in arrivals
                if arrival.name.sequence in held.get(_epoch_key(arrival), ())
            }
            self._repeated = {key: StoredBatch.of(item) for key, item in self._table.get_many(sorted(names)).items()}
        except StoreError as error:
            self._log.warning("repeated batches not recognized: %s", error)

    def accept(self, message_id: str, body: str, source: str = "") -> None:
        """Store one batch from the queue ``source``, or keep it as a dead letter.

        Raises StoreError when neither is certain: the queue delivers it again.
        """
        origin = _Origin(message_id, body, source)
        envelope, arrival = None, None
        try:
            arrival = self._opened.pop(body, None)
            envelope = read_envelope(body) if arrival is None else arrival.envelope
            arrival = arrival or open_envelope(envelope, check_client=self._check_client)
            self._store(arrival, message_id)
        except RejectError as error:
            self._reject(origin, envelope, arrival, error)

    def _store(self, arrival: Arrival, message_id: str) -> None:
        """Store a batch, or request its profile."""
        name = arrival.name
        there = self._repeated.get(keys.batch(name.gateway, name.epoch, name.sequence))
        if there is not None and there.digest == arrival.digest and name.kind is not Kind.PROFILE:
            self._accept(arrival, message_id, there.totals, duplicate=True)
            return
        try:
            stored = self._storer.store(arrival)
        except UnknownProfileError as error:
            self._request_profile(arrival, message_id, error)
            return
        except DifferentProfileError as error:
            # Request it again: batches of this gateway must not be decoded with the other profile.
            self._epoch(arrival).unknown.add(error.version)
            raise
        if stored.new:
            self._observe(arrival, stored)
        self._log.debug("batch stored", extra=_about(arrival) | {"message_id": message_id, "new": stored.new})
        self._accept(arrival, message_id, stored.totals, duplicate=not stored.new)

    def _observe(self, arrival: Arrival, stored: Stored) -> None:
        self._metrics.counts.update(stored.totals)
        self._metrics.observe("rule_to_store_ms", stored.stored_ms - arrival.envelope.received_ms)
        if stored.event_ms is not None:
            self._metrics.observe("event_to_store_ms", stored.stored_ms - stored.event_ms)

    def _request_profile(self, arrival: Arrival, message_id: str, error: UnknownProfileError) -> None:
        there = self._storer.find(arrival)
        if there is not None and there.digest == arrival.digest:  # stored while the profile was here
            self._accept(arrival, message_id, there.totals, duplicate=True)
            return
        held = received_of(self._table.get(keys.acknowledgement(arrival.name.gateway, arrival.name.epoch)))
        if arrival.name.sequence in held:  # a redriven dead letter: its gateway no longer has it
            raise RejectError(Reason.PROFILE, str(error)) from error
        self._epoch(arrival).unknown.add(error.version)
        self._see(arrival.envelope)
        self._of(arrival.name.gateway).amounts["unknown_profiles"] += 1
        self._metrics.count("unknown_profiles")

    def _accept(self, arrival: Arrival, message_id: str, totals: Mapping[str, int], *, duplicate: bool = False) -> None:
        """Record a stored batch: it is acknowledged, and ``totals`` are added to those of its epoch."""
        epoch = self._epoch(arrival)
        epoch.messages.append(message_id)
        # Of two batches with one name, the stored one is counted.
        epoch.received.sequences[arrival.name.sequence] = totals or epoch.received.sequences.get(
            arrival.name.sequence, {}
        )
        epoch.received.seen_ms = max(epoch.received.seen_ms, arrival.envelope.received_ms)
        if duplicate:
            epoch.received.events["duplicates"] += 1
            self._metrics.count("duplicates")

    def finish(self) -> list[str]:
        """Acknowledge all accepted batches; return the messages that the queue must deliver again."""
        failed: list[str] = []
        for gateway, work in self._gateways.items():
            for epoch, batches in work.epochs.items():
                batches.received.events["acknowledgements"] += 1
                try:
                    held = self._sequences.add(gateway, epoch, batches.received, self._known)
                except StoreError as error:
                    extra = {"gateway": gateway, "epoch": f"{epoch:016x}"}
                    self._log.warning("acknowledgement not saved: %s", error, extra=extra)
                    failed += batches.messages
                    continue
                self._metrics.observe("gaps", sum(last - first + 1 for first, last in held.missing()))
                ack = replace(held.acknowledgement(epoch), unknown=tuple(sorted(batches.unknown))[:MAX_UNKNOWN])
                self._send(gateway, ack.encode())
            if work.amounts:
                self._count(gateway, work)
        self._gateways.clear()
        return failed

    def _of(self, gateway: str) -> _Gateway:
        return self._gateways.setdefault(gateway, _Gateway())

    def _epoch(self, arrival: Arrival) -> _Epoch:
        return self._of(arrival.name.gateway).epochs.setdefault(arrival.name.epoch, _Epoch())

    def _see(self, envelope: Envelope) -> None:
        work = self._of(envelope.gateway)
        work.seen_ms = max(work.seen_ms or 0, envelope.received_ms)

    def _reject(self, origin: _Origin, envelope: Envelope | None, arrival: Arrival | None, error: RejectError) -> None:
        gateway = envelope.gateway if envelope else ""
        about = {"gateway": gateway} if arrival is None else _about(arrival)
        extra = {**about, "message_id": origin.message_id, "reason": error.reason}
        self._log.error("batch rejected: %s", error, extra=extra)
        attributes = {"reason": str(error.reason), "detail": error.detail[:1000], "message_id": origin.message_id}
        attributes |= {name: text for name, text in (("gateway", gateway), ("source", origin.source)) if text}
        held = arrival is not None and error.reason in _HELD
        # Another batch may be stored under the name, by a function that crashed before it recorded it.
        stored = self._storer.find(arrival) if arrival is not None and held else None
        self._dead_letters.keep(origin.body, attributes)
        self._of(gateway).amounts[f"rejected_{error.reason}"] += 1
        self._metrics.count("rejected")
        if envelope is not None:
            self._see(envelope)
        if arrival is not None and held:
            self._accept(arrival, origin.message_id, stored.totals if stored else {})

    def _send(self, gateway: str, payload: bytes) -> None:
        try:
            self._acknowledger.send(gateway, payload)
        except StoreError as error:
            # The next acknowledgement covers it, and the gateway retransmits unacknowledged batches.
            self._log.warning("acknowledgement not sent: %s", error, extra={"gateway": gateway})

    def _count(self, gateway: str, work: _Gateway) -> None:
        """Add to the figures without an epoch; they are too low after a crash before this."""
        now_ms = self._now_ms()
        seen_ms = now_ms if work.seen_ms is None else work.seen_ms
        try:
            about: dict[str, str | int | bytes] = {"kind": "about", "seen_ms": seen_ms}
            self._table.add(keys.about(gateway), work.amounts, about, {"first_seen_ms": now_ms})
            if gateway and any(name.startswith("rejected_") for name in work.amounts):
                # A gateway whose batches are all rejected must be listed, too.
                self._table.put_new(gateway_item(gateway))
        except StoreError as error:
            self._log.warning("figures not counted: %s", error, extra={"gateway": gateway})


def _about(arrival: Arrival) -> dict[str, str]:
    """Return the fields by which the log lines of a batch are found."""
    name = arrival.name
    return {"gateway": name.gateway, "batch": keys.batch_name(name.epoch, name.sequence)}


def _epoch_key(arrival: Arrival) -> Key:
    return keys.acknowledgement(arrival.name.gateway, arrival.name.epoch)
