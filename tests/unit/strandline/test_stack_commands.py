"""Tests of the output of the commands about a stack, with results of the cloud core."""

from __future__ import annotations

from typing import Any

import pytest

from strandline.commands import alerts, gateways
from strandline.text import hex_dump, print_table
from tests.command_line import invoke

SEEN_MS = 1_700_000_000_000
GATEWAY: dict[str, Any] = {
    "gateway": "gw-1",
    "first_seen_ms": SEEN_MS - 60_000,
    "last_seen_ms": SEEN_MS,
    "silent": True,
    **dict.fromkeys(("rows", "bytes", "duplicates", "acknowledgements"), 7),
    "batches": 3,
    "rejected": {"codec": 1, "time": 2},
    "losses": {"Spool.dropped_rows_bulk": 12},
    "merged": 4,
    "notice": {"time_ms": SEEN_MS, "counters": {}},
    "epochs": [
        {
            "epoch": "0" * 15 + "7",
            "cumulative": 2,
            "highest": 9,
            "missing": [[3, 4], [6, 6]],
            "missing_count": 3,
            "gap_since_ms": SEEN_MS,
            "first_ms": SEEN_MS,
            "changed_ms": SEEN_MS,
        }
    ],
}


def test_a_gateway_is_one_row_of_the_list() -> None:
    row = gateways.row(GATEWAY)
    assert row["last seen"] == "2023-11-14 22:13:20Z silent"
    assert (row["epochs"], row["batches"], row["rejected"], row["missing"], row["lost"]) == (1, 3, 3, 3, 12)


def test_a_gateways_page_names_its_gaps_its_rejects_and_its_losses() -> None:
    shown = "\n".join(gateways.lines(GATEWAY))
    assert "2023-11-14 22:13:20Z, silent" in shown
    assert "missing   3: 3-4, 6; the lowest since 2023-11-14 22:13:20Z" in shown
    assert "1 codec, 2 time" in shown
    assert "       12 Spool.dropped_rows_bulk" in shown
    assert "4 rows into coarser windows" in shown


def test_losses_of_a_gateway_without_a_notice_are_shown_as_unknown() -> None:
    assert gateways.lines(GATEWAY | {"notice": None, "losses": {}})[-1].endswith("no report from the gateway yet")
    clean = gateways.lines(GATEWAY | {"losses": {}, "merged": 0})[-1]
    assert clean.endswith("nothing (reported 2023-11-14 22:13:20Z, gateway's clock)")


def test_a_long_list_of_gaps_is_shortened() -> None:
    assert gateways.gaps([[n, n] for n in range(1, 31, 2)]).endswith("21, 23, ...")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "(gateway silent since 2023-11-14 22:13:20Z)"),
        ({"gateway_last_seen_ms": None}, "(no data from this gateway)"),
        ({"gateway_silent": False}, "score   3.25"),
        ({"state": "resolved"}, "score   3.25"),
    ],
)
def test_an_open_alert_shows_since_when_its_gateway_is_silent(changes: dict[str, Any], said: str) -> None:
    alert = {
        "series": "pump.current",
        "onset_ms": SEEN_MS,
        "state": "firing",
        "gateway": "gw-1",
        "cause": "level",
        "score": 3.25,
        "gateway_silent": True,
        "gateway_last_seen_ms": SEEN_MS,
    }
    assert alerts.line(alert | changes).endswith(said)


def test_a_table_in_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{f"column {n}": "x" * 30 for n in range(10)}])
    assert ("x" * 30 + "  ") * 2 in capsys.readouterr().out


def test_bytes_are_shown_with_their_offset_and_their_text() -> None:
    first, second = hex_dump(b"strandline\x00\xff{}[]end")
    assert first == "00000000  73 74 72 61 6e 64 6c 69 6e 65 00 ff 7b 7d 5b 5d  strandline..{}[]"
    assert second.split() == ["00000010", "65", "6e", "64", "end"]


@pytest.mark.parametrize("arguments", [["redrive"], ["redrive", "abc", "--all"]])
def test_a_redrive_requires_ids_or_all(arguments: list[str]) -> None:
    result = invoke(["deadletters", *arguments])
    assert result.exit_code == 2
    assert "ids of letters, or --all, are required" in result.output


@pytest.mark.parametrize("command", ["list", "show", "redrive"])
def test_each_command_about_dead_letters_has_help(command: str) -> None:
    assert invoke(["deadletters", command, "--help"]).exit_code == 0
