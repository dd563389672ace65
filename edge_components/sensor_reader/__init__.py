"""The first stage on the gateway: Sensor -> Reading.

Sources (``sources/``) parse payloads (``formats/``, ``mapping/``) to readings; the intake collects them as columns;
full or old enough, they leave as a batch on ``wire.topics.READINGS`` for the aggregator, and are kept until it
acknowledges them.
"""
