"""Queues of deliveries -> channels; see :mod:`cloud_functions.core.deliveries`."""
