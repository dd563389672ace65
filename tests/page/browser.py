"""Chromium of the system, driven by Playwright, and the pages that tests open in it."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_functions.dashboard import page as built

AXE = Path(built.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
WAIT_MS = 30_000

PIXELS = """
({names, least}) => {
  const canvas = document.querySelector('.plot canvas');
  const {width, height} = canvas;
  const copy = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const image = copy.getImageData(0, 0, width, height).data;
  const style = getComputedStyle(document.querySelector('.plot'));
  const found = {};
  for (const name of names) {
    const hex = style.getPropertyValue(`--${name}`).trim();
    const wanted = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    const counts = [];
    for (let row = 0; row < height; row += 1) {
      let count = 0;
      for (let at = row * width * 4; at < (row + 1) * width * 4; at += 4) {
        const near = (value, channel) => Math.abs(value - image[at + channel]) < 24;
        if (image[at + 3] > 200 && wanted.every(near)) count += 1;
      }
      counts.push(count);
    }
    const pixels = Math.max(...counts);
    found[name] = {pixels, rows: [...counts.keys()].filter((row) => counts[row] > pixels / 2)};
  }
  return names.every((name) => found[name].pixels >= least) ? found : null;
}
"""
"""Function that returns, for each colour of the theme, the rows of the chart's canvas with most pixels of it."""


def chromium() -> str:
    """Return the path of the browser; skips the test with the reason if a part is missing."""
    pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is not installed")
    try:
        built.files()
    except built.PageMissingError as error:
        pytest.skip(str(error))
    return found


@contextlib.contextmanager
def started() -> Iterator[Any]:
    """Run the browser with a profile of its own."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, chromium_sandbox=False, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def wait_for_texts(locator: Any, texts: list[str | re.Pattern[str]]) -> None:
    """Wait until the elements of a locator are as many as the texts and each has its text."""
    from playwright.sync_api import expect

    expect(locator).to_have_text(texts, timeout=WAIT_MS)


class Visitor:
    """A user with a window of its own, signed in unless the name is empty. Records what a page never causes."""

    def __init__(self, browser: Any, url: str, user: str, role: str, **options: Any) -> None:
        self.url = url
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        self.addresses: list[str] = []
        settings = {"viewport": DESKTOP, "color_scheme": "light", "timezone_id": "Europe/Berlin"} | options
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", self._on_request)
        self.page.goto(url)
        if not user:
            return
        self.page.get_by_label("Name").fill(user)
        self.page.get_by_label("Role").select_option(role)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Fleet").wait_for()

    def go(self, fragment: str, heading: str | None = None) -> Any:
        """Show a view and wait for its heading."""
        self.page.goto(f"{self.url}{fragment}")
        if heading is not None:
            self.page.get_by_role("heading", name=heading, exact=True).first.wait_for()
        return self.page

    def axe(self) -> list[str]:
        """Return the violations that axe finds in the present view, one text each."""
        self.page.evaluate(AXE.read_text())
        # The colours of a button that was pressed change within 0.12 s.
        self.page.wait_for_function(
            "() => !document.getAnimations().some((one) => one instanceof CSSTransition && one.playState === 'running')"
        )
        result = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {violation['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]

    def close(self) -> None:
        """Close the window."""
        self.context.close()

    def _on_console(self, message: Any) -> None:
        # A 304 or 4xx of the API is logged by the browser as a failed resource; a violation of the policy is an error.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.faults.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Any) -> None:
        self.addresses.append(request.url)
        self.hosts.add(request.url.split("/")[2] if "//" in request.url else request.url[:40])
