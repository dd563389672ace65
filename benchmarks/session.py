"""Recording of a terminal session as text and as an animated SVG: ``python benchmarks/session.py docs/pictures``.

Runs the demo and writes ``demo-session.txt`` (each line with its second) and ``demo-session.svg``. Pauses of more than
MAX_PAUSE_S are shortened in the SVG, lines are cut to COLUMNS characters, and nothing else is changed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

NAME = "demo-session"
COMMAND = "strandline demo"
COLUMNS, ROWS = 132, 26
MAX_PAUSE_S, HOLD_S = 1.5, 8.0
LINE_PX, CHARACTER_PX, MARGIN_PX = 17, 7.85, 14


class Line(NamedTuple):
    """One line of the terminal, with the seconds since the start."""

    at_s: float
    text: str


def main() -> int:
    """Record the demo into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    lines = [Line(0.0, f"$ {COMMAND}"), *record(COMMAND.split())]
    (folder / f"{NAME}.txt").write_text("".join(f"{at_s:6.1f}  {text}".rstrip() + "\n" for at_s, text in lines))
    (folder / f"{NAME}.svg").write_text(svg(shortened(lines)))
    return 0


def record(words: Sequence[str]) -> Iterator[Line]:
    """Run a command of strandline in an empty folder and yield its lines; raises CalledProcessError when it fails."""
    program = [sys.executable, "-u", "-c", "from strandline.cli import main; main()", *words[1:]]
    # The terminal's width, and no colours; the modules come from the working directory of this run.
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "dumb", "PYTHONPATH": path}
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(  # noqa: S603 # our own program
            program, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 # it is a pipe
        for line in process.stdout:
            yield Line(time.monotonic() - began, cut(line.rstrip().replace(folder, "~")))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(words))


def cut(text: str) -> str:
    """Return a line of at most COLUMNS characters."""
    return text if len(text) <= COLUMNS else text[: COLUMNS - 3] + "..."


def shortened(lines: Iterable[Line]) -> list[Line]:
    """Return the lines with pauses of at most MAX_PAUSE_S before each."""
    found: list[Line] = []
    before, at_s = 0.0, 0.0
    for line in lines:
        at_s += min(line.at_s - before, MAX_PAUSE_S)
        before = line.at_s
        found.append(Line(at_s, line.text))
    return found


def svg(lines: Sequence[Line]) -> str:
    """Return an animated picture of a terminal with ROWS rows, in which each line appears at its time.

    Without animation, as where motion is reduced, the last rows are shown.
    """
    total_s = lines[-1].at_s + HOLD_S
    width, height = round(COLUMNS * CHARACTER_PX) + 2 * MARGIN_PX, ROWS * LINE_PX + 2 * MARGIN_PX
    hidden = max(0, len(lines) - ROWS)
    steps = [(lines[ROWS + at].at_s, at + 1) for at in range(hidden)]
    frames = "".join(
        f"{100 * at_s / total_s:.2f}%{{transform:translateY({-rows * LINE_PX}px)}}" for at_s, rows in [(0.0, 0), *steps]
    )
    end = f"transform:translateY({-hidden * LINE_PX}px)"
    rows = "\n".join(
        f'<text x="{MARGIN_PX}" y="{MARGIN_PX + (at + 0.8) * LINE_PX:.0f}" style="animation-delay:{line.at_s:.2f}s">'
        f"{escape(line.text)}</text>"
        for at, line in enumerate(lines)
        if line.text
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>Recorded run of {escape(lines[0].text.removeprefix("$ "))}</title>
<style>
svg{{background:#1b1f24}}
text{{font:13px monospace;fill:#d7dde4;white-space:pre;animation:show .01s linear backwards}}
#rows{{{end};animation:scroll {total_s:.1f}s step-end 1}}
@keyframes show{{from{{opacity:0}}to{{opacity:1}}}}
@keyframes scroll{{{frames}to{{{end}}}}}
@media (prefers-reduced-motion:reduce){{text,#rows{{animation:none}}}}
</style>
<rect width="100%" height="100%" rx="6" fill="#1b1f24"/>
<svg x="0" y="{MARGIN_PX}" width="{width}" height="{ROWS * LINE_PX}" overflow="hidden">
<g transform="translate(0,{-MARGIN_PX})"><g id="rows">
{rows}
</g></g>
</svg>
</svg>
"""


if __name__ == "__main__":
    sys.exit(main())
