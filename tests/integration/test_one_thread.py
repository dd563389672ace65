"""A benchmark starts again with one thread for NumPy."""

import subprocess
import sys

PROGRAM = """
import os
from benchmarks.one_thread import ensure_one_thread
print("started", flush=True)
ensure_one_thread()
print("runs with", os.environ["OPENBLAS_NUM_THREADS"])
"""


def output(variables: dict[str, str]) -> str:
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=variables).stdout


def test_without_a_number_of_threads_the_program_starts_again_with_one() -> None:
    assert output({}) == "started\nstarted\nruns with 1\n"


def test_a_number_that_is_set_stays() -> None:
    assert output({"OPENBLAS_NUM_THREADS": "3"}) == "started\nruns with 3\n"
