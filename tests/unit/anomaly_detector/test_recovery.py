"""The end of a group's anomaly, decided by the channels that deviated."""

import numpy as np
import pytest

from edge_components.anomaly_detector.multivariate.recovery import END_ROWS, KNOWN_ROWS, RecoveryDetector

STEADY = np.zeros(3)


def deviation(*distance, rough=(0.0, 0.0, 0.0)):
    return np.array([*distance, *rough], np.float64)


def in_anomaly(usual, rows=40, wander=STEADY):
    """Return a detector after a number of rows with this deviation."""
    detector = RecoveryDetector.empty(3)
    detector.begin(usual)
    assert not any(detector.ended(usual, wander, back=False) for _ in range(rows))
    return detector


def rows_until_end(detector, now, wander=STEADY, back=False):
    return next((row for row in range(1, 60) if detector.ended(now, wander, back)), None)


def test_an_anomaly_ends_when_all_deviating_channels_have_returned():
    assert rows_until_end(in_anomaly(deviation(20, -30, 0)), deviation(0, 0, 0)) == END_ROWS


def test_an_anomaly_continues_while_most_of_the_deviation_remains():
    assert rows_until_end(in_anomaly(deviation(20, -30, 0)), deviation(14, -20, 0)) is None


def test_a_channel_with_a_very_large_deviation_has_the_same_weight_as_others():
    assert rows_until_end(in_anomaly(deviation(1000, -30, 20)), deviation(1000, 0, 0)) == END_ROWS


def test_a_wandering_channel_has_less_weight():
    usual, now = deviation(20, -30, 0), deviation(20, 0, 0)
    assert rows_until_end(in_anomaly(usual), now) is None
    wander = np.array([1.0, 0.0, 0.0])
    assert rows_until_end(in_anomaly(usual, wander=wander), now, wander) == END_ROWS


def test_an_anomaly_of_roughness_alone_ends_with_the_roughness():
    detector = in_anomaly(deviation(0, 0, 0, rough=(0, 15, 0)))
    assert rows_until_end(detector, deviation(0, 0, 0)) == END_ROWS


def test_channels_that_deviate_later_do_not_delay_the_end():
    detector = in_anomaly(deviation(20, -30, 0))
    for row in range(40):
        assert not detector.ended(deviation(20, -30, row), STEADY, back=False)
    assert rows_until_end(detector, deviation(0, 0, 40)) == END_ROWS


def test_a_decrease_within_the_uncertainty_does_not_end_an_anomaly():
    assert rows_until_end(in_anomaly(deviation(3, 0, 0)), deviation(1, 0, 0)) is None


def test_an_anomaly_ends_when_all_channels_are_at_their_previous_level():
    assert rows_until_end(in_anomaly(deviation(3, 0, 0)), deviation(1, 0, 0), back=True) == END_ROWS


@pytest.mark.parametrize(
    ("now", "again"), [(deviation(18, -25, 0), True), (deviation(3, -2, 0), False), (deviation(0, 0, 60), False)]
)
def test_an_anomaly_has_returned_when_more_than_half_of_it_is_present(now, again):
    detector = in_anomaly(deviation(20, -30, 0))
    rows_until_end(detector, deviation(0, 0, 0))
    assert detector.has_returned(now, STEADY) is again


def test_the_second_reference_is_used_after_known_rows():
    detector = RecoveryDetector.empty(3)
    detector.begin(deviation(20, 0, 0))
    for _ in range(KNOWN_ROWS + 20):  # at the end the first channel is at two thirds, the others at zero
        detector.ended(deviation(15, 25, -25), STEADY, back=False)
    assert rows_until_end(detector, deviation(15, 0, 0)) == END_ROWS
