"""The page over the real API in the local cloud: from a fault to its end, with two users.

With the environment variable STRANDLINE_PICTURES, screenshots for the documents are written into that folder.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from device_sim.aws.front import Front
from device_sim.aws.local import LocalCloud
from tests.page import machine as machines
from tests.page.browser import PHONE, PIXELS, Visitor
from tests.page.machine import LEVEL, TEMPERATURE, Machine

pytestmark = pytest.mark.slow
GATEWAY = "bremen:gw-1"
CHART = f"#/gateways/{GATEWAY}/series?series=press-1%2Ftemperature&span=1800000"
TIMEOUT_MS = 60_000


class Site(NamedTuple):
    front: Front
    cloud: LocalCloud
    machine: Machine


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        Front() as front,
        LocalCloud.start(tmp_path_factory.mktemp("cloud"), parameters=front.parameters) as cloud,
        machines.running(cloud, GATEWAY) as machine,
    ):
        front.attach(cloud)
        machine.send_rows()
        machine.send_notice()
        wait_for_rows(front, machine)
        yield Site(front, cloud, machine)


def wait_for_rows(front: Front, machine: Machine) -> None:
    """Wait until the API has all rows that a machine sent."""
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{front.url}/v1/gateways/{quote(machine.name)}",
        headers={"Authorization": f"Bearer {front.token('test', 'viewer')}"},
    )
    deadline = time.monotonic() + TIMEOUT_MS / 1_000
    stored = 0
    while stored < machine.rows:
        assert time.monotonic() < deadline, f"{stored} of {machine.rows} rows are stored"
        time.sleep(0.2)
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request) as answer:  # noqa: S310
            stored = json.load(answer)["rows"]


@pytest.fixture
def sign_in(browser: Any, site: Site) -> Iterator[Callable[..., Visitor]]:
    visitors: list[Visitor] = []

    def visit(user: str, role: str = "operator", **options: Any) -> Visitor:
        visitors.append(Visitor(browser, f"{site.front.url}/", user, role, **options))
        visitors[-1].page.set_default_timeout(TIMEOUT_MS)
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.close()
        assert visitor.faults == []
        assert visitor.hosts == {site.front.url.split("/")[2]}


def picture(visitor: Visitor, name: str, *, whole: bool = False) -> None:
    """Write a screenshot if the documents' pictures are made."""
    folder = os.environ.get("STRANDLINE_PICTURES")
    if not folder:
        return
    image = importlib.import_module("PIL.Image").open(io.BytesIO(visitor.page.screenshot(full_page=whole)))
    image.convert("RGB").quantize(128).save(Path(folder) / f"page-{name}.png", optimize=True)


def test_a_fault_appears_is_acknowledged_by_one_user_seen_by_another_and_resolves(
    site: Site, sign_in: Callable[..., Visitor]
) -> None:
    ada, mia = sign_in("ada"), sign_in("mia", "viewer", color_scheme="dark")
    ada.page.get_by_role("link", name=GATEWAY, exact=True).wait_for()
    ada.go(CHART, TEMPERATURE)
    ada.page.locator(".caption", has_text=re.compile(r"1[5-8]\d rows")).wait_for()
    ada.page.get_by_role("button", name="Limits").click()
    ada.page.get_by_label("High limit").fill("75")
    ada.page.get_by_role("button", name="Save").click()
    ada.page.get_by_role("dialog").wait_for(state="hidden")
    mia.go("#/alerts", "Alerts")

    site.machine.begin_fault()
    mia.page.get_by_role("rowheader", name=re.compile("temperature")).wait_for()
    mia.page.locator(".state-firing").wait_for()
    assert mia.page.get_by_role("button", name=re.compile("^Acknowledge")).count() == 0  # a viewer
    link = mia.page.get_by_role("rowheader").get_by_role("link")
    detail = "#" + str(link.get_attribute("href")).split("#", 1)[1]
    ada.page.get_by_role("heading", name="Alerts of this series").wait_for()
    site.machine.send_rows(machines.FAULT)
    ada.page.wait_for_timeout(4_000)
    picture(ada, "chart")
    ada.go("#/", "Fleet").get_by_role("row", name=re.compile(GATEWAY)).get_by_text(
        re.compile("critical|warning")
    ).wait_for()
    picture(ada, "fleet")

    page = ada.go("#/alerts", "Alerts")
    page.get_by_role("button", name=re.compile("^Acknowledge")).click()
    page.get_by_label("Comment").fill("the cooling valve is stuck; on my way")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    mia.page.get_by_text("by ada").wait_for()
    picture(mia, "alerts-dark")
    mia.go(detail).get_by_text("the cooling valve is stuck; on my way").first.wait_for()
    mia.page.get_by_role("rowheader", name="level shift").wait_for()
    mia.page.get_by_role("listitem").filter(has_text="acknowledged").get_by_text("ada").wait_for()
    mia.page.locator(".caption", has_text="raw windows").wait_for()
    picture(mia, "alert-dark", whole=True)

    site.machine.end_fault()
    mia.page.locator(".state-resolved").first.wait_for()
    ada.page.get_by_text("No alert matches.").wait_for()
    assert ada.axe() == []


