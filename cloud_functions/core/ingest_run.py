"""One invocation of ingest over the messages that it was given, in any cloud."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cloud_functions.core.errors import StoreError
from cloud_functions.core.ingest import Ingest
from cloud_functions.core.metrics import Metrics

RESERVED_MS = 8_000
"""Time of an invocation that is reserved for recording and acknowledging what it has stored."""


class Message(NamedTuple):
    """A message of a queue, or a record of a stream; ``source`` is the name of the queue, empty for a stream."""

    id: str
    body: str
    source: str


def run(
    ingest: Ingest, messages: Sequence[Message], left_ms: Callable[[], int], log: logging.Logger, metrics: Metrics
) -> list[Message]:
    """Store and acknowledge the messages; return those that must be delivered again, in order.

    Messages for which no time is left are among them: a function that runs into its timeout would acknowledge nothing.
    """
    ingest.recognize(message.body for message in messages)
    again = {message.id: None for message in messages}
    for message in messages:
        if left_ms() < RESERVED_MS:
            log.error("no time left", extra={"messages": len(again)})
            metrics.count("out_of_time", len(again))
            break
        try:
            ingest.accept(message.id, message.body, message.source)
        except StoreError as error:
            log.warning("not stored: %s", error, extra={"message_id": message.id})
            metrics.count("not_stored")
        except Exception:
            log.exception("not stored", extra={"message_id": message.id})
            metrics.count("unexpected_errors")
        else:
            del again[message.id]
    again |= dict.fromkeys(ingest.finish())
    return [message for message in messages if message.id in again]
