"""The aggregator's configuration is read from typed values and from text, or rejected by key."""

from __future__ import annotations

from typing import Any

import pytest

from edge_components.aggregator.config import Config
from edge_components.common.config import load
from edge_components.common.errors import ConfigError


def test_ranges_are_read_from_numbers_and_from_text() -> None:
    config = load(Config, {"ranges": {"*.t": ["-40", 125], "x": [0.5, 0.5]}})
    assert config.ranges == {"*.t": (-40.0, 125.0), "x": (0.5, 0.5)}


@pytest.mark.parametrize(
    "ranges", [[], "x", {"*": 5}, {"*": [1]}, {"*": [2, 1]}, {"*": [True, 2]}, {"*": ["nan", 1]}, {"*": [None, 1]}]
)
def test_invalid_ranges_are_rejected(ranges: Any) -> None:
    with pytest.raises(ConfigError, match=r"ranges: .* is not allowed, expected an object"):
        load(Config, {"ranges": ranges})


def test_windows_and_rules_are_as_configured() -> None:
    config = load(Config, {"window_ms": "1000", "allowed_lateness_ms": 5, "gap_windows": 0, "drop_duplicates": "false"})
    assert (config.windows.width_ms, config.windows.lateness_ms, config.windows.gap_windows) == (1_000, 5, 0)
    assert config.rules.drop_duplicates is False


def test_a_key_of_a_former_version_is_ignored() -> None:
    assert load(Config, {"checkpoint_ms": 100}) == Config()
