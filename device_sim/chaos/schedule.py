"""Which fault comes when: the same seed, the same plan. Pure.

Kinds are dealt as cards are, round after round of a shuffled deck, so that every kind comes before any comes again. A
kind that would touch what another one still has its hands on waits for the next free moment.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from device_sim.chaos.errors import ScheduleError


class Target(StrEnum):
    """What a fault has its hands on; one fault at a time each."""

    READER = "reader"
    AGGREGATOR = "aggregator"
    DETECTOR = "detector"
    FORWARDER = "forwarder"
    BROKER = "broker"
    LAMBDA = "lambda"
    CLOUD_LINE = "cloud line"
    ACKNOWLEDGEMENTS = "acknowledgements"
    READER_LINE = "reader's line"
    SOURCE_LINE = "source's line"
    CLOCK = "clock"


COMPONENTS = (Target.READER, Target.AGGREGATOR, Target.DETECTOR, Target.FORWARDER)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: what it touches, and how long it lasts (seconds; 0 and 0 for what is done at once)."""

    name: str
    targets: tuple[Target, ...]
    shortest_s: float = 0.0
    longest_s: float = 0.0


KINDS: tuple[Kind, ...] = (
    Kind("reader killed", (Target.READER,)),
    Kind("aggregator killed", (Target.AGGREGATOR,)),
    Kind("detector killed", (Target.DETECTOR,)),
    Kind("forwarder killed", (Target.FORWARDER,)),
    Kind("nucleus killed", COMPONENTS),
    Kind("broker killed", (Target.BROKER,)),
    Kind("lambda worker killed", (Target.LAMBDA,)),
    Kind("aggregator frozen", (Target.AGGREGATOR,), 2, 5),
    Kind("forwarder frozen", (Target.FORWARDER,), 2, 5),
    Kind("cloud line cut", (Target.CLOUD_LINE,)),
    Kind("cloud line refused", (Target.CLOUD_LINE,), 2, 6),
    Kind("cloud line slow", (Target.CLOUD_LINE,), 3, 8),
    Kind("cloud line dead upwards", (Target.CLOUD_LINE,), 3, 8),
    Kind("cloud line dead downwards", (Target.CLOUD_LINE,), 3, 8),
    Kind("cloud line dead both ways", (Target.CLOUD_LINE,), 3, 8),
    Kind("acknowledgements lost", (Target.ACKNOWLEDGEMENTS,), 3, 8),
    Kind("acknowledgements doubled", (Target.ACKNOWLEDGEMENTS,), 3, 8),
    Kind("acknowledgements reordered", (Target.ACKNOWLEDGEMENTS,), 3, 8),
    Kind("acknowledgements delayed", (Target.ACKNOWLEDGEMENTS,), 3, 8),
    Kind("reader's line cut", (Target.READER_LINE,)),
    Kind("reader's line refused", (Target.READER_LINE,), 2, 5),
    Kind("reader's line slow", (Target.READER_LINE,), 3, 6),
    Kind("reader's line dead", (Target.READER_LINE,), 2, 5),
    Kind("source's line cut", (Target.SOURCE_LINE,)),
    Kind("disk full", (Target.FORWARDER,), 2, 5),
    Kind("disk read-only", (Target.FORWARDER,), 2, 4),
    Kind("spool bytes flipped", (Target.FORWARDER,)),
    Kind("checkpoint bytes flipped", (Target.AGGREGATOR,)),
    Kind("calibration bytes flipped", (Target.DETECTOR,)),
    Kind("clock set back an hour", (Target.CLOCK,), 2, 5),
    Kind("clock set forward a year", (Target.CLOCK,), 2, 5),
    Kind("memory short", (Target.AGGREGATOR,), 2, 4),
)

RECOVERY_SECONDS = 3.0
"""How long a target is left alone after a fault, so that the next one finds something to break."""


def kinds_of(names: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds of which a name is a part of, all for no names; raises ScheduleError for one that is in none."""
    for name in names:
        if not any(name in kind.name for kind in KINDS):
            raise ScheduleError(f"no kind of fault has {name!r} in its name: {', '.join(kind.name for kind in KINDS)}")
    return tuple(kind for kind in KINDS if not names or any(name in kind.name for name in names))


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault of the plan: ``choice`` (0 to 1) decides what is left open, such as which bytes are flipped."""

    at_s: float
    until_s: float
    kind: Kind
    choice: float


def plan(seed: int, seconds: float, number: int, kinds: Sequence[Kind] = KINDS) -> tuple[Planned, ...]:
    """Return ``number`` faults within ``seconds``, by beginning; each has ended by then.

    Raises ScheduleError when they do not fit, which the targets' need for a pause decides.
    """
    if not kinds or number < 1:
        raise ScheduleError(f"{number} faults of {len(kinds)} kinds: at least one of each is needed")
    rng = random.Random(seed)  # noqa: S311 # a plan, no secret
    free = dict.fromkeys(Target, 0.0)
    planned: list[Planned] = []
    hand: list[Kind] = []
    # The last ones begin early enough to end, and the system has a moment before the drain.
    step = (seconds - min(10.0, seconds / 5)) / number
    for place in range(number):
        if not hand:
            hand = rng.sample(kinds, len(kinds))
        wanted_s = place * step + rng.uniform(0.0, step / 2)
        # The first that can begin then, or else the one that can begin soonest; ties go by the deck's order.
        kind = min(hand, key=lambda kind: max(wanted_s, *(free[target] for target in kind.targets)))
        hand.remove(kind)
        at_s = max(wanted_s, *(free[target] for target in kind.targets))
        until_s = at_s + rng.uniform(kind.shortest_s, kind.longest_s)
        if until_s > seconds:
            until_s = at_s + kind.shortest_s
        for target in kind.targets:
            free[target] = until_s + RECOVERY_SECONDS
        planned.append(Planned(at_s, until_s, kind, rng.random()))
    late = [fault for fault in planned if fault.until_s > seconds]
    if late:
        raise ScheduleError(
            f"{number} faults do not fit {seconds:g} s: {late[0].kind.name} would end at {late[0].until_s:.1f} s"
        )
    return tuple(sorted(planned, key=lambda fault: fault.at_s))
