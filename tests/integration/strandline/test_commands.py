"""Tests of the command line: output and error texts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cloud_functions.costs.prices import CHECKED
from device_sim.simulation.sensor_broker import SensorBroker, free_port
from strandline.cli import make_app
from strandline.commands.alerts import line
from strandline.commands.cost import fleet_of
from strandline.errors import CommandError
from tests.command_line import invoke
from wire import codec, profile
from wire.codec import encode
from wire.model import Aggregates, Anomalies, Anomaly, Batch, Notice, Phase, Quality, Readings, Rows, Series

PROGRAM = [sys.executable, "-c", "from strandline.cli import main; main()"]


def _run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *arguments], input=stdin, capture_output=True, timeout=60)


def _aggregates() -> Aggregates:
    series = (Series("a.temperature", "Cel", 0.01), Series("b.level"))
    index, time_ms, count = (np.array(column, np.int64) for column in ([0, 1], [1000, 1000], [5, 0]))
    mean, low, high, std, score = (np.array([value, np.nan]) for value in (20.5, 20.0, 21.0, 0.25, 0.5))
    return Aggregates(series, index, time_ms, time_ms, count, mean, low, high, std, score)


def _batch(rows: Rows) -> bytes:
    return encode(Batch("gw-1", 255, 7, rows))


def test_every_command_has_help() -> None:
    app = make_app()
    names = {command.name for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    assert names >= {"demo", "sim", "build", "publish", "erase", "inspect", "gateways", "series", "cost"}
    assert groups == {
        "alerts",
        "component",
        "deadletters",
        "deployment",
        "gateway",
        "rules",
        "silences",
        "source",
    }
    for name in names | groups:
        assert CliRunner().invoke(app, [str(name), "--help"]).exit_code == 0


def test_help_does_not_import_the_dependencies_of_commands() -> None:
    code = "import sys; from strandline.cli import make_app; make_app(); print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout.split()
    assert not {"boto3", "awsiot", "tflite_runtime"} & set(modules)


def test_inspect_shows_a_batchs_rows_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "batch"
    file.write_bytes(_batch(_aggregates()))
    result = invoke(["inspect", str(file), "--json"])
    body = json.loads(result.output)
    assert (body["kind"], body["gateway"], body["epoch"], body["sequence"]) == ("aggregates", "gw-1", "ff".zfill(16), 7)
    assert body["bytes"] == file.stat().st_size
    assert body["rows"][0]["series"] == "a.temperature"
    assert body["rows"][0]["mean"] == pytest.approx(20.5)
    assert body["rows"][1]["mean"] is None


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        (_aggregates(), ["aggregates", "a.temperature", "20.5"]),
        (
            Readings(
                (Series("a.x", "V"),),
                np.zeros(1, np.int64),
                np.array([5], np.int64),
                np.array([1.25]),
                np.array([Quality.BAD], np.uint8),
            ),
            ["readings", "a.x", "1.25"],
        ),
        (Anomalies((Anomaly("a.x", Phase.ONSET, 1000, 2000, 1.5, "level"),)), ["anomalies", "onset", "level"]),
        (Notice(5, {"Forwarder": {"batches_sent": 3}}), ["notice", "Forwarder", "batches_sent"]),
    ],
    ids=["aggregates", "readings", "anomalies", "notice"],
)
def test_inspect_shows_each_kind_of_batch_from_standard_input(rows: Rows, texts: list[str]) -> None:
    result = _run("inspect", "-", stdin=_batch(rows))
    assert result.returncode == 0, result.stderr
    assert all(text in result.stdout.decode() for text in texts)


def test_inspect_shows_the_rows_of_a_batch_only_with_its_profile(tmp_path: Path) -> None:
    known = profile.learn(_aggregates())
    (tmp_path / "profile").write_bytes(codec.encode_profile("gw-1", 5, 1, known))
    (tmp_path / "batch").write_bytes(codec.seal("gw-1", 5, 2, codec.shorten(codec.pack(_aggregates()), known)))
    run = CliRunner().invoke
    shown = run(make_app(), ["inspect", str(tmp_path / "profile")]).output
    assert all(text in shown for text in ("profile", str(known.version), "a.temperature", "value_spread"))
    whole = run(make_app(), ["inspect", "--json", "--profile", str(tmp_path / "profile"), str(tmp_path / "batch")])
    body = json.loads(whole.stdout)
    assert (body["profile"], body["rows"][0]["mean"]) == (known.version, pytest.approx(20.5))
    without = run(make_app(), ["inspect", "--json", str(tmp_path / "batch")])
    body = json.loads(without.stdout)
    assert (body["profile"], body["rows"], [part["part"] for part in body["parts"]]) == (
        known.version,
        [],
        ["envelope", "rows"],
    )
    assert f"its rows need profile {known.version}" in without.stderr


def test_inspect_limits_the_rows_and_shows_the_number_of_others() -> None:
    result = _run("inspect", "-", "--rows", "1", stdin=_batch(_aggregates()))
    assert b"b.level" not in result.stdout
    assert b"1 more rows" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "problem"),
    [
        (["inspect", "/nowhere"], b"", "/nowhere: No such file"),
        (["inspect", "-"], b"junk", "not a batch: begins with 6a75"),
        (["sim", "--broker", "127.0.0.1:1"], b"", "no MQTT broker at 127.0.0.1:1"),
        (["build", "--repo", "/nowhere"], b"", "/nowhere/recipes: no recipes"),
        (["alerts", "--endpoint-url", "http://127.0.0.1:1"], b"", "stack strandline: "),
    ],
    ids=["absent file", "no batch", "no broker", "no recipes", "no cloud"],
)
def test_errors_are_one_line_and_exit_code_1(
    arguments: list[str], stdin: bytes, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("REGION", "us-east-1"), ("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x")):
        monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    result = _run(*arguments, stdin=stdin)
    assert result.returncode == 1
    assert problem in result.stderr.decode()
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("address", ["localhost", "localhost:", ":1883", "localhost:99999", "localhost:x"])
def test_an_invalid_address_is_an_argument_error(address: str) -> None:
    result = invoke(["sim", "--broker", address])
    assert result.exit_code == 2
    assert "HOST:PORT" in result.output


@pytest.mark.slow
def test_sim_sends_for_its_duration_and_writes_the_labels(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    with SensorBroker(tmp_path, free_port()) as broker:
        where = f"{broker.host}:{broker.port}"
        result = _run("sim", "--broker", where, "--duration", "10", "--rate", "1", "--labels", str(labels))
    assert result.returncode == 0, result.stderr
    written = [json.loads(text) for text in labels.read_text().splitlines()]
    assert len(written) == 9
    assert all(set(label) == {"series", "kind", "start_ms", "end_ms", "magnitude"} for label in written)
    swallowed = 240 - int(result.stderr.split()[0])
    assert 0 < swallowed < 60


def test_build_prints_the_packed_components(tmp_path: Path) -> None:
    result = invoke(["build", "--out", str(tmp_path), "--json"])
    body = json.loads(result.output)
    assert {c["name"].rsplit(".", 1)[1] for c in body["components"]} == {
        "SensorReader",
        "Aggregator",
        "AnomalyDetector",
        "Forwarder",
        "Runtime",
    }
    assert all(Path(c["artifact"]).stat().st_size == c["bytes"] for c in body["components"])
    assert body["deploy"].startswith("sudo /greengrass/v2/bin/greengrass-cli deployment create --recipeDir ")
    assert body["deploy"].count("--merge io.strandline.") == 5
    assert (Path(body["lambda"]) / "ingest" / "wire" / "codec.py").is_file()


def test_build_for_nucleus_lite_prints_its_own_command(tmp_path: Path) -> None:
    result = invoke(["build", "--out", str(tmp_path), "--nucleus", "lite"])
    command = next(line for line in result.output.splitlines() if "ggl-cli" in line)
    words = command.split()
    assert words[:4] == ["sudo", "ggl-cli", "deploy", "-r"]
    assert Path(words[4]) == tmp_path / "greengrass-build-lite/recipes"
    assert sum(word.startswith("io.strandline.") for word in words) == 5
    assert (Path(words[6]) / "io.strandline.Forwarder/0.1.0/forwarder/wire/__init__.py").is_file()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--python", "3.11"], "require --offline"),
        (["--offline", "--python", "2.7"], "--python '2.7': allowed are 3.11, 3.12, 3.13"),
        (["--offline", "--arch", "aarch64,mips"], "--arch 'mips': allowed are aarch64, x86_64, armv7l"),
        (["--extras", "modbus,mqtt"], "--extras 'mqtt': allowed are archive, modbus, opcua, serial"),
    ],
)
def test_build_rejects_inconsistent_options(tmp_path: Path, options: list[str], problem: str) -> None:
    result = invoke(["build", "--out", str(tmp_path), *options])
    assert isinstance(result.exception, CommandError)
    assert problem in str(result.exception)


def test_costs_grow_with_the_gateways_and_fall_with_longer_windows_and_fuller_batches() -> None:
    def total(*arguments: str) -> float:
        result = invoke(["cost", "--json", *arguments])
        return float(json.loads(result.output)["total_usd"])

    # The timer of alerts, metrics, alarms and dashboard do not depend on the number of gateways.
    one, two, three = (total("--gateways", str(n)) for n in (10_000, 20_000, 30_000))
    assert three - two == pytest.approx(two - one, rel=0.1)
    assert one < two < 2 * one
    slow = ("--batch-age", "3600")
    assert total("--window", "60", *slow) < total("--window", "10", *slow) < total("--window", "1", *slow)
    assert total(*slow) < total("--batch-age", "60") < total("--batch-age", "10")


def test_a_batch_of_a_fleet_is_sent_when_it_is_full_or_old() -> None:
    fleet, measured = fleet_of(10, 100, 0.1, 10.0, 60.0)
    assert (fleet.gateways, fleet.batch_s) == (10, 60.0)
    full, full_measured = fleet_of(10, 100, 0.1, 10.0, 1e9)
    assert full.batch_s > fleet.batch_s
    assert full_measured.batch_bytes == pytest.approx(5_000)
    assert measured.batch_bytes < 5_000
    many, many_measured = fleet_of(1, 10_000, 0.1, 10.0, 60.0)
    assert many.batch_s < 10.0
    assert many_measured.batch_bytes == pytest.approx(5_000)


def test_alerts_and_rules_have_a_price_and_prices_that_were_not_checked_are_named() -> None:
    def cost(*arguments: str) -> dict[str, Any]:
        answer = json.loads(invoke(["cost", "--json", "--gateways", "10", *arguments]).output)
        return dict(answer)

    def changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
        return {name for name, usd in one["items"].items() if other["items"][name] != usd}

    base, stormy = cost(), cost("--alerts", "1000")
    notified = {"lambda requests and time of notify", "publications of alerts", "sqs deliveries", "e-mails of alerts"}
    assert changed(base, stormy) == {"dynamodb writes of alerts", *notified}
    assert stormy["total_usd"] > base["total_usd"]
    # A small stack watches all gateways each minute; in a large one a rule makes that of a gateway more frequent.
    fleet, ruled = cost("--gateways", "10000"), cost("--gateways", "10000", "--ruled", "1")
    assert changed(fleet, ruled) == {"lambda time of watch", "dynamodb writes of watch", "dynamodb reads of watch"}
    assert "sitewise_message" in base["unchecked_prices"]
    assert not set(base["unchecked_prices"]) & CHECKED.keys()
    text = invoke(["cost", "--compare"]).output
    assert "The price of SiteWise, $1 per million messages, was not verified" in text


def test_a_comparison_adds_simpler_ways() -> None:
    result = invoke(["cost", "--json", "--compare", "--gateways", "10000"])
    answer = json.loads(result.output)
    assert answer["compare"]["one message a reading"] > 100 * answer["total_usd"]


def test_an_alert_is_one_line() -> None:
    alert = {
        "series": "pump-1.current",
        "onset_ms": 1_700_000_000_000,
        "state": "firing",
        "gateway": "gw-1",
        "cause": "level",
        "direction": "up",
        "score": 3.25,
        "observed": 15.0,
        "expected": 11.5,
        "unit": "A",
    }
    shown = line(alert)
    assert shown.startswith("2023-11-14 22:13:20Z  firing")
    assert shown.endswith("score   3.25  observed 15, expected 11.5 A")


def _recorded(path: Path, slope: float) -> Path:
    rows = [f"{60 * at},{20 + slope * at + 0.1 * (at % 3):.3f}" for at in range(120)]
    path.write_text("\n".join(["time,level", *rows]) + "\n")
    return path


def test_forecast_prints_the_estimate_or_the_reason_for_each_limit_of_a_file(tmp_path: Path) -> None:
    file = str(_recorded(tmp_path / "tank.csv", 0.1))
    asked = ["forecast", file, "--time", "time", "--values", "level", "--high", "36", "--low", "1"]
    result = invoke(asked)
    assert result.exit_code == 0
    high, low = result.output.splitlines()
    assert "level  high 36  reached about 1970-01-01 02:" in high
    assert "80% between" in high
    assert "level  low 1  no estimate (away): the trend leads from" in low
    (answer,) = json.loads(invoke([*asked, "--json"]).output)
    assert [entry["reason"] for entry in answer["limits"]] == [None, "away"]
    assert answer["limits"][0]["estimate"]["early_ms"] < 9_600_000 < answer["limits"][0]["estimate"]["late_ms"]


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        (["FILE", "--time", "time", "--values", "depth", "--high", "1"], "no column 'depth'"),
        (["FILE", "--time", "time", "--values", "level"], "--high, --low: at least one limit is required"),
        (["FILE", "--time", "time", "--high", "1"], "--values: at least one column"),
        (["FILE", "--time", "time", "--values", "level", "--high", "1", "--low", "2"], "low: 2 is not below high, 1"),
        (["--high", "1"], "CSV files with --values, or --gateway and --series"),
    ],
)
def test_forecast_reports_invalid_arguments(tmp_path: Path, arguments: list[str], outcome: str) -> None:
    file = str(_recorded(tmp_path / "tank.csv", 0.1))
    done = _run("forecast", *[file if word == "FILE" else word for word in arguments])
    assert done.returncode in (1, 2)
    assert outcome in " ".join(done.stderr.decode().replace("│", " ").split())
