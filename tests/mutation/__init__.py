"""Mutation testing: change one expression or statement of a critical module and check that its tests fail."""
