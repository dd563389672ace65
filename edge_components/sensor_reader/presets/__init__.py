"""Presets: topics and mapping of device families, by the payload forms that their makers document.

tests/unit/sensor_reader/preset_samples names the document of each form. None was tested with a real device. A preset is
one module here with its :class:`Preset` as ``PRESET``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ON_OFF: Mapping[str, float] = {"on": 1, "off": 0, "true": 1, "false": 0, "open": 1, "closed": 0}
"""Words that devices of many families use for a state of two values."""


@dataclass(frozen=True, slots=True)
class Preset:
    """The topics and the mapping of one device family."""

    doc: str
    topics: tuple[Mapping[str, Any], ...] = ()
    """Each has the key ``topic`` and the keys of the mapping that differ for it. Used where an entry has no topics."""
    mapping: Mapping[str, Any] = field(default_factory=dict)
    """The keys of the mapping that all topics share."""
