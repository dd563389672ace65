"""The browser, the server, and visitors of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.page import browser as browsers
from tests.page.browser import Visitor
from tests.page.fake_api import FakeCloud, FakeServer


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.started() as started:
        yield started


@pytest.fixture
def server(browser: Any) -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.fixture
def cloud(server: FakeServer) -> FakeCloud:
    return server.cloud


@pytest.fixture
def visit(browser: Any, server: FakeServer) -> Iterator[Callable[..., Visitor]]:
    """Sign a user in; every visitor is checked for errors, policy violations, other hosts and tokens in addresses."""
    visitors: list[Visitor] = []

    def sign_in(user: str = "ada", role: str = "operator", **options: Any) -> Visitor:
        visitors.append(Visitor(browser, server.url, user, role, **options))
        return visitors[-1]

    yield sign_in
    assert server.cloud.violations == []
    for visitor in visitors:
        visitor.close()
        assert visitor.faults == []
        assert visitor.hosts == {server.url.split("/")[2]}
        assert not [address for address in visitor.addresses if "operator:" in address or "viewer:" in address]
