"""Hooks of MkDocs (``hooks`` of mkdocs.yml): documents from the whole repository and generated references as pages."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strandline.documentation import links, references

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def _site_paths() -> Mapping[str, str]:
    """Return the path in the site of each document; found once, and used for each page."""
    return links.site_paths(ROOT)


def on_config(config: Any) -> Any:
    """Add the README of each example to the navigation, behind the tutorial."""
    examples = sorted(path for path in _site_paths().values() if path.startswith("examples/"))
    if examples:
        config.nav.insert(2, {"Examples": examples})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add documents outside of ``docs`` and the generated pages to the files of the site."""
    from mkdocs.structure.files import File

    for source, path in _site_paths().items():
        if not source.startswith(f"{links.DOCS}/"):
            files.append(File.generated(config, path, content=(ROOT / source).read_text()))
    for path, generate in references.pages(ROOT).items():
        files.append(File.generated(config, path, content=generate()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Return the content of a page with its links as they are in the site."""
    pages = _site_paths()
    sources = {path: source for source, path in pages.items()}
    source = sources.get(page.file.src_uri)
    if source is None:
        return markdown
    return links.rewrite(markdown, source, pages, lambda path: (ROOT / path).exists())
