"""Start of a benchmark with one thread for NumPy, as the launcher starts the components."""

from __future__ import annotations

import os
import sys

from edge_components.common.environment import LINEAR_ALGEBRA


def ensure_one_thread() -> None:
    """Start this program again with one thread for NumPy, unless a number is set; NumPy reads it when it is imported.

    Processes that each have a thread for every core wait for one another busily: the detection benchmark takes a
    quarter longer on two cores.
    """
    if not LINEAR_ALGEBRA.keys() <= os.environ.keys():
        environment = LINEAR_ALGEBRA | os.environ
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 # no shell
