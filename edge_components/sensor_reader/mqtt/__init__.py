"""MQTT connection to a broker: packets, session, subscriptions, credentials, flow control."""
