"""The anomaly detector on fakes: forwarding, retransmission, reports, saved state and rejected input."""

import io
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge_components.anomaly_detector import config as config_module
from edge_components.anomaly_detector import state_file
from edge_components.anomaly_detector.component import STATE, AnomalyDetector
from edge_components.anomaly_detector.config import Config
from edge_components.anomaly_detector.univariate.forecaster import plain_forecast
from edge_components.common import aggregates_message, batch_message
from edge_components.common.config import load, table
from edge_components.common.errors import BusError
from tests.fakes import fake_runtime
from wire import topics
from wire.acknowledgement import Acknowledgement
from wire.model import Aggregates, Anomalies, Batch, Notice, Phase, Readings, Series

CONFIG = load(Config, {"calibration_windows": 20})
SERIES = (Series("a.x", "V", 0.01), Series("a.y", "A", 0.01))
READINGS = Readings(SERIES, np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1), np.zeros(1, np.uint8))
HERE = Path(config_module.__file__).parent


def batch(second, values, epoch=7, sequence=None, gateway="gw-test", count=5):
    """A batch of one window: one row for each value that is not None."""
    rows = [k for k, value in enumerate(values) if value is not None]
    mean = np.array([float(values[k]) for k in rows])
    n, index = len(rows), np.array(rows, np.int64)
    start = np.full(n, 1_700_000_000_000 + 1000 * second)
    aggregates = Aggregates(
        SERIES,
        index,
        start,
        np.full(n, 1000),
        np.full(n, count),
        mean,
        mean - 0.1,
        mean + 0.1,
        np.full(n, 0.05),
        np.full(n, np.nan),
    )
    return batch_message.encode(Batch(gateway, epoch, sequence or second + 1, aggregates))


class Bench:
    """A detector on fakes."""

    def __init__(self, work, config=CONFIG):
        self.runtime, self.bus, self.clock = fake_runtime(work)
        self.detector = AnomalyDetector(config, self.runtime, plain_forecast)
        self.detector.start()

    def send(self, payload):
        self.bus.deliver(topics.AGGREGATES, payload)
        self.detector.tick()

    def scored(self):
        return [b for b in map(aggregates_message.decode, self.bus.on(topics.SCORED)) if isinstance(b.rows, Aggregates)]

    def anomaly_batches(self):
        return [b for b in map(aggregates_message.decode, self.bus.on(topics.SCORED)) if isinstance(b.rows, Anomalies)]

    def reports(self):
        return [report for b in self.anomaly_batches() for report in b.rows.reports]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def normal(second):
    rng = np.random.default_rng(second)
    return [10 + rng.normal(0, 0.1), 3 + rng.normal(0, 0.1)]


def run(bench, seconds):
    for second in seconds:
        bench.send(batch(second, normal(second)))


def test_batches_are_forwarded_unscored_until_the_series_are_calibrated(bench):
    run(bench, range(22))
    answers = bench.scored()
    assert [(b.gateway, b.epoch, b.sequence) for b in answers] == [("gw-test", 7, s + 1) for s in range(22)]
    assert all(np.isnan(b.rows.score).all() for b in answers[:20])
    assert all((b.rows.score >= 0).all() for b in answers[20:])
    sent = aggregates_message.decode(batch(3, normal(3))).rows
    assert isinstance(sent, Aggregates)
    assert answers[3].rows.mean == pytest.approx(sent.mean)


def test_a_repeated_batch_is_answered_from_the_cache_and_not_scored_again(bench):
    run(bench, range(25))
    once = bench.bus.on(topics.SCORED)[-1]
    before = {name: array.copy() for name, array in bench.detector._scoring.ensemble.state().items()}
    bench.send(batch(24, normal(24)))
    assert bench.bus.on(topics.SCORED)[-1] == once
    after = bench.detector._scoring.ensemble.state()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    assert bench.runtime.counters["batches_repeated"] == 1


