"""Unit tests of the simulation."""
