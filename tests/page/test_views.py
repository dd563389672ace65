"""Every view in both themes and on a phone: axe finds nothing, the content is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cloud_functions.core import routes
from tests.page.browser import DESKTOP, PHONE, Visitor, wait_for_texts
from tests.page.fake_api import FakeCloud

GATEWAY, SERIES = "bremen:gw-1", "press-1/temperature"
CHART = "#/gateways/bremen:gw-1/series?series=press-1%2Ftemperature"
RULE = {
    "name": "hot-press", "enabled": True, "gateways": "*", "series": "press-*/temperature", "for_s": 120,
    "condition": {"type": "threshold", "above": 66, "clear_margin": 2}, "severity": "critical", "summary": "",
    "version": 3, "updated_ms": 1_700_000_000_000, "updated_by": "mia",
}  # fmt: skip


def populate(cloud: FakeCloud) -> dict[str, str]:
    """Add alerts in each state, a rule and a silence; return the fragments of all views."""
    first = cloud.inject(GATEWAY, SERIES, "critical", size=9.0, age_ms=600_000)
    second = cloud.inject(GATEWAY, "pump-2/current", "warning", size=-3.0, age_ms=4_000_000)
    cloud.acknowledge(second, "mia", "on my way")
    cloud.end(cloud.inject("ulm:gw-1", "pump-2/flow", "info", size=4.0, age_ms=300_000))
    cloud.limits[GATEWAY, SERIES] = {"high": 80.0, "low": 40.0}
    cloud.documents["rules"]["hot-press"] = RULE
    cloud.documents["silences"]["night"] = {
        "name": "night", "gateways": "ulm:*", "series": "*", "rules": "*", "from": cloud.started_ms,
        "to": cloud.started_ms + 9_000_000, "author": "mia", "comment": "maintenance", "version": 1,
        "updated_ms": cloud.started_ms, "updated_by": "mia",
    }  # fmt: skip
    stored = {"version": 1, "updated_ms": cloud.started_ms, "updated_by": "root"}
    cloud.documents["channels"] = {
        "on-call": {"name": "on-call", "type": "email", "to": ["on-call@example.com", "plant@example.com"]} | stored,
        "chat": {"name": "chat", "type": "webhook", "url": "https://hooks.example.com/a", "preset": "slack"} | stored,
    }
    cloud.documents["routes"]["presses"] = routes.parse({
        "name": "presses", "sites": "bremen", "series": "press-*", "severities": ["critical"], "channels": ["on-call"],
        "repeat_s": 900, "escalate_after_s": 1800, "escalate_to": ["chat"],
    }).to_dict() | stored  # fmt: skip
    return {
        "#/": "Fleet",
        "#/?group=site": "Fleet",
        "#/gateways/bremen:gw-1": GATEWAY,
        CHART: SERIES,
        "#/alerts?state=all": "Alerts",
        f"#/alerts/{first}": f"{SERIES}: level shift",
        "#/rules": "Rules",
        "#/rules/hot-press": "hot-press",
        "#/rules/new": "New rule",
        "#/silences": "Silences",
        "#/routes": "Routes",
        "#/routes/presses": "presses",
        "#/routes/new": "New route",
        "#/channels": "Channels",
        "#/channels/chat": "chat",
        "#/channels/new": "New channel",
        "#/costs": "Costs",
    }


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_axe_finds_nothing_in_any_view(
    cloud: FakeCloud, visit: Callable[..., Visitor], theme: str, size: dict[str, int]
) -> None:
    views = populate(cloud)
    visitor = visit(viewport=size, color_scheme=theme)
    found: list[str] = []
    for fragment, heading in views.items():
        page = visitor.go(fragment, heading)
        page.wait_for_load_state("networkidle", timeout=3_000) if fragment == "#/rules" else page.wait_for_timeout(300)
        found += [f"{fragment}: {violation}" for violation in visitor.axe()]
        # A view must not be wider than the window.
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], fragment
    assert found == []


def test_the_dialogs_pass_axe_and_the_fleet_lists_the_worst_first(
    cloud: FakeCloud, visit: Callable[..., Visitor]
) -> None:
    populate(cloud)
    visitor = visit()
    wait_for_texts(
        visitor.page.locator("tbody tr th"),
        ["bremen:gw-1", "gera:gw-1", "gera:gw-2", "bremen:gw-2", "ulm:gw-1", "ulm:gw-2"],
    )
    page = visitor.go("#/alerts", "Alerts")
    for name in ("Acknowledge", "Silence"):
        page.get_by_role("button", name=re.compile(f"^{name} ")).first.click()
        page.get_by_role("dialog").wait_for()
        assert visitor.axe() == []
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
    visitor.go(CHART, SERIES)
    page.get_by_role("button", name="Limits").click()
    page.get_by_label("High limit").wait_for()
    assert visitor.axe() == []


def test_gateways_are_filtered_and_grouped_by_site(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    populate(cloud)
    visitor = visit()
    page = visitor.page
    page.get_by_label("Group by site").check()
    wait_for_texts(page.locator("tbody th"), [
        "bremen: 2 gateways", "bremen:gw-1", "bremen:gw-2", "gera: 2 gateways", "gera:gw-1", "gera:gw-2",
        "ulm: 2 gateways", "ulm:gw-1", "ulm:gw-2",
    ])  # fmt: skip
    page.get_by_label("Site", exact=True).select_option("gera")
    wait_for_texts(page.locator("tbody th"), ["gera: 2 gateways", "gera:gw-1", "gera:gw-2"])
    assert page.url.endswith("#/?site=gera&group=site")
    page.reload()
    wait_for_texts(page.locator("tbody th"), ["gera: 2 gateways", "gera:gw-1", "gera:gw-2"])
    assert visitor.axe() == []


def test_the_costs_of_a_month_are_listed_by_item(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    page = visit("eve", "viewer").go("#/costs", "Costs")
    page.get_by_text("$5.27 a month").wait_for()
    region = page.get_by_role("region", name="Charges of a month")
    region.get_by_text("not included").first.wait_for()  # the last row
    rows = region.locator("tr").all_inner_texts()
    assert [row.split("\t")[:2] for row in rows[1:3]] == [["dynamodb writes", "$2.94"], ["iot messages", "$1.62"]]
    assert "dynamodb storage\t$0.004" in [row.rsplit("\t", 1)[0] for row in rows]
    assert rows[-1].startswith("Greengrass, not included\t$0.96")


def test_a_chart_goes_from_a_year_to_a_minute_over_roll_ups_to_raw_windows(
    cloud: FakeCloud, visit: Callable[..., Visitor]
) -> None:
    populate(cloud)
    page = visit().go(CHART, SERIES)
    for span, source in [("1 y", "roll-ups of 1h"), ("7 d", "roll-ups of 15m"), ("1 h", "raw windows")]:
        page.get_by_role("button", name=span, exact=True).click()
        page.locator(".caption", has_text=source).wait_for()
    page.get_by_role("button", name="1 min", exact=True).click()
    page.locator(".caption", has_text="(1 min)").filter(has_text="raw windows").wait_for()
    shown = re.compile(r"(5\d|60) rows, minimum [\d.]+ °C.*1 alerts")
    page.get_by_role("img", name=f"{SERIES} from").and_(page.get_by_role("img", name=shown)).wait_for()


def test_times_are_in_the_zone_of_the_browser_with_its_offset(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    views = populate(cloud)
    alert = next(fragment for fragment in views if fragment.startswith("#/alerts/"))
    page = visit(timezone_id="Asia/Kolkata").go(alert, views[alert])
    page.get_by_text("Began", exact=True).wait_for()
    assert re.search(r"Began\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+05:30", page.locator("main").inner_text())


def test_markup_in_texts_of_the_api_is_shown_as_text(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    hostile = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
    alert = cloud.inject(GATEWAY, SERIES, "critical", size=9.0, summary=hostile, cause=hostile)
    cloud.acknowledge(alert, hostile, hostile)
    visitor = visit()
    page: Any = visitor.page
    for fragment in ("#/alerts", f"#/alerts/{alert}", CHART):
        visitor.go(fragment)
        page.get_by_text(hostile).first.wait_for()
        assert page.locator("main img, main b").count() == 0
        assert "owned" not in page.title()
