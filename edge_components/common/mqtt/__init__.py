"""Connections to MQTT brokers: credential files, classification of failures, and the library's client."""
