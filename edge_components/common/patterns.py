"""Globs over the names of series, as the components' configurations use them. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable


def longest_match(name: str, globs: Iterable[str]) -> str | None:
    """Return the longest glob that matches a name, None if none does; the last in alphabetical order of equal ones.

    The longest is the most specific one. Their order is not used, because Greengrass does not keep the order of keys.
    """
    matching = [glob for glob in globs if fnmatch.fnmatchcase(name, glob)]
    return max(matching, key=lambda glob: (len(glob), glob), default=None)
