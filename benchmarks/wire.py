"""The wire format beside others on the same rows: ``python benchmarks/wire.py [--json] [--seed N]``.

See benchmarks/wire_compare.py, which does it. This file has the name of the package ``wire``, and a benchmark that is
run as a file has its own folder first on the path: there this file stands in for the package.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

if __name__ == "wire":
    __path__ = [str(ROOT / "wire")]
elif __name__ == "__main__" and not __package__:
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks.wire", *sys.argv[1:]])  # noqa: S606 # itself, as a module
elif __name__ == "__main__":
    from benchmarks.wire_compare import main

    sys.exit(main())
