"""Error tree of the cloud functions.

::

    CloudError
    ├── RejectError           a batch that can never be stored; has a reason
    ├── NoRedriveTargetError  a dead letter without a queue to return to
    ├── RequestError          an invalid HTTP request; one sentence per problem
    │   ├── NotFoundError     it refers to something that does not exist
    │   ├── DifferentError    its id was used before, with other content
    │   └── PreconditionError it requires a version that the document does not have
    └── StoreError            a service failed; a retry may help
        └── ConflictError     an optimistic update failed repeatedly
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Reason(StrEnum):
    """Reason for rejecting a batch, and the suffix of its counter."""

    ENVELOPE = "envelope"
    """The queue's text is not what the topic rule sends."""
    CODEC = "codec"
    """The bytes are not a valid batch."""
    GATEWAY = "gateway"
    """The batch, the topic and the client do not name the same gateway."""
    TIME = "time"
    """A row's time lies outside what can be stored."""
    SIZE = "size"
    """A row group is larger than the store takes."""
    PROFILE = "profile"
    """The batch needs an unknown profile and its gateway no longer has the batch (a redriven dead letter)."""
    DIFFERENT = "different"
    """A batch of that name is stored already, with other content."""


class CloudError(Exception):
    """Base class of all errors of the cloud functions."""


class RejectError(CloudError):
    """A batch that can never be stored, not even after a retry."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class NoRedriveTargetError(CloudError):
    """A dead letter that cannot be redriven, with the reason."""


class RequestError(CloudError):
    """An invalid HTTP request; ``problems`` has one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class NotFoundError(RequestError):
    """The request refers to something that does not exist."""


class DifferentError(RequestError):
    """The request's id was used before, with other content."""


class PreconditionError(RequestError):
    """The request requires a version that the document does not have, or that no document of its name exists."""


class StoreError(CloudError):
    """A service failed."""


class ConflictError(StoreError):
    """An optimistic update failed repeatedly because of concurrent updates."""
