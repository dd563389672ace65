"""Tests of device_sim.chaos' pure parts."""
