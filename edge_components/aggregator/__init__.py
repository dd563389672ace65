"""Second stage on the gateway: aggregate readings in event-time windows.

Readings come as batches on ``wire.topics.READINGS``; ``cleaning`` drops and counts what cannot be used, ``windows``
collects the rest by event time, and closed windows leave as a batch of Aggregates on ``wire.topics.AGGREGATES``.
"""
