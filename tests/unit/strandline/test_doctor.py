"""The findings of ``strandline doctor`` for machines and brokers in memory."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strandline.doctor.broker import Answer, check_broker
from strandline.doctor.findings import Finding, Level, exit_code, lines
from strandline.doctor.machine import (
    check_clock,
    check_disk,
    check_endpoint,
    check_permissions,
    check_ports,
    check_wear,
)
from strandline.doctor.python import check_extras, check_python
from strandline.doctor.services import Aws, check_aws, check_nucleus

GLIBC = ("glibc", "2.36")
NOW = datetime(2026, 11, 27, tzinfo=UTC)


def levels(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.check: str(finding.level) for finding in findings}


@pytest.mark.parametrize(
    ("version", "machine", "libc", "python", "wheels"),
    [
        ((3, 11), "x86_64", GLIBC, "ok", "ok"),
        ((3, 13), "arm64", GLIBC, "ok", "ok"),
        ((3, 10), "x86_64", GLIBC, "error", "ok"),
        ((3, 15), "x86_64", GLIBC, "warning", "ok"),
        ((3, 11), "armv7l", GLIBC, "ok", "warning"),
        ((3, 11), "riscv64", GLIBC, "ok", "error"),
        ((3, 11), "x86_64", ("", ""), "ok", "warning"),
    ],
)
def test_python_and_its_wheels(
    version: tuple[int, int], machine: str, libc: tuple[str, str], python: str, wheels: str
) -> None:
    assert levels(check_python(version, machine, libc)) == {"python": python, "wheels": wheels}


def test_an_absent_extra_is_named_with_the_command_that_installs_it() -> None:
    found = {finding.check: finding for finding in check_extras(lambda package: package != "matplotlib")}
    assert found["extra plot"].text == "not installed: matplotlib"
    assert "strandline[plot]" in found["extra plot"].mend
    assert found["extra sim"].level is Level.OK


def answers(*found: Answer) -> Iterator[Answer]:
    return iter(found)


def test_a_small_in_flight_window_is_a_warning_with_the_key_that_raises_it() -> None:
    found = {f.check: f for f in check_broker("b:1883", answers(Answer("5", "", {"ReceiveMaximum": 20})))}
    assert found["broker"].level is Level.OK
    assert found["broker in-flight"].level is Level.WARNING
    assert "max_inflight_messages" in found["broker in-flight"].mend
    assert levels(check_broker("b:1883", answers(Answer("5", "", {}))))["broker in-flight"] == "ok"


def test_a_broker_without_qos_1_is_an_error() -> None:
    assert levels(check_broker("b:1883", answers(Answer("5", "", {"MaximumQoS": 0}))))["broker QoS"] == "error"


def test_a_broker_without_mqtt_5_is_reported_with_the_reason() -> None:
    found = list(check_broker("b:1883", answers(Answer("5", "Unsupported protocol", {}), Answer("3.1.1", "", {}))))
    assert [finding.level for finding in found] == [Level.OK, Level.WARNING]
    assert "Unsupported protocol" in found[1].text


@pytest.mark.parametrize(
    ("failure", "mend"), [("Not authorized", "STRANDLINE_BROKER_PASSWORD"), ("timed out", "mosquitto_sub -h b -p 1883")]
)
def test_a_broker_that_does_not_accept_is_an_error_with_the_next_step(failure: str, mend: str) -> None:
    (found,) = check_broker("b:1883", answers(Answer("5", failure, {}), Answer("3.1.1", failure, {})))
    assert found.level is Level.ERROR
    assert mend in found.mend


@pytest.mark.parametrize(
    ("now", "answer", "level"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), "yes", "error"),
        (NOW, "yes", "ok"),
        (NOW, "no", "warning"),
        (NOW, None, "info"),
    ],
)
def test_the_clock(now: datetime, answer: str | None, level: str) -> None:
    assert levels(check_clock(now, lambda _command: answer)) == {"clock": level}


def test_a_slow_or_full_disk() -> None:
    found = levels(check_disk(Path("/data"), lambda _folder: 120.0, lambda _folder: 10**8))
    assert found == {"disk space": "error", "disk speed": "warning"}
    found = levels(check_disk(Path("/data"), lambda _folder: 2.0, lambda _folder: 10**10))
    assert found == {"disk space": "ok", "disk speed": "ok"}


def test_a_disk_that_cannot_be_written_is_an_error() -> None:
    def fail(_folder: Path) -> float:
        raise OSError(errno.EROFS, "Read-only file system")

    (found,) = check_disk(Path("/data"), fail, lambda _folder: 10**10)
    assert (found.level, found.text) == (Level.ERROR, "/data: Read-only file system")


@pytest.mark.parametrize(("life", "level"), [("0x01 0x02", "ok"), ("0x08 0x01", "warning"), ("0x0b 0x01", "error")])
def test_the_wear_of_a_memory(tmp_path: Path, life: str, level: str) -> None:
    (tmp_path / "mmcblk0/device").mkdir(parents=True)
    (tmp_path / "mmcblk0/device/life_time").write_text(life)
    assert levels(check_wear(tmp_path)) == {"disk wear": level}


def test_wear_that_cannot_be_read_is_stated(tmp_path: Path) -> None:
    assert levels(check_wear(tmp_path)) == {"disk wear": "info"}


def test_ports() -> None:
    failures = {1883: 0, 8080: errno.EADDRINUSE, 80: errno.EACCES}
    found = list(check_ports(list(failures), failures.__getitem__))
    assert [finding.level for finding in found] == [Level.OK, Level.WARNING, Level.ERROR]


def test_an_endpoint_that_a_firewall_hides() -> None:
    found = levels(check_endpoint("iot", lambda _host, port: "" if port == 8883 else "timed out"))
    assert found == {"endpoint 8883": "ok", "endpoint 8443": "error"}


def test_a_serial_device_that_cannot_be_opened_names_the_group(tmp_path: Path) -> None:
    found = list(check_permissions(tmp_path, ["users"], [tmp_path / "ttyUSB0"]))
    assert [finding.level for finding in found] == [Level.OK, Level.WARNING]
    assert "dialout" in found[1].mend


def test_nuclei_are_found_with_their_versions(tmp_path: Path) -> None:
    assert levels(check_nucleus(tmp_path, lambda _command: None)) == {"nucleus": "info"}
    recipe = tmp_path / "greengrass/v2/alts/current/distro/conf/recipe.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("RecipeFormatVersion: '2020-01-25'\nComponentVersion: '2.18.2'\n")

    def program(command: Sequence[str]) -> str | None:
        return "2.6.0" if command[0] == "dpkg-query" else "inactive"

    found = list(check_nucleus(tmp_path, program))
    assert "nucleus lite 2.6.0" in found[0].text
    assert "Java nucleus 2.18.2" in found[2].text
    assert [finding.level for finding in found] == [Level.OK, Level.WARNING, Level.OK, Level.WARNING]


def test_credentials() -> None:
    assert levels(check_aws(lambda: Aws("sso", "eu-central-1"))) == {"AWS credentials": "ok", "AWS region": "ok"}
    assert levels(check_aws(lambda: Aws("", ""))) == {"AWS credentials": "info", "AWS region": "info"}
    assert levels(check_aws(lambda: None)) == {"AWS": "info"}


@pytest.mark.parametrize(
    ("level", "strict", "code"),
    [
        (Level.ERROR, False, 1),
        (Level.WARNING, False, 0),
        (Level.WARNING, True, 3),
        (Level.INFO, True, 0),
    ],
)
def test_the_exit_code_follows_the_most_serious_finding(level: Level, strict: bool, code: int) -> None:
    assert exit_code([Finding("a", Level.OK, ""), Finding("b", level, "")], strict=strict) == code


def test_the_command_below_a_finding_is_the_one_that_mends_it() -> None:
    text = lines([Finding("disk", Level.WARNING, "slow", "use an SSD"), Finding("python", Level.OK, "3.11")])
    assert text == [
        "warning  disk    slow",
        "                 -> use an SSD",
        "ok       python  3.11",
        "1 warning, 1 ok",
    ]
