"""When to commit: because a sender waits, because enough waits, or because enough time has passed. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """The price of a commit is a write to the flash, that of waiting is what senders must keep meanwhile."""

    commit_s: float = 5.0
    max_bytes: int = 65_536

    def due(self, now: float, oldest: float | None, waiting_bytes: int, blocked: bool = False) -> bool:
        """Return whether to commit at ``now``; ``oldest`` is when the first uncommitted record was appended.

        ``blocked``: a sender sends no more until what it sent is acknowledged.
        """
        if oldest is None:
            return False
        return blocked or waiting_bytes >= self.max_bytes or now - oldest >= self.commit_s

    def wait_s(self, now: float, oldest: float | None) -> float | None:
        """Return the seconds until time alone makes a commit due, None when nothing waits."""
        return None if oldest is None else max(0.0, oldest + self.commit_s - now)
