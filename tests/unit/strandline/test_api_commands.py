"""The commands alerts, gateways, series, rules and silences, over the API in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from strandline.api import access
from strandline.errors import ApiError, CommandError
from tests.command_line import invoke
from tests.unit.cloud.api_site import ApiSite
from tests.unit.cloud.fakes import NOW_MS, report
from tests.unit.strandline.api_sender import sender_to

RULE = {"condition": {"type": "threshold", "above": 5}, "series": "pump/*"}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> ApiSite:
    made = ApiSite()
    made.rows("gw-1", n=10)
    made.services.book.report("gw-1", report())
    monkeypatch.setenv("STRANDLINE_URL", "http://api/v1")
    monkeypatch.setenv("STRANDLINE_TOKEN", "admin")
    monkeypatch.setattr(access, "with_token", lambda token: sender_to(made, token))
    return made


def run(*arguments: str, stdin: str | None = None) -> Result:
    return invoke(list(arguments), input=stdin)


def output(*arguments: str, stdin: str | None = None) -> str:
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output or result.exception
    return result.stdout


def parsed(*arguments: str) -> Any:
    return json.loads(output(*arguments, "--json"))


def test_gateways_are_listed_and_shown(site: ApiSite) -> None:
    assert "gw-1" in output("gateways")
    (gateway,) = parsed("gateways")
    assert (gateway["gateway"], gateway["rows"]) == ("gw-1", 10)
    assert "received    0 batches" not in output("gateways", "gw-1")
    assert parsed("gateways", "gw-1") == gateway


def test_a_forecast_is_the_answer_of_the_api_with_the_limits_and_times_of_the_options(
    site: ApiSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_functions.clock.now_ms", lambda: NOW_MS)
    given = ("forecast", "--gateway", "gw-1", "--series", "pump/temp", "--hours", "2")
    found = parsed(*given, "--high", "400", "--horizon-hours", "1")
    assert [(one["side"], one["limit"]) for one in found["limits"]] == [("high", 400.0)]
    assert found["until_ms"] - found["history"]["to_ms"] <= 3_600_000
    assert found["history"]["from_ms"] >= NOW_MS - 2 * 3_600_000
    assert output(*given, "--low", "-1").startswith("gw-1 pump/temp  low -1")
    with pytest.raises(ApiError, match="name at least one limit"):
        raise run(*given).exception or AssertionError


def test_alerts_are_listed_by_filter(site: ApiSite) -> None:
    (alert,) = parsed("alerts")
    assert alert["series"] == "pump0.temperature"
    assert "firing" in output("alerts", "--open")
    assert parsed("alerts", "--gateway", "gw-2") == []
    assert parsed("alerts", "--series", "tank*") == []
    assert parsed("alerts", "--state", "resolved") == []
    assert len(parsed("alerts", "--severity", "warning")) == 1


def test_an_alert_is_shown_and_acknowledged(site: ApiSite) -> None:
    (alert,) = parsed("alerts")
    assert "acknowledged" in output("alerts", "acknowledge", alert["id"], "--comment", "on my way")
    shown = output("alerts", "show", alert["id"])
    assert "on my way" in shown
    assert "arn:aws:iam::1:user/admin" in shown
    assert parsed("alerts", "show", alert["id"])["alert"]["state"] == "acknowledged"


def test_series_are_listed_with_their_latest_rows(site: ApiSite) -> None:
    site.rows("gw-1", n=1, series="tank/level")
    assert "pump/temp" in output("series", "gw-1")
    found = parsed("series", "gw-1", "pump*")
    assert [(one["series"], one["latest"]["mean"]) for one in found] == [("pump/temp", 9.0)]


def test_the_rows_of_a_series_are_printed_as_csv(site: ApiSite) -> None:
    head, *rows = output("series", "gw-1", "--rows", "pump/temp", "--resolution", "raw").splitlines()
    assert head.split(",")[:3] == ["start_ms", "width_ms", "count"]
    assert len(rows) == 10
    assert rows[0].split(",")[3] == "0.0"
    assert parsed("series", "gw-1", "--rows", "pump/temp", "--resolution", "raw")["rows"] == 10


def test_rules_are_stored_shown_dry_run_and_deleted(site: ApiSite, tmp_path: Path) -> None:
    file = tmp_path / "rule.json"
    file.write_text(json.dumps(RULE))
    assert json.loads(output("rules", "put", "hot", str(file)))["version"] == 1
    assert "above=5" in output("rules")
    assert parsed("rules")[0]["name"] == "hot"
    assert json.loads(output("rules", "show", "hot"))["condition"]["above"] == 5
    assert output("rules", "put", "hot", "-", "--version", "1", stdin=json.dumps(RULE | {"severity": "info"}))
    assert isinstance(run("rules", "delete", "hot", "--version", "1").exception, ApiError)
    output("rules", "delete", "hot", "--version", "2")
    assert parsed("rules") == []


def test_a_dry_run_counts_the_alerts(site: ApiSite, tmp_path: Path) -> None:
    (tmp_path / "rule.json").write_text(json.dumps(RULE))
    assert parsed("rules", "dry-run", str(tmp_path / "rule.json"), "--days", "1") == {
        "series_evaluated": 1,
        "firings": [],
        "count": 0,
    }


def test_silences_are_added_for_hours_and_listed(site: ApiSite) -> None:
    added = json.loads(output("silences", "add", "works", "--hours", "2", "--series", "pump*", "--comment", "repair"))
    assert added["to"] - added["from"] == 7_200_000
    assert added["author"] == "arn:aws:iam::1:user/admin"
    assert "works" in output("silences")
    assert "exists already" in str(run("silences", "add", "works").exception)
    output("silences", "delete", "works")
    assert parsed("silences") == []


def test_a_file_that_is_not_a_json_object_is_an_error_that_names_it(site: ApiSite, tmp_path: Path) -> None:
    for content in ("[]", "{", ""):
        (tmp_path / "x.json").write_text(content)
        error = run("rules", "put", "a", str(tmp_path / "x.json")).exception
        assert isinstance(error, CommandError)
        assert "x.json" in str(error)
    assert isinstance(run("rules", "put", "a", str(tmp_path / "none.json")).exception, CommandError)


def test_the_role_of_the_token_counts(site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRANDLINE_TOKEN", "viewer")
    assert "operator is required" in str(run("silences", "add", "works").exception)


def test_an_address_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRANDLINE_URL", "https://api.example.com")
    monkeypatch.delenv("STRANDLINE_TOKEN", raising=False)
    assert "a token is needed" in str(run("gateways").exception)


@pytest.mark.parametrize("command", ["alerts", "gateways", "series", "rules", "silences"])
def test_each_command_has_help(command: str) -> None:
    assert run(command, "--help").exit_code == 0
