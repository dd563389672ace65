"""Queues -> store -> acknowledgement; see :mod:`cloud_functions.core.ingest`."""
