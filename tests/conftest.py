"""What all tests share: property tests are not timed, and tests that start a whole system run one after another."""

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no defect.
settings.register_profile("strandline", deadline=None)
settings.load_profile("strandline")

HERE = Path(__file__).parent
WHOLE_SYSTEM = {"chaos", "e2e"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell pytest-xdist what must not be torn apart: the tests of a file, and all that start the whole system."""
    for item in items:
        path = item.path.relative_to(HERE)
        group = "whole-system" if path.parts[0] in WHOLE_SYSTEM else str(path.with_suffix(""))
        item.add_marker(pytest.mark.xdist_group(group))
