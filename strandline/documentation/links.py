"""Paths of the repository's documents in the site, and their links rewritten for it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

DOCS = "docs"
SITE_PATHS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "wire/FORMAT.md": "reference/wire-format.md",
    "benchmarks/README.md": "explanation/benchmarks.md",
    "cloud_functions/README.md": "components/cloud.md",
    "cloud_functions/google/README.md": "components/google-cloud.md",
    "cloud_functions/dashboard/README.md": "components/page.md",
    "device_sim/README.md": "components/device-sim.md",
    "device_sim/greengrass/README.md": "components/local-nucleus.md",
    "strandline/README.md": "components/command-line.md",
    "tests/contract/golden/README.md": "project/golden-batches.md",
}
"""Documents outside of ``docs`` and their path in the site."""
PATTERNS = (("edge_components", "components"), ("examples", "examples"))
"""Folders whose subfolders' README are pages, and the folder of these pages."""

_FENCE = re.compile(r"^(?P<mark>```+|~~~+).*?^(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:")


def site_paths(root: Path) -> dict[str, str]:
    """Return the path in the site of each document, both relative and with ``/``."""
    found = {f"{DOCS}/{path.relative_to(root / DOCS).as_posix()}": path for path in (root / DOCS).rglob("*.md")}
    pages = {source: source.removeprefix(f"{DOCS}/") for source in sorted(found)}
    for folder, section in PATTERNS:
        for path in sorted((root / folder).glob("*/README.md")):
            name = path.parent.name.replace("_", "-")
            pages[path.relative_to(root).as_posix()] = f"{section}/{name}.md"
    return pages | {source: path for source, path in SITE_PATHS.items() if (root / source).is_file()}


def rewrite(markdown: str, source: str, pages: Mapping[str, str], exists: Callable[[str], bool]) -> str:
    """Return a document with its relative links as they are in the site.

    A link to another document leads to its page; one to other files of the repository becomes plain text, because the
    site does not have them. Links to missing targets are not changed, so that the strict build rejects them.
    """

    def replace(match: re.Match[str]) -> str:
        target, _, fragment = match["target"].partition("#")
        if not target or _EXTERNAL.match(target):
            return match[0]
        resolved = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        here = posixpath.dirname(pages[source])
        if resolved in pages:
            path = posixpath.relpath(pages[resolved], here or ".")
            return f"{match['image']}[{match['text']}]({path}{'#' + fragment if fragment else ''})"
        if not exists(resolved):
            return match[0]
        if match["image"] and resolved.startswith(f"{DOCS}/"):
            return f"![{match['text']}]({posixpath.relpath(resolved.removeprefix(f'{DOCS}/'), here or '.')})"
        return match["text"]

    parts: list[str] = []
    at = 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(replace, markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, _LINK.sub(replace, markdown[at:])])