def revised(second, values, sequence):
    """Return a batch of rows that include late readings."""
    found = aggregates_message.decode(batch(second, values, sequence=sequence))
    assert isinstance(found.rows, Aggregates)
    rows = replace(found.rows, revision=np.ones(len(found.rows), np.int64))
    return aggregates_message.encode(replace(found, rows=rows))


def test_a_batch_of_late_readings_is_forwarded_unscored(bench):
    run(bench, range(25))
    before = {name: array.copy() for name, array in bench.detector._scoring.ensemble.state().items()}
    late = revised(10, [900.0, -900.0], sequence=26)
    bench.send(late)
    assert bench.bus.on(topics.SCORED)[-1] == late
    after = bench.detector._scoring.ensemble.state()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    assert bench.reports() == []


def test_late_rows_among_live_ones_are_not_scored(bench):
    run(bench, range(25))
    found = aggregates_message.decode(batch(25, [10.0, 900.0], sequence=26))
    assert isinstance(found.rows, Aggregates)
    mixed = replace(found, rows=replace(found.rows, revision=np.array([0, 2])))
    bench.send(aggregates_message.encode(mixed))
    rows = bench.scored()[-1].rows
    assert np.isfinite(rows.score[0])
    assert np.isnan(rows.score[1])
    assert rows.revision.tolist() == [0, 2]
    assert bench.reports() == []


@pytest.mark.parametrize("scored", [False, True])
def test_a_series_of_statistics_is_scored_only_if_that_is_configured(tmp_path, scored):
    bench = Bench(tmp_path, load(Config, {"calibration_windows": 20, "score_statistics": scored}))
    series = (SERIES[0], Series("a.x:p95", "V", 0.01))
    for second in range(26):
        found = aggregates_message.decode(batch(second, normal(second)))
        assert isinstance(found.rows, Aggregates)
        bench.send(aggregates_message.encode(replace(found, rows=replace(found.rows, series=series))))
    rows = bench.scored()[-1].rows
    assert np.isfinite(rows.score[0])
    assert np.isfinite(rows.score[1]) == scored
    assert bench.detector._scoring.names == (["a.x", "a.x:p95"] if scored else ["a.x"])


def test_a_step_is_reported_with_cause_expected_value_and_unit(bench):
    run(bench, range(30))
    bench.send(batch(30, [20.0, normal(30)[1]]))
    (onset,) = bench.reports()
    assert (onset.series, onset.phase, onset.unit, onset.direction) == ("a.x", Phase.ONSET, "V", "up")
    assert onset.onset_ms == 1_700_000_030_000
    assert onset.time_ms == 1_700_000_031_000
    assert onset.score >= 1
    assert onset.causes[onset.cause] >= 1
    assert onset.lower < onset.expected < onset.upper < onset.observed
    assert onset.expected == pytest.approx(10, abs=0.5)


def test_an_anomaly_ends_after_end_windows_and_keeps_its_onset(bench):
    run(bench, range(30))
    bench.send(batch(30, [20.0, 3.0]))
    run(bench, range(31, 60))
    phases = [(r.series, r.onset_ms, r.phase) for r in bench.reports() if r.phase is not Phase.UPDATE]
    assert phases == [("a.x", 1_700_000_030_000, Phase.ONSET), ("a.x", 1_700_000_030_000, Phase.END)]


def test_a_silent_series_is_reported_as_a_gap_when_other_series_advance(bench):
    run(bench, range(30))
    for second in range(30, 40):
        bench.send(batch(second, [normal(second)[0], None]))
    (onset,) = [report for report in bench.reports() if report.phase is Phase.ONSET]
    assert (onset.series, onset.cause, onset.direction) == ("a.y", "gap", "silent")


