"""First stage on the gateway: read sensors.

Sources (``sources/``) convert payloads (``formats/``, ``mapping/``) to readings; the intake collects them as columns.
When a batch is full or its maximum age is reached, it is published on ``wire.topics.READINGS`` for the aggregator and
kept until the aggregator acknowledges it.
"""
