"""Tests of versions and version ranges."""

from __future__ import annotations

import pytest

from device_sim.greengrass.errors import VersionError
from device_sim.greengrass.versions import parse_range, parse_version


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.2.3", ["1.2.3"], ["1.2.4", "1.2.3-a"]),
        ("=1.2.3", ["1.2.3"], ["1.2.4"]),
        (">=0.1.0 <0.2.0", ["0.1.0", "0.1.99"], ["0.2.0", "0.0.9"]),
        (">= 0.1.0 < 0.2.0", ["0.1.0"], ["0.2.0"]),
        (">1.2.3", ["1.2.4"], ["1.2.3"]),
        ("<=1.2.3", ["1.2.3", "0.0.0"], ["1.2.4"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["2.0.0", "1.2.2"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^1.2", ["1.2.0", "1.9.9"], ["2.0.0", "1.1.9"]),
        ("^0", ["0.0.0", "0.9.9"], ["1.0.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("1.x", ["1.0.0", "1.9.9"], ["2.0.0", "0.9.9"]),
        ("1.2.*", ["1.2.0"], ["1.3.0"]),
        ("*", ["0.0.0", "99.0.0"], []),
        ("1.0.0 - 2.1", ["1.0.0", "2.1.9"], ["2.2.0", "0.9.9"]),
        ("<1.2.0 || >=2.0.0", ["1.1.9", "2.0.0"], ["1.2.0", "1.9.9"]),
        (">1.2", ["1.3.0"], ["1.2.9"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        (">=2", ["2.0.0"], ["1.9.9"]),
        ("<2", ["1.9.9"], ["2.0.0"]),
    ],
)
def test_ranges_contain_the_specified_versions(text: str, inside: list[str], outside: list[str]) -> None:
    versions = parse_range(text)
    assert str(versions) == text
    assert [version for version in inside if parse_version(version) not in versions] == []
    assert [version for version in outside if parse_version(version) in versions] == []


def test_versions_have_the_order_of_semver() -> None:
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "1.0.1"]
    assert sorted(map(parse_version, reversed(order))) == list(map(parse_version, order))
    assert parse_version("1.0.0+build") == parse_version("1.0.0")


@pytest.mark.parametrize("text", ["1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "", None, 1.2, "1.2.3.4"])
def test_invalid_versions_of_components_are_rejected(text: object) -> None:
    with pytest.raises(VersionError, match="is not a version"):
        parse_version(text)


@pytest.mark.parametrize("text", ["", "latest", ">=1.0.0 <nonsense", "1.2.3.4", ">>1", "<*", None, 3, "^ ^1.0.0"])
def test_invalid_ranges_are_rejected(text: object) -> None:
    with pytest.raises(VersionError, match="is not a version range"):
        parse_range(text)
