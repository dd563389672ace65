"""A commit is due when a sender is blocked, enough bytes wait, or enough time has passed."""

from __future__ import annotations

import pytest

from edge_components.common.journal import CommitPolicy

POLICY = CommitPolicy(commit_s=2.0, max_bytes=100)


@pytest.mark.parametrize(
    ("now", "waiting_bytes", "blocked", "due"),
    [
        (10.0, 0, False, False),
        (11.9, 99, False, False),
        (12.0, 1, False, True),
        (10.0, 100, False, True),
        (10.0, 1, True, True),
        (12.0, 100, True, True),
    ],
)
def test_a_block_enough_bytes_or_enough_time_make_a_commit_due(
    now: float, waiting_bytes: int, blocked: bool, due: bool
) -> None:
    assert POLICY.due(now, 10.0, waiting_bytes, blocked) is due


def test_nothing_is_due_without_an_uncommitted_record() -> None:
    assert not POLICY.due(1e9, None, 1_000, blocked=True)
    assert POLICY.wait_s(1e9, None) is None


def test_the_wait_ends_when_the_oldest_record_reaches_its_time() -> None:
    assert [POLICY.wait_s(now, 10.0) for now in (10.0, 11.5, 12.0, 99.0)] == [2.0, 0.5, 0.0, 0.0]


def test_the_default_commits_every_five_seconds_or_64_kib() -> None:
    assert CommitPolicy() == CommitPolicy(commit_s=5.0, max_bytes=65_536)
