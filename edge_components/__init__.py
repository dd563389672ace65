"""What runs on the gateway: sensor_reader -> aggregator -> anomaly_detector -> forwarder, each a Greengrass component.

Components know ``wire`` and ``edge_components.common`` and never one another; between them go encoded batches on local
topics, and acknowledgements back.
"""
