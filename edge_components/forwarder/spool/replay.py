"""Reads the spool's journal: the state it describes, after a kill, a power cut or flipped bits.

The frames of both files are read together, so a frame or a payload that one of them lost is taken from the other. The
last commits may be incomplete because the power failed before they were synced; nobody has acted on those, and they are
ignored. An incomplete commit that a later frame calls durable is damage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_components.forwarder.spool.frames import Change, Frame, Key, StateVersion, decode
from edge_components.forwarder.spool.journal import SUFFIXES

Rows = dict[Key, list[Any]]


@dataclass(slots=True)
class _Commit:
    version: StateVersion
    parts: dict[int, list[Frame]] = field(default_factory=dict)

    @property
    def has_all_facts(self) -> bool:
        return len(self.parts) == next(iter(self.parts.values()))[0].parts

    @property
    def has_all_payloads(self) -> bool:
        copies = [frame for frames in self.parts.values() for frame in frames]
        stored = {key for frame in copies for key in frame.stored}
        return stored <= {change.key for frame in copies for change in frame.changes if change.payload}

    def changes(self) -> Iterable[Change]:
        for _, copies in sorted(self.parts.items()):
            yield from copies[0].changes


@dataclass(slots=True)
class JournalState:
    """The state that a journal describes: rows by key, and every payload that it has for a key.

    ``first`` is the commit of its snapshot, ``version`` that of its last complete commit. ``intact`` is False where a
    commit between them is missing or incomplete. ``leads`` is False for one of an earlier version, which the database
    never needs: there it was synced at each commit.
    """

    version: StateVersion
    first: int
    intact: bool
    leads: bool
    rows: Rows = field(default_factory=dict)
    payloads: dict[Key, list[bytes]] = field(default_factory=dict)
    _commits: list[_Commit] = field(default_factory=list)

    def rows_at(self, commits: int) -> Rows:
        """Return the rows as they were after so many commits."""
        return _applied({}, (one for one in self._commits if one.version.commits <= commits))

    def rows_after(self, rows: Rows, commits: int) -> Rows:
        """Return ``rows``, as they were after so many commits, with the changes of all later ones."""
        return _applied(rows, (one for one in self._commits if one.version.commits > commits))

    def changed_after(self, commits: int) -> set[Key]:
        """Return the rows that commits after so many changed."""
        later = (one for one in self._commits if one.version.commits > commits)
        return {change.key for one in later for change in one.changes()}


def read(path: Path) -> JournalState | None:
    """Return the state that the journal beside the spool at ``path`` describes, None where it has no sound frame."""
    frames: list[Frame] = []
    for suffix in SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            frames += decode(path.with_name(path.name + suffix).read_bytes())
    if not frames:
        return None
    first = max((frame.version.commits for frame in frames if frame.base), default=None)
    commits: dict[int, _Commit] = {}
    for frame in frames:
        number = frame.version.commits
        if first is None or number > first or (frame.base and number == first):
            commits.setdefault(number, _Commit(frame.version)).parts.setdefault(frame.part, []).append(frame)
    start = min(commits) if first is None else first
    complete, intact = _complete(commits, start)
    leads = any(frame.durable >= 0 for frame in frames)
    found = JournalState(complete[-1].version, start, intact and first is not None, leads, _commits=complete)
    found.rows = found.rows_at(found.version.commits)
    for frame in frames:
        for change in frame.changes:
            if change.payload:
                found.payloads.setdefault(change.key, []).append(change.payload)
    return found


def _complete(commits: dict[int, _Commit], first: int) -> tuple[list[_Commit], bool]:
    """Return the commits to believe, oldest first, and False where one of them is not as it was written."""
    durable = max(
        (frame.durable for one in commits.values() for frames in one.parts.values() for frame in frames), default=first
    )
    believed: list[_Commit] = []
    intact = True
    for number in range(first, max(*commits, durable) + 1):
        one = commits.get(number)
        if one is not None and one.has_all_facts and (one.has_all_payloads or number <= durable):
            believed.append(one)
        elif number > durable and believed:
            break
        else:
            intact = False
            if one is not None:
                believed.append(one)
    return believed, intact


def _applied(rows: Rows, commits: Iterable[_Commit]) -> Rows:
    rows = dict(rows)
    for one in commits:
        for key, values, _ in one.changes():
            if values is None:
                rows.pop(key, None)
            else:
                rows[key] = list(values)
    return rows
