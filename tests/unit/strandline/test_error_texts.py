"""Errors name the remedy: AWS region, credentials, profile and stack; files."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from strandline import account
from strandline.cli import make_app, problem
from tests.unit.strandline.test_json_output import COMMANDS

APP = make_app()
AWS_COMMANDS = {
    "alerts": [],
    "alerts acknowledge": ["id"],
    "alerts show": ["id"],
    "deadletters list": [],
    "deadletters redrive": ["--all"],
    "deadletters show": ["id"],
    "erase": ["--gateway", "gw-1"],
    "forecast": ["--gateway", "gw-1", "--series", "a.b", "--high", "1"],
    "gateway provision": ["gw-1", "--bucket", "b", "--run", "--out", "OUT"],
    "gateways": [],
    "page": ["--issuer", "https://issuer.example", "--client-id", "1"],
    "publish": ["--bucket", "b", "--out", "OUT"],
    "rules": [],
    "rules delete": ["hot"],
    "rules dry-run": ["RULE"],
    "rules put": ["hot", "RULE"],
    "rules show": ["hot"],
    "series": ["gw-1"],
    "silences": [],
    "silences add": ["works"],
    "silences delete": ["works"],
    "silences put": ["works", "RULE"],
    "silences show": ["works"],
}
"""Commands that send requests to AWS, with arguments for them."""


@pytest.fixture
def no_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the configuration of the machine, and the metadata of an instance."""
    for name in ("REGION", "DEFAULT_REGION", "PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("STRANDLINE_URL", "STRANDLINE_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def error_of(words: list[str]) -> str:
    done = CliRunner().invoke(APP, words)
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, Exception)
    text = problem(done.exception, words)
    assert text is not None, repr(done.exception)
    return text


def asked(command: str, folder: Path) -> list[str]:
    (folder / "rule.json").write_text("{}")
    files = {"RULE": str(folder / "rule.json"), "OUT": str(folder / "out")}
    return [*command.split(), *(files.get(word, word) for word in AWS_COMMANDS[command])]


def test_all_commands_that_send_requests_to_aws_are_tested() -> None:
    options = {words: {param.name for param in command.params} for words, command in COMMANDS.items()}
    assert {words for words, names in options.items() if "endpoint_url" in names} == AWS_COMMANDS.keys()


@pytest.mark.parametrize("command", AWS_COMMANDS)
@pytest.mark.usefixtures("no_aws")
def test_a_missing_region_and_missing_credentials_are_named_with_the_remedy(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "set AWS_DEFAULT_REGION" in error_of(asked(command, tmp_path))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    found = error_of(asked(command, tmp_path))
    assert "no AWS credentials: set AWS_PROFILE, or run `aws configure`" in found
    monkeypatch.setenv("AWS_PROFILE", "absent")
    found = error_of(asked(command, tmp_path))
    assert "(absent) could not be found: list the profiles with `aws configure list-profiles`" in found


@pytest.mark.parametrize(
    ("code", "text", "advice"),
    [
        ("ExpiredToken", "The security token included in the request is expired", "log in again"),
        ("ValidationError", "Stack with id strandline does not exist", "deploy the stack (docs/cloud.md), or name it"),
        ("Throttling", "Rate exceeded", "Rate exceeded"),
    ],
)
def test_an_answer_of_aws_is_explained(code: str, text: str, advice: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": text}}, "DescribeStacks")
    assert advice in account.explained(error)


@pytest.mark.parametrize(
    "words",
    [
        ["detect", "absent", "--time", "t", "--values", "a"],
        ["forecast", "absent", "--time", "t", "--values", "a", "--high", "1"],
        ["train", "--data", "absent", "--group", "x"],
        ["inspect", "absent"],
        ["rules", "put", "a", "absent", "--url", "http://127.0.0.1:1", "--token", "x"],
        ["source", "test", "absent"],
        ["source", "try", "--payload", "absent", "--topic", "a/b"],
        ["gateway", "run", "--thing=a", "--endpoint=h:1", "--cert=c", "--key=k", "--ca=a", "--config", "absent"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_missing_file_is_named_once(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = error_of(words)
    assert text.endswith("absent: No such file or directory")
    assert text.count("absent") == 1


def test_an_unknown_key_of_a_source_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "entry.json").write_text('{"kind": "mqtt", "hosst": "x"}')
    assert error_of(["source", "test", str(tmp_path / "entry.json")]).endswith("unknown key, did you mean host?")
