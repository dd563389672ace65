"""Tests of what components share."""
