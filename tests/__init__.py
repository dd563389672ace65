"""Tests of the project; CONTRIBUTING.md lists the folders."""
