"""Registry of the channel types, and what their files have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cloud_functions.core.channels import Channel, ChannelType
from cloud_functions.core.deliveries import Deliverer, Delivery
from cloud_functions.core.errors import CloudError

Pair = tuple[Delivery, Channel]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """The stack's own destinations and settings: the defaults of channels.

    ``link`` is the address of the page, ``sender`` that of e-mails; ``loopback`` allows webhooks to loopback.
    """

    alerts_topic: str = ""
    notifications_topic: str = ""
    bus: str = ""
    sender: str = ""
    link: str = ""
    loopback: bool = False


Factory = Callable[[Options], Deliverer]
_FACTORIES: dict[ChannelType, Factory] = {}


def register(kind: ChannelType, factory: Factory) -> None:
    """Register the deliverer of a type of channel; ``factory`` is called at its first delivery."""
    _FACTORIES[kind] = factory


class Deliverers:
    """The deliverers by type, made when they are needed."""

    def __init__(self, options: Options, factories: Mapping[ChannelType, Factory] | None = None) -> None:
        self._options = options
        self._factories = _FACTORIES if factories is None else factories
        self._made: dict[ChannelType, Deliverer] = {}

    def deliver(self, pairs: Sequence[Pair]) -> list[str]:
        """Deliver events to channels of any types; return the reason for each that failed, else an empty text."""
        results = [""] * len(pairs)
        for kind in dict.fromkeys(channel.type for _, channel in pairs):
            indices = [at for at, (_, channel) in enumerate(pairs) if channel.type is kind]
            if kind not in self._made:
                self._made[kind] = self._factories[kind](self._options)
            for at, reason in zip(indices, self._made[kind].deliver([pairs[at] for at in indices]), strict=True):
                results[at] = reason
        return results


def each(pairs: Iterable[Pair], deliver: Callable[[Delivery, Channel], None]) -> list[str]:
    """Deliver events one by one; a failure is the reason, and has no effect on the others."""
    reasons = []
    for delivery, channel in pairs:
        try:
            deliver(delivery, channel)
            reasons.append("")
        except CloudError as error:
            reasons.append(str(error) or type(error).__name__)
    return reasons


def chunks(found: Sequence[T], size: int) -> Iterator[tuple[int, Sequence[T]]]:
    """Yield parts of a sequence with the index of their first element."""
    for at in range(0, len(found), size):
        yield at, found[at : at + size]
