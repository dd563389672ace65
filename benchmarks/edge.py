"""The four components under load: ``python benchmarks/edge.py [--json] [--only disk,throughput] [--scale 0.2]``.

Disk, throughput, CPU and memory, beside other gateways in the same run; see benchmarks/README.md for the method and
benchmarks/edge_run.py, which does it. Run as a file it starts itself again as a module: its own folder must not be
first on the path, where wire.py would stand in for the package ``wire``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

if __name__ == "__main__" and not __package__:
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks.edge", *sys.argv[1:]])  # noqa: S606 # itself, as a module
elif __name__ == "__main__":
    from benchmarks.edge_run import main

    sys.exit(main())
