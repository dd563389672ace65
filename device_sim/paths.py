"""Path of the source tree that contains this package."""

from pathlib import Path

SOURCE_TREE = Path(__file__).resolve().parent.parent
