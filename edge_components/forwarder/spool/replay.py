"""Reading of the spool's journal after a kill, a power cut or damage.

The frames of both files are read together, so that a frame or payload that is damaged in one is taken from the other.
The last commits may be incomplete because the power failed before they were synced; they were not acknowledged, and
are ignored. An incomplete commit that a later frame marks as durable is damage.
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
    def has_all_metadata(self) -> bool:
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
    """State recorded in a journal: rows by key, and all payloads of each key.

    ``first`` is the commit of the snapshot, ``version`` that of the last complete commit. ``intact`` is False if a
    commit between them is missing or incomplete. ``leads`` is False for the first format, with which the database was
    synced at each commit and never depends on the journal.
    """

    version: StateVersion
    first: int
    intact: bool
    leads: bool
    rows: Rows = field(default_factory=dict)
    payloads: dict[Key, list[bytes]] = field(default_factory=dict)
    _commits: list[_Commit] = field(default_factory=list)

    def rows_at(self, commits: int) -> Rows:
        """Return the rows after the given commit."""
        return _applied({}, (one for one in self._commits if one.version.commits <= commits))

    def rows_after(self, rows: Rows, commits: int) -> Rows:
        """Return ``rows``, the state after the given commit, with the changes of all later commits."""
        return _applied(rows, (one for one in self._commits if one.version.commits > commits))

    def changed_after(self, commits: int) -> set[Key]:
        """Return the keys of the rows that commits after the given one changed."""
        later = (one for one in self._commits if one.version.commits > commits)
        return {change.key for one in later for change in one.changes()}


def read(path: Path) -> JournalState | None:
    """Return the state recorded in the journal of the spool at ``path``, None if it has no valid frame."""
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
    """Return the accepted commits, oldest first, and whether all of them are complete."""
    durable = max(
        (frame.durable for one in commits.values() for frames in one.parts.values() for frame in frames), default=first
    )
    accepted: list[_Commit] = []
    intact = True
    for number in range(first, max(*commits, durable) + 1):
        one = commits.get(number)
        if one is not None and one.has_all_metadata and (one.has_all_payloads or number <= durable):
            accepted.append(one)
        elif number > durable and accepted:
            break
        else:
            intact = False
            if one is not None:
                accepted.append(one)
    return accepted, intact


def _applied(rows: Rows, commits: Iterable[_Commit]) -> Rows:
    rows = dict(rows)
    for one in commits:
        for key, values, _ in one.changes():
            if values is None:
                rows.pop(key, None)
            else:
                rows[key] = list(values)
    return rows
