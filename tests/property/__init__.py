"""Property-based tests with Hypothesis."""
