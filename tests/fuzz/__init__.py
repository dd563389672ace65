"""Fuzzing of everything that reads bytes from outside: hypothesis in the suite, atheris for as long as one likes."""
