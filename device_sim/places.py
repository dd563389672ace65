"""Path of the source tree that this package is installed from."""

from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