def test_limits_and_the_forecast_of_a_rising_series_are_drawn(site: Site, sign_in: Callable[..., Visitor]) -> None:
    """The level rises from 50 to 70 % within the hour of history, thus reaches 80 % in about half an hour."""
    visitor = sign_in("ada")
    page = visitor.go(f"#/gateways/{GATEWAY}/series?series=tank-3%2Flevel&span=3600000", LEVEL)
    page.get_by_role("button", name="Limits").click()
    page.get_by_label("High limit").fill("80")
    page.get_by_label("Low limit").fill("45")
    page.get_by_role("button", name="Save").click()
    stated = page.get_by_text("Reaches the high limit 80 % about")
    stated.wait_for()
    page.get_by_text("low limit 45 %: no estimate").wait_for()
    page.locator(".caption", has_text="high limit 80 % · low limit 45 %").wait_for()
    page.locator(".caption", has_text=re.compile(r"3[5-6]\d rows")).wait_for()
    page.get_by_role("button", name="Forecast", exact=True).click()
    page.get_by_role("button", name="Live", pressed=False).wait_for()
    # The interval of a series that rises so steadily is short: at some times of day only a pixel or two.
    drawn = page.wait_for_function(PIXELS, arg={"names": ["limit", "forecast"], "least": 1}).json_value()
    ends = drawn["forecast"]["rows"][0]
    assert min(abs(row - ends) for row in drawn["limit"]["rows"]) <= 3  # the forecast ends on the limit
    reached = datetime.strptime(
        re.findall(r"about ([-\d]+ [:\d]+ [+:\d]+)", stated.inner_text())[0], "%Y-%m-%d %H:%M:%S %z"
    )
    minutes = (reached.timestamp() * 1_000 - site.machine.begin_ms) / 60_000
    assert 80 < minutes < 105  # 90 by the slope alone
    assert visitor.axe() == []
    picture(visitor, "forecast")


def test_an_administrator_routes_alerts_to_a_channel(site: Site, sign_in: Callable[..., Visitor]) -> None:
    visitor = sign_in("root", "admin")
    page = visitor.go("#/channels/new", "New channel")
    page.get_by_label("Name", exact=True).fill("on-call")
    page.get_by_label("Addresses").fill("on-call@example.com")
    page.get_by_role("button", name="Save channel").click()
    page.get_by_role("row", name=re.compile("on-call@example.com.*no route")).wait_for()
    visitor.go("#/routes/new", "New route")
    page.get_by_label("Name", exact=True).fill("presses")
    page.get_by_label("Sites").fill("bremen")
    page.get_by_label("Series").fill("press-*")
    page.get_by_role("group", name="Severities").get_by_label("critical").check()
    page.get_by_role("group", name="Channels").get_by_label("on-call").check()
    page.get_by_label("Repeated every").fill("900")
    picture(visitor, "route", whole=True)
    page.get_by_role("button", name="Save route").click()
    page.get_by_role("row", name=re.compile("presses.*on-call.*every 15 min")).wait_for()
    page.get_by_role("link", name="Channels").click()
    page.get_by_role("row", name=re.compile("on-call")).get_by_role("link", name="presses").click()
    page.get_by_role("heading", name="presses").wait_for()
    page.get_by_role("button", name="Delete route").click()
    page.get_by_text("The built-in route").wait_for()
    visitor.go("#/channels/on-call", "on-call")
    page.get_by_role("button", name="Delete channel").click()
    page.get_by_role("heading", name="Channels").wait_for()
    page.get_by_role("rowheader", name="on-call").wait_for(state="detached")


