"""Simulated plants, faults, sensor devices and multi-channel rigs, and the broker that sensors publish to."""
