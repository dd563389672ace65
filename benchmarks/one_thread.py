"""Start of a benchmark with one thread for NumPy, as the launcher starts the components."""

from __future__ import annotations

import os
import sys

VARIABLE = "OPENBLAS_NUM_THREADS"


def ensure_one_thread() -> None:
    """Start this program again with one thread for NumPy, unless a number is set; NumPy reads it when it is imported.

    Processes that each have a thread for every core wait for one another busily: the detection benchmark takes a
    quarter longer on two cores.
    """
    if VARIABLE not in os.environ:
        environment = {**os.environ, VARIABLE: "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 # no shell
