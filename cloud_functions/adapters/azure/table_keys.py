"""Keys of Table storage for the keys of the core: a code that keeps the order and has no character that is forbidden.

``/ \\ # ?`` and control characters are not allowed in the keys of Table storage, and ``% + '`` need care in addresses.
Each of them is written as the allowed character before it and a digit, so that texts sort as their codes do:
``.`` is ``.0`` and ``/`` is ``.1``. Control characters follow a space or a tilde as two hexadecimal digits.

No code contains two spaces in a row, or a tilde that is not followed by 0 or 1. Entities that are not items of the core
use this: their keys begin with ``~`` and a letter, and the parts of a compound key are separated by two spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SEPARATOR = "  "
LAST = "~~"
"""Sorts after every code."""

_PAIRS = {'"': "#", "$": "%", "&": "'", "*": "+", ".": "/", ">": "?", "[": "\\"}
"""Forbidden characters, by the allowed ones that come before them."""
_CODES = (
    {allowed: allowed + "0" for allowed in _PAIRS}
    | {forbidden: allowed + "1" for allowed, forbidden in _PAIRS.items()}
    | {chr(code): f" 0{code:02x}" for code in range(0x20)}
    | {" ": " 1", "~": "~0"}
    | {chr(code): f"~1{code:02x}" for code in range(0x7F, 0xA0)}
)
_TABLE = str.maketrans(_CODES)
_TEXTS = {code: text for text, code in _CODES.items()}
_CODE = re.compile(r' 0[0-9a-f]{2}| 1|~0|~1[0-9a-f]{2}|["$&*.>\[][01]')


def encode(text: str) -> str:
    """Return the code of a key."""
    return text.translate(_TABLE)


def decode(code: str) -> str:
    """Return the key of a code."""
    return _CODE.sub(lambda found: _TEXTS[found[0]], code)


def compound(prefix: str, parts: Iterable[str]) -> str:
    """Return the key of an entity that is not an item: it sorts by its parts, one after the other."""
    return prefix + SEPARATOR.join(encode(part) for part in parts)


def quoted(code: str) -> str:
    """Return a code as a text of a filter."""
    return "'" + code.replace("'", "''") + "'"
