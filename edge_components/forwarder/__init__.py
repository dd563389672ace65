"""The last component on the gateway: it receives scored aggregates and anomalies and sends batches to the cloud.

:mod:`.spool` stores received rows, which are then acknowledged to their sender. :mod:`.batching` forms full batches of
them, and :mod:`.uplink` sends each until the cloud has acknowledged that it is stored. Only that frees the spool.
"""
