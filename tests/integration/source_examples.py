"""The examples of docs/sources.md, by the names of their entries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
EXAMPLES: dict[str, dict[str, Any]] = {
    entry["name"]: entry
    for text in re.findall(r"```json\n(.*?)```", _PAGE, re.DOTALL)
    for entry in json.loads(text).get("sources", ())
}


def example(name: str, **changes: Any) -> dict[str, Any]:
    """Return the keys of an example's entry with other addresses, without its name and kind."""
    kept = {key: value for key, value in EXAMPLES[name].items() if key not in ("name", "kind")}
    return {**kept, **changes}
