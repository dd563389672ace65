"""Work of operators in the page: alerts, silences, rules, limits, roles, keyboard, failures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.page.browser import PIXELS, Visitor, wait_for_texts
from tests.page.fake_api import FakeCloud
from tests.page.test_views import CHART, GATEWAY, SERIES, populate


def test_an_alert_appears_is_acknowledged_by_one_user_seen_by_another_and_resolves(
    cloud: FakeCloud, visit: Callable[..., Visitor]
) -> None:
    ada, mia = visit("ada"), visit("mia")
    ada.go("#/alerts", "Alerts").get_by_text("No alert matches.").wait_for()
    mia.go("#/alerts", "Alerts")
    alert = cloud.inject(GATEWAY, SERIES, "critical", size=9.0)
    title = f"{SERIES}: level shift"
    ada.page.get_by_role("status").get_by_text("New alert: critical").wait_for()
    for visitor in (ada, mia):
        visitor.page.get_by_role("link", name=title).wait_for()
    ada.page.get_by_role("button", name=f"Acknowledge {title}").click()
    ada.page.get_by_label("Comment").fill("I take it")
    ada.page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    mia.page.get_by_text("by ada").wait_for()
    mia.go(f"#/alerts/{alert}", title).get_by_text("I take it").first.wait_for()
    cloud.end(alert)
    mia.page.locator("main").get_by_text("resolved").first.wait_for()
    ada.page.get_by_text("No alert matches.").wait_for()


def test_a_viewer_sees_no_buttons_for_changes(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    views = populate(cloud)
    visitor = visit("eve", "viewer")
    for fragment, heading in views.items():
        page = visitor.go(fragment, heading)
        names = re.compile(r"^(Acknowledge|Silence|New|Delete|Limits|Run)")
        assert page.locator("main").get_by_role("button", name=names).filter(visible=True).and_(
            page.locator(":enabled")
        ).count() == 0, fragment  # fmt: skip


def test_a_silence_is_created_from_an_alert_and_deleted(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    populate(cloud)
    # In a zone with summer time, two hours of the clock can be three.
    page = visit(timezone_id="Asia/Kolkata").go("#/alerts", "Alerts")
    page.get_by_role("button", name=f"Silence {SERIES}").click()
    dialog: Any = page.get_by_role("dialog")
    assert dialog.get_by_label("Gateways").input_value() == GATEWAY
    dialog.get_by_label("Name").fill("belt change")
    dialog.get_by_label("Comment").fill("the belt is changed")
    dialog.get_by_role("button", name="Create silence").click()
    page.get_by_role("alert").get_by_text("name").first.wait_for()
    dialog.get_by_label("Name").fill("belt-change")
    dialog.get_by_label("Sun").check()
    dialog.get_by_role("button", name="Create silence").click()
    dialog.wait_for(state="hidden")
    stored = cloud.documents["silences"]["belt-change"]
    assert (stored["series"], stored["author"], stored["recurring"]["weekdays"]) == (SERIES, "ada", [6])
    assert stored["recurring"]["zone"] in ("Asia/Kolkata", "Asia/Calcutta")
    assert stored["to"] - stored["from"] == 7_200_000
    page.get_by_role("link", name="Silences").click()
    page.get_by_role("button", name="Delete belt-change").click()
    page.get_by_role("rowheader", name="belt-change").wait_for(state="detached")
    assert "belt-change" not in cloud.documents["silences"]


def test_a_rule_is_written_tried_over_history_and_saved(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go("#/rules", "Rules")
    page.get_by_role("link", name="New rule").click()
    page.get_by_label("Name", exact=True).fill("hot-press")
    page.get_by_label("Series").fill("press-*/temperature")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("alert").get_by_text("above").wait_for()  # the condition has no bound yet
    page.get_by_label("Above").fill("66")
    page.get_by_label("For", exact=True).fill("1200")
    page.get_by_label("Period").select_option(label="last week")
    page.get_by_role("button", name="Run").click()
    outcome = page.get_by_text(
        re.compile(r"In the last week the rule would have fired (\d+) times, on 6 series evaluated")
    )
    outcome.wait_for()
    times = int(re.findall(r"fired (\d+)", outcome.inner_text())[0])
    assert times > 0
    rows = page.get_by_role("region", name="Firings").locator("tbody tr")
    wait_for_texts(rows, [re.compile(".")] * min(times, 200))
    page.get_by_role("button", name="Save rule").click()
    page.get_by_role("link", name="hot-press").click()
    stored = cloud.documents["rules"]["hot-press"]
    assert (stored["condition"], stored["for_s"]) == ({"type": "threshold", "above": 66}, 1200)
    page.get_by_label("Condition").select_option(label="no data")
    page.get_by_label("After").fill("90")
    page.get_by_role("button", name="Save rule").click()
    page.get_by_text("no data for 1 min 30 s for 20 min").wait_for()
    assert cloud.documents["rules"]["hot-press"]["version"] == 2


def test_limits_are_set_and_the_forecast_is_stated(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    page = visit().go(CHART, SERIES)
    page.get_by_role("button", name="Limits").click()
    page.get_by_label("High limit").fill("80.5")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Reaches the high limit 80.5 °C").wait_for()
    assert cloud.limits[GATEWAY, SERIES] == {"high": 80.5, "low": None}


def test_limits_and_forecast_are_drawn(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    cloud.limits[GATEWAY, SERIES] = {"high": 80.0, "low": None}
    visitor = visit()
    page = visitor.go(f"{CHART}&span=600000", SERIES)
    page.locator(".caption", has_text="high limit 80 °C").wait_for()
    page.get_by_role("button", name="Forecast", exact=True).click()
    page.get_by_role("button", name="Live", pressed=False).wait_for()
    drawn = page.wait_for_function(PIXELS, arg={"names": ["limit", "forecast"], "least": 40}).json_value()
    ends = drawn["forecast"]["rows"][0]
    assert min(abs(row - ends) for row in drawn["limit"]["rows"]) <= 3  # the forecast ends on the limit


def test_a_chart_that_follows_loads_over_a_slow_connection(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    cloud.delay_s = 5.0  # longer than the interval at which the chart moves
    page = visit().go(CHART, SERIES)
    page.locator(".caption", has_text="raw windows").wait_for()
    page.get_by_role("button", name="Live", pressed=True).wait_for()


def test_the_usual_range_of_the_time_of_day_is_drawn_and_hidden(
    cloud: FakeCloud, visit: Callable[..., Visitor]
) -> None:
    page = visit().go(CHART, SERIES)
    hint = page.locator(".caption", has_text="usual range at this time of day")
    hint.wait_for()
    page.get_by_role("button", name="Usual range").click()
    hint.wait_for(state="detached")


def test_a_route_and_its_channel_are_created_changed_and_deleted(
    cloud: FakeCloud, visit: Callable[..., Visitor]
) -> None:
    visitor = visit("root", "admin")
    page = visitor.go("#/channels", "Channels")
    page.get_by_role("link", name="New channel").click()
    page.get_by_label("Name", exact=True).fill("on-call")
    page.get_by_label("Addresses").fill("nobody")
    page.get_by_role("button", name="Save channel").click()
    page.get_by_role("alert").get_by_text("e-mail addresses").wait_for()
    page.get_by_label("Addresses").fill("a@example.com, b@example.com")
    page.get_by_role("button", name="Save channel").click()
    page.get_by_role("row", name=re.compile("on-call.*a@example.com, b@example.com.*no route")).wait_for()

    page = visitor.go("#/routes", "Routes")
    page.get_by_role("link", name="New route").click()
    page.get_by_label("Name", exact=True).fill("presses")
    page.get_by_label("Sites").fill("bremen")
    page.get_by_role("group", name="Severities").get_by_label("critical").check()
    page.get_by_role("group", name="Channels").get_by_label("on-call").check()
    page.get_by_label("Escalated after").fill("1800")
    page.get_by_role("button", name="Save route").click()
    page.get_by_role("alert").get_by_text("escalate_to").wait_for()
    page.get_by_role("group", name="Escalated to").get_by_label("default-sns").check()
    page.get_by_role("button", name="Save route").click()
    page.get_by_role("row", name=re.compile("presses.*after 30 min to default-sns")).wait_for()
    stored = cloud.documents["routes"]["presses"]
    assert (stored["sites"], stored["severities"], stored["channels"]) == ("bremen", ["critical"], ["on-call"])
    assert "kinds" not in stored

    page.get_by_role("link", name="presses").click()
    page.get_by_label("Repeated every").fill("600")
    page.get_by_role("button", name="Save route").click()
    page.get_by_role("row", name=re.compile("presses.*every 10 min")).wait_for()
    page.get_by_role("link", name="Channels").click()
    page.get_by_role("row", name=re.compile("on-call")).get_by_role("link", name="presses").click()
    page.get_by_role("button", name="Delete route").click()
    page.get_by_text("The built-in route").wait_for()
    assert cloud.documents["routes"] == {}


def test_a_change_of_another_user_is_not_overwritten(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    populate(cloud)
    page = visit("root", "admin").go("#/routes/presses", "presses")
    page.get_by_label("Sites").fill("ulm")
    cloud.documents["routes"]["presses"] = cloud.documents["routes"]["presses"] | {"version": 2}
    page.get_by_role("button", name="Save route").click()
    page.get_by_role("alert").get_by_text("version").wait_for()
    assert cloud.documents["routes"]["presses"]["sites"] == "bremen"


def test_an_operator_reads_routes_and_channels_and_cannot_change_them(
    cloud: FakeCloud, visit: Callable[..., Visitor]
) -> None:
    populate(cloud)
    visitor = visit()
    for kind, name in (("route", "presses"), ("channel", "chat")):
        page = visitor.go(f"#/{kind}s", f"{kind.title()}s")
        page.get_by_role("rowheader", name=name).wait_for()
        assert page.get_by_role("link", name=f"New {kind}").count() == 0
        page.get_by_role("link", name=name).first.click()
        page.get_by_role("heading", name=name).wait_for()
        assert page.get_by_role("button", name=f"Save {kind}").is_disabled()


def focused(page: Any) -> str:
    """Return the name of the focused element."""
    script = """
      const element = document.activeElement;
      return (element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent).trim();
    """
    return str(page.evaluate(f"() => {{{script}}}"))


def tab_to(page: Any, text: str, most: int = 60) -> None:
    """Press Tab until the element of a name has the focus; it must be visible there."""
    passed = []
    for _ in range(most):
        page.keyboard.press("Tab")
        passed.append(focused(page))
        if passed[-1].startswith(text):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"{text}: the focus is not visible"
            return
    raise AssertionError(f"{text} is not reached by Tab: {passed}")


def test_a_channel_is_created_with_the_keyboard_alone(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    page = visit("root", "admin").page
    keys = page.keyboard
    tab_to(page, "Channels")
    keys.press("Enter")
    page.get_by_role("heading", name="Channels").wait_for()
    tab_to(page, "New channel")
    keys.press("Enter")
    page.get_by_role("heading", name="New channel").wait_for()
    tab_to(page, "Name")
    keys.type("bus")
    tab_to(page, "Type")
    keys.type("EventBridge")
    tab_to(page, "Bus")
    keys.type("plant")
    keys.press("Enter")
    page.get_by_role("rowheader", name="bus").wait_for()
    assert cloud.documents["channels"]["bus"]["type"] == "eventbridge"


def test_the_page_is_used_with_the_keyboard_alone(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    populate(cloud)
    page = visit().page
    keys = page.keyboard

    page.evaluate("document.activeElement.blur()")
    keys.press("Tab")
    tab_to(page, "Alerts", 8)
    keys.press("Enter")
    page.get_by_role("heading", name="Alerts").wait_for()
    tab_to(page, f"Acknowledge {SERIES}")
    keys.press("Enter")
    page.get_by_role("dialog").wait_for()
    tab_to(page, "", 1)
    keys.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert focused(page).startswith(f"Acknowledge {SERIES}")  # the focus returns to the button
    page.goto(page.url.split("#")[0] + CHART)
    page.get_by_role("img", name=f"{SERIES} from").wait_for()
    page.locator(".caption", has_text="raw windows").wait_for()
    tab_to(page, f"{SERIES} from")
    keys.press("+")
    page.locator(".caption", has_text="(30 min)").wait_for()
    keys.press("ArrowLeft")
    page.get_by_role("button", name="Live", pressed=False).wait_for()
    keys.press("Shift+ArrowLeft")
    page.get_by_text(re.compile(r"mean [\d.]+ °C, min")).wait_for()
    keys.press("End")
    page.get_by_role("button", name="Live", pressed=True).wait_for()


def test_a_failing_api_is_reported_and_the_page_recovers(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.page.get_by_text("● live").wait_for()
    cloud.down = True
    visitor.page.get_by_text("offline, retrying").wait_for()
    assert visitor.page.get_by_role("link", name=GATEWAY, exact=True).is_visible()  # the last state stays
    cloud.down = False
    visitor.page.get_by_text("● live").wait_for()


def test_an_unchanged_answer_is_not_sent_again(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.go("#/", "Fleet")
    visitor.page.wait_for_event("response", lambda one: "/v1/alerts" in one.url and one.status == 304)
    statuses: list[int] = []
    visitor.page.on("response", lambda one: statuses.append(one.status) if "/v1/alerts" in one.url else None)
    visitor.go("#/rules", "Rules")
    visitor.page.wait_for_event("response", lambda one: "/v1/alerts" in one.url)
    visitor.page.wait_for_event("response", lambda one: "/v1/alerts" in one.url)
    assert set(statuses) == {304}


def test_a_reload_keeps_the_session_and_signing_out_ends_it(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.page.reload()
    visitor.page.get_by_role("heading", name="Fleet").wait_for()
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.get_by_label("Name").wait_for()
    assert visitor.page.evaluate("sessionStorage.length") == 0
    assert visitor.page.evaluate("Object.keys(localStorage).filter((key) => key !== 'strandline.theme').length") == 0


def test_the_theme_follows_the_system_until_one_is_selected(visit: Callable[..., Visitor]) -> None:
    page = visit(color_scheme="dark").page
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"{theme} === 'light'")
    page.get_by_role("button", name=re.compile("^Theme: auto")).click()
    page.get_by_role("button", name=re.compile("^Theme: light")).click()
    assert page.evaluate(theme) == "dark"
    page.reload()
    page.get_by_role("heading", name="Fleet").wait_for()
    assert page.evaluate(theme) == "dark"


def test_a_user_signs_in_at_an_issuer_by_a_code_with_pkce(cloud: FakeCloud, visit: Callable[..., Visitor]) -> None:
    cloud.oidc = True
    visitor = visit("")
    page = visitor.page
    page.goto(f"{visitor.url}#/rules")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Rules").wait_for()  # the view that was asked for
    page.get_by_text("olga (operator)").wait_for()
    assert page.url == f"{visitor.url}#/rules"
    page.goto(f"{visitor.url}?code=code-1&state=forged")
    page.reload()
    assert cloud.challenges == {}


def test_an_answer_of_the_issuer_that_was_not_requested_is_rejected(
    cloud: FakeCloud, visit: Callable[..., Visitor]
) -> None:
    cloud.oidc = True
    visitor = visit("")
    visitor.page.goto(f"{visitor.url}?code=stolen&state=forged")
    visitor.page.get_by_role("alert").get_by_text("not begun in this tab").wait_for()
    assert "stolen" not in visitor.page.url
    assert not [path for _, path in cloud.requests if path == "/token"]
