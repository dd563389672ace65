"""Frames per second of a chart with 10,000 visible points while it is moved."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

from tests.page.browser import Visitor
from tests.page.test_views import SERIES

POINTS = 10_000
FRAMES = 120
TRIES = 5
MAX_WORK_MS = 8.0

PAN = """
async (frames) => {
  const plot = document.querySelector('.plot');
  const box = plot.getBoundingClientRect();
  const times = [];
  const work = [];
  for (let frame = 0; frame <= frames; frame += 1) {
    times.push(await new Promise(requestAnimationFrame));
    const begin = performance.now();
    plot.dispatchEvent(new WheelEvent('wheel', {
      deltaX: frame % 60 < 30 ? -6 : 6, clientX: box.left + box.width / 2, clientY: box.top + 50, cancelable: true}));
    await null;
    work.push(performance.now() - begin);
  }
  const spans = times.slice(1).map((time, at) => time - times[at]).sort((a, b) => a - b);
  work.sort((a, b) => a - b);
  return {mean: (times[frames] - times[0]) / frames, p95: spans[Math.floor(0.95 * frames)], work: work[frames >> 1]};
}
"""


@pytest.mark.slow
def test_ten_thousand_points_are_moved_at_sixty_frames_a_second(
    visit: Callable[..., Visitor], record_property: Callable[[str, object], None]
) -> None:
    visitor = visit()
    now = int(visitor.page.evaluate("Date.now()"))
    begin = now - 5 * POINTS * 1_000
    fragment = f"#/gateways/bremen:gw-1/series?series=press-1%2Ftemperature&from={begin}&to={begin + POINTS * 1_000}"
    page = visitor.go(fragment, SERIES)
    page.locator(".caption", has_text="raw windows").wait_for()
    visible = int(re.findall(r"(\d+) rows", page.locator(".caption").inner_text())[0])
    assert visible == POINTS
    # The best of several tries counts. On a busy machine the browser gets only a part of the processor's time.
    wanted = 55 if os.getloadavg()[0] < 1.2 * (os.cpu_count() or 1) else 20
    measured = []
    for _ in range(TRIES):
        measured.append(page.evaluate(PAN, FRAMES))
        if 1_000 / measured[-1]["mean"] >= wanted:
            break
    best = min(measured, key=lambda one: one["mean"])
    figures = (
        f"{1_000 / best['mean']:.1f} frames a second, p95 {best['p95']:.1f} ms, work {best['work']:.1f} ms a frame"
    )
    record_property("frames", figures)
    assert 1_000 / best["mean"] >= wanted, figures
    assert best["work"] < MAX_WORK_MS, figures
