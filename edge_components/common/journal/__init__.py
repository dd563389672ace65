"""Write-ahead log for durable state of a component: append, group commit, rare snapshots, replay at the start.

The format and the guarantees are described in docs/adr/0012-an-append-only-journal.md.
"""

from edge_components.common.journal.frame import Record
from edge_components.common.journal.journal import Journal, JournalError
from edge_components.common.journal.policy import CommitPolicy
from edge_components.common.journal.recovery import Lost, Recovered

__all__ = ["CommitPolicy", "Journal", "JournalError", "Lost", "Record", "Recovered"]
