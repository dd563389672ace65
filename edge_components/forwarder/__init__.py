"""The last component on the gateway: Scores and Anomalies in, Batches out to the cloud.

What arrives is written to the spool and acknowledged to its sender; :mod:`.batching` makes full batches of it, and
:mod:`.uplink` sends them until the cloud has acknowledged that it stored them, which alone frees the spool.
"""