def test_costs_and_sites_come_from_the_api(site: Site, sign_in: Callable[..., Visitor]) -> None:
    visitor = sign_in("mia", "viewer")
    page = visitor.go("#/costs", "Costs")
    page.get_by_text(re.compile(r"^\$\d+\.\d\d a month$")).wait_for()
    page.get_by_text("1 of 1").wait_for()
    picture(visitor, "costs")
    visitor.go("#/", "Fleet")
    page.get_by_label("Group by site").check()
    page.get_by_role("rowheader", name="bremen: 1 gateway").wait_for()
    page.get_by_label("Site", exact=True).select_option("bremen")
    page.get_by_role("rowheader", name=GATEWAY, exact=True).wait_for()
    assert visitor.axe() == []


def test_a_rule_is_tried_over_stored_rows_and_saved(site: Site, sign_in: Callable[..., Visitor]) -> None:
    visitor = sign_in("ada")
    page = visitor.go("#/rules/new", "New rule")
    page.get_by_label("Name", exact=True).fill("hot-press")
    page.get_by_label("Series", exact=True).fill("press-*/temperature")
    page.get_by_label("Above").fill("61.2")
    page.get_by_label("For", exact=True).fill("30")
    page.get_by_label("Period").select_option(label="last day")
    page.get_by_role("button", name="Run").click()
    page.get_by_text(re.compile(r"would have fired [1-9]\d* times?, on 1 series evaluated")).wait_for()
    picture(visitor, "rule")
    page.get_by_role("button", name="Save rule").click()
    page.get_by_role("link", name="hot-press").click()
    page.get_by_role("heading", name="hot-press").wait_for()
    page.get_by_role("button", name="Delete rule").click()
    page.get_by_text("There are no rules.").wait_for()


def test_a_silence_is_created_and_deleted(site: Site, sign_in: Callable[..., Visitor]) -> None:
    page = sign_in("ada").go("#/silences", "Silences")
    page.get_by_role("button", name="New silence").click()
    page.get_by_label("Name", exact=True).fill("belt-change")
    page.get_by_label("Comment").fill("the belt is changed")
    page.get_by_role("dialog").get_by_role("button", name="Create silence").click()
    page.get_by_role("rowheader", name="belt-change").wait_for()
    page.get_by_text("ada: the belt is changed").wait_for()
    page.get_by_role("button", name="Delete belt-change").click()
    page.get_by_text("There are no silences.").wait_for()


def test_the_gateways_page_has_its_series_with_the_newest_values(site: Site, sign_in: Callable[..., Visitor]) -> None:
    visitor = sign_in("mia", "viewer", viewport=PHONE)
    page = visitor.go(f"#/gateways/{GATEWAY}", GATEWAY)
    for component in ("Aggregator", "Forwarder"):
        page.locator(".facts div").filter(has_text=component).get_by_text("RUNNING, 0.2.0").wait_for()
    row = page.get_by_role("row", name=re.compile("pressure"))
    # The machine's pressure lies between 179.6 and 184.4 bar.
    row.get_by_text(re.compile(r"1(79|8\d)(\.\d+)? bar")).wait_for()
    picture(visitor, "gateway-phone", whole=True)
    assert visitor.axe() == []


def test_a_token_that_the_api_refuses_leads_back_to_the_login(site: Site, sign_in: Callable[..., Visitor]) -> None:
    visitor = sign_in("ada")
    visitor.page.evaluate(
        "sessionStorage.setItem('strandline.session', JSON.stringify({token: 'a.b.c', expires_ms: Date.now() + 1e6}))"
    )
    visitor.page.reload()
    visitor.page.get_by_label("Name").wait_for()
