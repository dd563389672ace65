"""The second stage on the gateway: Reading -> Window -> Aggregate.

Readings come as batches on ``wire.topics.READINGS``; ``cleaning`` drops and counts what cannot be used, ``windows``
collects the rest by event time, and closed windows leave as a batch of Aggregates on ``wire.topics.AGGREGATES``.
"""