def test_rows_without_readings_count_as_missing_windows(bench):
    run(bench, range(30))
    for second in range(30, 40):
        payload = aggregates_message.decode(batch(second, [normal(second)[0], np.nan]))
        assert isinstance(payload.rows, Aggregates)
        payload.rows.count[1] = 0
        bench.send(batch_message.encode(payload))
    assert [(r.series, r.cause) for r in bench.reports() if r.phase is Phase.ONSET] == [("a.y", "gap")]
    assert np.isnan(bench.scored()[-1].rows.score[1])


def test_anomalies_are_retransmitted_until_their_epoch_is_acknowledged(bench):
    run(bench, range(30))
    bench.send(batch(30, [20.0, 3.0]))
    (mine,) = bench.anomaly_batches()
    bench.bus.deliver(topics.SCORED_ACK, Acknowledgement(7, 99).encode())
    bench.clock.advance(5)
    bench.detector.tick()
    assert len(bench.anomaly_batches()) == 2
    bench.bus.deliver(topics.SCORED_ACK, Acknowledgement(mine.epoch, mine.sequence).encode())
    bench.clock.advance(300)
    bench.detector.tick()
    assert len(bench.anomaly_batches()) == 2


def test_calibration_survives_a_restart(bench, tmp_path):
    run(bench, range(25))
    bench.detector.close()
    again = Bench(tmp_path)
    again.send(batch(25, normal(25)))
    bench.send(batch(25, normal(25)))
    assert np.isfinite(again.scored()[-1].rows.score).all()
    assert np.array_equal(again.scored()[-1].rows.score, bench.scored()[-1].rows.score)


def test_the_calibration_is_saved_when_it_changed_and_at_most_every_ten_minutes(bench, tmp_path):
    file = tmp_path / STATE
    bench.clock.advance(601)
    bench.detector.tick()
    assert not file.exists(), "nothing was scored"
    bench.send(batch(0, normal(0)))
    first = file.stat().st_mtime_ns, file.stat().st_ino
    bench.clock.advance(599)
    bench.send(batch(1, normal(1)))
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == first
    assert bench.detector.tick() == pytest.approx(1.0)
    bench.clock.advance(1)
    bench.detector.tick()
    assert file.stat().st_ino != first[1]


def test_uncompressed_state_of_an_earlier_version_is_restored(bench, tmp_path):
    run(bench, range(25))
    names, state = bench.detector._scoring.names, bench.detector._scoring.state()
    packed = io.BytesIO()
    text = np.frombuffer(json.dumps(names).encode(), np.uint8)
    np.savez(packed, series_names=text, **state)
    crc = zlib.crc32(packed.getvalue()).to_bytes(4, "little")
    (tmp_path / STATE).write_bytes(packed.getvalue() + crc)
    before = state_file.read(tmp_path / STATE)
    state_file.save(tmp_path / STATE, names, state)
    assert (tmp_path / STATE).stat().st_size < len(packed.getvalue()) / 3
    after = state_file.read(tmp_path / STATE)
    assert before is not None
    assert after is not None
    assert before[0] == after[0] == names
    assert all(np.array_equal(before[1][name], after[1][name], equal_nan=True) for name in before[1])


@pytest.mark.parametrize("damage", [b"", b"SLZ1 no deflated bytes", b"PK\x03\x04 no archive", None])
def test_damaged_state_is_rejected_and_calibration_restarts(bench, tmp_path, damage):
    run(bench, range(25))
    bench.detector.close()
    file = tmp_path / STATE
    file.write_bytes(file.read_bytes()[:-200] if damage is None else damage)
    again = Bench(tmp_path)
    again.send(batch(25, normal(25)))
    assert again.runtime.counters["state_rejected"] == 1
    assert np.isnan(again.scored()[-1].rows.score).all()


def test_state_of_another_calibration_length_is_rejected(bench, tmp_path):
    run(bench, range(25))
    bench.detector.close()
    again = Bench(tmp_path, load(Config, {"calibration_windows": 30}))
    assert again.runtime.counters["state_rejected"] == 1


