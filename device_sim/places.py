"""Where the sources are that the simulation runs: the working tree this package is installed from."""

from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
