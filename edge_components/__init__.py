"""Components of the gateway: sensor_reader -> aggregator -> anomaly_detector -> forwarder.

Each is a Greengrass component. Components import ``wire`` and ``edge_components.common``, not one another. They
exchange encoded batches and acknowledgements on local topics.
"""
