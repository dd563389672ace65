"""The spool: a durable queue of rows and batches on the gateway's disk, with its journal, recovery and overflow."""

from edge_components.forwarder.spool.entries import PendingPayload, ReceivedBatch, SpooledBatch
from edge_components.forwarder.spool.recovery import open_spool
from edge_components.forwarder.spool.spool import Spool

__all__ = ["PendingPayload", "ReceivedBatch", "Spool", "SpooledBatch", "open_spool"]
