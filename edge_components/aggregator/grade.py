"""Quality of a reading in this component and in its journal."""

from __future__ import annotations

from enum import IntEnum


class Grade(IntEnum):
    """Quality of a reading, and whether it is used."""

    GOOD = 0
    UNCERTAIN = 1
    UNUSABLE = 2
    """Counted as bad in its window, and not used."""
    BAD_USED = 3
    """Counted as bad in its window, and used all the same."""


WITHIN_DEADBAND = 4
"""Added to the grade of a reading for which no row of its window needs to be sent (see deadband.py)."""

GRADES = 3
"""Mask of the grade alone."""
