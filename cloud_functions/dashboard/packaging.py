"""Check of the wheel's build: an installed package carries the built page."""

from __future__ import annotations

from pathlib import Path

from setuptools.command.build_py import build_py


class BuildWithPage(build_py):
    """``build_py`` that fails if the page is not built; an editable installation needs none at this time."""

    def run(self) -> None:
        """Check, then build."""
        if not self.editable_mode and not (Path(__file__).parent / "dist" / "index.html").is_file():
            raise SystemExit(
                "the page is not built: run `python -m cloud_functions.dashboard.build` before the wheel is built"
            )
        super().run()