@pytest.mark.parametrize(
    ("payload", "counter"),
    [
        (b"rubbish", "batches_unreadable"),
        (batch(1, [1, 2], gateway="gw-other"), "batches_foreign"),
    ],
)
def test_invalid_batches_are_counted_and_do_not_affect_valid_ones(bench, payload, counter):
    bench.send(payload)
    bench.send(batch(1, normal(1)))
    assert bench.runtime.counters[counter] == 1
    assert len(bench.bus.on(topics.SCORED)) == 1


@pytest.mark.parametrize("rows", [Notice(1, {}), READINGS])
def test_a_batch_of_an_unexpected_kind_is_passed_to_the_forwarder_and_counted(bench, rows):
    payload = batch_message.encode(Batch("gw-test", 1, 1, rows))
    bench.send(payload)
    assert bench.runtime.counters["batches_unexpected"] == 1
    assert bench.bus.on(topics.SCORED) == [payload]


def test_rows_are_forwarded_unscored_if_scoring_fails(bench, monkeypatch):
    monkeypatch.setattr(bench.detector._scoring, "score", lambda rows: 1 / 0)
    payload = batch(1, normal(1))
    bench.send(payload)
    assert bench.bus.on(topics.SCORED) == [payload]
    assert bench.runtime.counters["scoring_failed"] == 1


def test_a_batch_whose_publication_failed_is_answered_when_it_is_retransmitted(bench):
    bench.bus.failure = BusError("not now")
    bench.send(batch(1, normal(1)))
    bench.bus.failure = None
    bench.send(batch(1, normal(1)))
    assert len(bench.scored()) == 1
    assert bench.runtime.counters["publish_failed"] == 1


def test_late_and_repeated_windows_are_not_scored(bench):
    run(bench, range(25))
    bench.send(batch(20, normal(20), sequence=900))
    assert np.isnan(bench.scored()[-1].rows.score).all()


def test_series_above_the_limit_are_not_scored(tmp_path):
    bench = Bench(tmp_path, load(Config, {"calibration_windows": 20, "max_series": 1}))
    run(bench, range(25))
    assert np.isfinite(bench.scored()[-1].rows.score).tolist() == [True, False]


def one_series(name, second, value, sequence):
    row = (np.array([value]), np.array([value - 0.1]), np.array([value + 0.1]), np.array([0.05]), np.array([np.nan]))
    start, width = np.array([1_700_000_000_000 + 1000 * second]), np.array([1000])
    rows = Aggregates((Series(name, "V", 0.01),), np.zeros(1, np.int64), start, width, np.array([5]), *row)
    return batch_message.encode(Batch("gw-test", 8, sequence, rows))


@pytest.mark.slow
def test_a_new_series_replaces_a_silent_one_whose_anomaly_ends(tmp_path):
    bench = Bench(tmp_path, load(Config, {"calibration_windows": 20, "max_series": 2}))
    run(bench, range(30))
    for second in range(30, 50):  # a.y is silent: a gap
        bench.send(batch(second, [normal(second)[0], None]))
    assert (bench.reports()[0].series, bench.reports()[0].phase) == ("a.y", Phase.ONSET)
    rng = np.random.default_rng(1)
    for number, second in enumerate(range(50, 85), 1):
        bench.send(one_series("b.z", second, 5 + rng.normal(0, 0.1), number))
        bench.send(batch(second, [normal(second)[0], None]))
    assert bench.runtime.counters["series_forgotten"] == 1
    assert bench.detector._scoring.names == ["a.x", "b.z"]
    ends = [r for r in bench.reports() if r.phase is Phase.END]
    assert [(r.series, r.cause) for r in ends] == [("a.y", "gap")]
    last = [b for b in bench.scored() if b.epoch == 8][-1]
    assert np.isfinite(last.rows.score).all(), "the new one is calibrated from its own windows"
    bench.detector.close()
    again = Bench(tmp_path, load(Config, {"calibration_windows": 20, "max_series": 2}))
    assert again.runtime.counters["state_rejected"] == 0
    assert again.detector._scoring.names == ["a.x", "b.z"]


