"""Fuzzing of all parsers of external input: Hypothesis in the test suite, Atheris for longer runs."""
