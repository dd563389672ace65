"""Estimated arrival times of publications that were read together."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_components.sensor_reader.arrival_times import FARTHEST_MS, before_ms


def test_publications_of_one_topic_arrive_evenly_in_the_pause_before_the_read() -> None:
    assert before_ms([b"a"] * 5, 250.0) == [200, 150, 100, 50, 0]


def test_one_publication_each_has_the_time_of_the_read() -> None:
    """Topics of one device often belong to one moment, which must not be divided between two windows."""
    assert before_ms([b"a", b"b", b"c"], 250.0) == [0, 0, 0]


def test_several_topics_with_equal_numbers_have_equal_times() -> None:
    assert before_ms([b"a", b"b", b"a", b"b"], 100.0) == [50, 50, 0, 0]


def test_publications_of_one_topic_are_a_millisecond_apart_without_a_pause() -> None:
    assert before_ms([b"a", b"b", b"a", b"a"], 0.0) == [2, 0, 1, 0]


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=300), st.floats(0, 400))
def test_times_of_a_topic_increase_and_are_in_the_pause(topics: list[bytes], unread_ms: float) -> None:
    found = before_ms(topics, unread_ms)
    assert len(found) == len(topics)
    assert all(0 <= one <= max(unread_ms, len(topics)) for one in found)
    for topic in set(topics):
        own = [one for one, other in zip(found, topics, strict=True) if other == topic]
        assert own[-1] == 0
        assert all(earlier > later for earlier, later in pairwise(own))
    assert max(found, default=0) <= FARTHEST_MS
