"""Tests of the external contracts: recipes, golden batches, the SAM template."""
