"""Tests of the sensor reader."""
