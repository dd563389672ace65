"""The first stage on the gateway: Sensor -> Reading.

Sources (``sources/``) hand over what sensors say; the intake checks it and collects columns; full or old enough, they
leave as a batch of Readings on ``wire.topics.READINGS`` for the aggregator, and are kept until it acknowledges them.
"""
