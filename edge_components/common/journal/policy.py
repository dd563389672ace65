"""Policy of commits: a blocked sender, enough bytes or enough time make a commit due. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """Compromise between writes to the flash and the data that senders must keep until a commit."""

    commit_s: float = 5.0
    max_bytes: int = 65_536

    def due(self, now: float, oldest: float | None, waiting_bytes: int, blocked: bool = False) -> bool:
        """Return whether a commit is due at ``now``; ``oldest`` is the time of the first uncommitted record.

        ``blocked`` means that a sender waits for an acknowledgement.
        """
        if oldest is None:
            return False
        return blocked or waiting_bytes >= self.max_bytes or now - oldest >= self.commit_s

    def wait_s(self, now: float, oldest: float | None) -> float | None:
        """Return the seconds until a commit is due by time, None without uncommitted records."""
        return None if oldest is None else max(0.0, oldest + self.commit_s - now)