def test_series_that_are_not_silent_are_not_replaced(tmp_path):
    bench = Bench(tmp_path, load(Config, {"calibration_windows": 20, "max_series": 2}))
    run(bench, range(30))
    for number, second in enumerate(range(30, 50), 1):
        bench.send(batch(second, normal(second)))
        bench.send(one_series("b.z", second, 5.0, number))
    assert bench.detector._scoring.names == ["a.x", "a.y"]
    assert bench.runtime.counters["series_forgotten"] == 0


def test_a_configuration_update_keeps_the_calibration_unless_its_length_changes(bench):
    run(bench, range(25))
    bench.detector.reconfigure(load(Config, {"calibration_windows": 20, "end_windows": 9}))
    bench.send(batch(25, normal(25)))
    assert np.isfinite(bench.scored()[-1].rows.score).all()
    bench.detector.reconfigure(load(Config, {"calibration_windows": 30}))
    bench.send(batch(26, normal(26)))
    assert np.isnan(bench.scored()[-1].rows.score).all()


def test_the_readme_has_the_table_of_the_configuration():
    text = (HERE / "README.md").read_text()
    assert text.split("<!-- config -->\n")[1].split("<!-- /config -->")[0] == table(Config)


def test_the_recipe_has_every_key_with_its_default():
    recipe = yaml.safe_load((HERE.parents[1] / "recipes/io.strandline.AnomalyDetector.yaml").read_text())
    values = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    assert set(values) - {"accessControl"} == set(Config.__dataclass_fields__)
    assert load(Config, values) == Config()


def grouped(**changes):
    return load(Config, {"calibration_windows": 20, "group_windows": 120, **changes})


@pytest.mark.slow
def test_a_group_is_restored_after_a_restart_and_reports_an_anomaly(tmp_path):
    before = Bench(tmp_path, grouped())
    run(before, range(125))
    before.detector.close()
    after = Bench(tmp_path, grouped())
    for second in range(125, 145):
        values = normal(second)
        after.send(batch(second, [values[0] + 3.0, values[1]]))
    told = [report for report in after.reports() if report.series == "a.joint"]
    assert [(report.cause, report.channel) for report in told][:1] == [("joint", "a.x")]


@pytest.mark.slow
def test_changed_groups_are_calibrated_again_and_series_keep_their_calibration(tmp_path):
    before = Bench(tmp_path, grouped())
    run(before, range(125))
    before.detector.close()
    after = Bench(tmp_path, grouped(groups={"*": "all"}))
    run(after, range(125, 130))
    assert np.isfinite([b.rows.score for b in after.scored()]).all()
    assert after.runtime.counters["state_rejected"] == 0


def test_a_configuration_update_of_the_groups_keeps_the_calibration_of_the_series(tmp_path):
    bench = Bench(tmp_path, grouped())
    run(bench, range(60))
    bench.detector.reconfigure(grouped(group_windows=0))
    run(bench, range(60, 62))
    assert np.isfinite(bench.scored()[-1].rows.score).all()


def test_missing_acknowledgements_renew_their_subscription(bench):
    bench.bus.subscriptions[topics.SCORED_ACK][0].lost = True
    run(bench, range(30))
    bench.send(batch(30, [30.0, 3.0]))
    assert bench.anomaly_batches()
    for _ in range(40):
        bench.clock.advance(1.0)
        bench.detector.tick()
    assert bench.bus.subscriptions[topics.SCORED_ACK][0].renewals
    assert bench.runtime.counters["batches_sent_again"] >= 3


def test_a_subscription_to_aggregates_without_messages_is_renewed(bench):
    assert bench.bus.subscriptions[topics.AGGREGATES][0].expects_traffic


def test_an_idle_detector_schedules_the_next_call_for_when_something_is_due(bench):
    assert bench.detector.tick() >= 1.0
