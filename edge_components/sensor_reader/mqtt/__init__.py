"""MQTT, as far as one connection to a broker needs it: packets, session, subscriptions, credentials, flow."""
