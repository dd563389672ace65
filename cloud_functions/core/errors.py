"""The error tree of the cloud.

::

    CloudError
    ├── RejectError           a batch that can never be stored; has a reason and, where it is known, the batch's name
    ├── NoWayBackError        a dead letter that cannot be put into a queue again; says why
    ├── RequestError          what an HTTP client asked for is not allowed; one sentence a problem
    │   ├── NotFoundError     it names something that does not exist
    │   └── DifferentError    its id was used before, with other content
    └── StoreError            an AWS service did not do what it was asked; trying again may help
        └── ConflictError     an optimistic update lost against others too often
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Reason(StrEnum):
    """Why a batch was rejected; the name under which it is counted."""

    ENVELOPE = "envelope"
    """The queue's text is not what the topic rule sends."""
    CODEC = "codec"
    """The bytes are no batch."""
    GATEWAY = "gateway"
    """The batch, the topic and the client do not name the same gateway."""
    TIME = "time"
    """A row's time lies outside what can be stored."""
    SIZE = "size"
    """A row group is larger than the store takes."""
    PROFILE = "profile"
    """The batch names a profile that is not here, and its gateway has freed it: it was held among the dead letters."""
    DIFFERENT = "different"
    """A batch of that name is stored already, with other content."""


class CloudError(Exception):
    """Base of every error that the cloud's functions raise."""


class RejectError(CloudError):
    """A batch that can never be stored, however often it comes."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class NoWayBackError(CloudError):
    """A dead letter that cannot be put into a queue again; says why."""


class RequestError(CloudError):
    """What an HTTP client asked for is not allowed; ``problems`` has one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class NotFoundError(RequestError):
    """What the request names does not exist."""


class DifferentError(RequestError):
    """The request's id was used before, with other content."""


class StoreError(CloudError):
    """An AWS service did not do what it was asked."""


class ConflictError(StoreError):
    """An optimistic update lost against others too often."""
