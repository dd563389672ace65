"""Unit tests of the local nucleus: its pure cores, and its other parts with few collaborators."""
