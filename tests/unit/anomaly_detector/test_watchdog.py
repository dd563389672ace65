"""In-flight markers, the time of calls, the watchdog, and the crash log."""

import faulthandler
import logging

import pytest

from edge_components.anomaly_detector.model_runtime import crash_log, in_flight_marker
from edge_components.anomaly_detector.model_runtime.calls import HANG_TIMEOUT_S, MAX_OVERRUN, Calls, Watchdog
from edge_components.anomaly_detector.model_runtime.in_flight_marker import (
    InFlightMarker,
    InterruptedCall,
    read_interrupted,
)
from edge_components.anomaly_detector.model_runtime.watchdog_thread import WatchdogThread
from edge_components.common.loop import EXIT_SOFTWARE


class Processor:
    """Fake processor clock: each call of a model takes the configured time."""

    def __init__(self):
        self.time = self.takes = 0.0

    def __call__(self):
        return self.time

    def run(self, value):
        self.time += self.takes
        return value


def test_an_interrupted_call_is_read_from_the_marker_file(tmp_path):
    marker = InFlightMarker(tmp_path / "marker")
    for _ in range(2 * 3 + 1):
        marker.toggle()
    assert read_interrupted(tmp_path / "marker") == InterruptedCall(3, 0.0)
    marker.record_hang(20.5)
    assert read_interrupted(tmp_path / "marker") == InterruptedCall(3, 20.5)


def test_a_marker_outside_of_a_call_reports_no_interrupted_call(tmp_path):
    marker = InFlightMarker(tmp_path / "marker")
    assert read_interrupted(tmp_path / "marker") is None
    marker.toggle()
    marker.toggle()
    assert read_interrupted(tmp_path / "marker") is None


def test_a_marker_is_reset_by_each_process(tmp_path):
    InFlightMarker(tmp_path / "marker").toggle()
    assert InFlightMarker(tmp_path / "marker").toggles == 0
    assert read_interrupted(tmp_path / "marker") is None


def test_a_marker_of_another_boot_is_ignored(tmp_path, monkeypatch):
    InFlightMarker(tmp_path / "marker").toggle()
    monkeypatch.setattr(in_flight_marker, "_boot", lambda: bytes(range(16)))
    assert read_interrupted(tmp_path / "marker") is None


def test_markers_work_without_a_boot_id(tmp_path, monkeypatch):
    monkeypatch.setattr(in_flight_marker, "_BOOT_ID", tmp_path / "none")
    InFlightMarker(tmp_path / "marker").toggle()
    assert read_interrupted(tmp_path / "marker") == InterruptedCall(0, 0.0)


@pytest.mark.parametrize("content", [None, b"", bytes(31), b"\x01" * 33])
def test_an_invalid_marker_file_is_ignored(tmp_path, content):
    if content is not None:
        (tmp_path / "marker").write_bytes(content)
    assert read_interrupted(tmp_path / "marker") is None


def test_a_marker_without_a_file_counts_calls():
    marker = InFlightMarker()
    marker.toggle()
    assert marker.toggles == 1


def test_calls_are_marked_until_they_return_or_raise(tmp_path):
    calls = Calls("m", 0.05, InFlightMarker(tmp_path / "marker"))
    assert calls.make(lambda: read_interrupted(tmp_path / "marker")) == InterruptedCall(0, 0.0)
    with pytest.raises(ZeroDivisionError):
        calls.make(lambda: 1 / 0)
    assert read_interrupted(tmp_path / "marker") is None
    assert (calls.made, calls.marker.toggles) == (2, 4)


def test_calls_are_too_slow_after_repeated_overruns():
    cpu = Processor()
    calls = Calls("m", 0.05, cpu=cpu)
    cpu.takes = 0.06
    made = 0
    while not calls.too_slow:
        calls.make(cpu.run, 1)
        made += 1
    assert made == pytest.approx(MAX_OVERRUN * 0.05 / 0.01, abs=1)
    assert calls.slow == made


def test_occasional_slow_calls_are_tolerated():
    cpu = Processor()
    calls = Calls("m", 0.05, cpu=cpu)
    for k in range(1000):
        cpu.takes = 0.4 if k % 10 == 0 else 0.005
        calls.make(cpu.run, 1)
    assert (calls.slow, calls.too_slow) == (100, False)


def test_one_extremely_slow_call_is_too_slow():
    cpu = Processor()
    calls = Calls("m", 0.05, cpu=cpu)
    cpu.takes = 5.0
    calls.make(cpu.run, 1)
    assert calls.too_slow


def check_until(watchdog, seconds):
    """Check once a second; return the first hanging calls, and the second."""
    for second in range(seconds):
        if (found := watchdog.check(1.0)) is not None:
            return found, second
    return None, seconds


def test_a_hanging_call_is_detected_and_recorded(tmp_path):
    watchdog = Watchdog()
    calls = Calls("m", 0.05, InFlightMarker(tmp_path / "marker"), watchdog)
    calls.make(lambda: None)
    found, second = calls.make(check_until, watchdog, 1000)
    assert found is calls
    assert second == HANG_TIMEOUT_S
    calls.marker.toggle()  # odd again, as during the call
    found = read_interrupted(tmp_path / "marker")
    assert found is not None
    assert found.hung_s == HANG_TIMEOUT_S


def test_the_hang_timeout_grows_with_the_allowed_time():
    watchdog = Watchdog()
    calls = Calls("m", 10.0, watchdog=watchdog)
    assert calls.make(check_until, watchdog, 1000) == (calls, 100)


def test_short_calls_and_pauses_do_not_count_as_hanging():
    watchdog = Watchdog()
    calls = Calls("m", 0.05, watchdog=watchdog)
    assert check_until(watchdog, 30) == (None, 30)
    for _ in range(100):
        assert calls.make(watchdog.check, 15.0) is None
        assert watchdog.check(15.0) is None
    assert check_until(watchdog, 1000) == (None, 1000)


def test_a_call_of_another_model_restarts_the_timeout():
    watchdog = Watchdog()
    one, other = (Calls(name, 0.05, watchdog=watchdog) for name in ("one", "other"))
    assert one.make(check_until, watchdog, 15) == (None, 15)
    assert other.make(check_until, watchdog, 15) == (None, 15)


def test_the_thread_logs_the_hanging_model_and_ends_the_process(caplog):
    codes = []
    watchdog = Watchdog()
    calls = Calls("model a of group b", 0.0, watchdog=watchdog)
    for _ in range(41):
        calls.make(lambda: None)
    thread = WatchdogThread(watchdog, logging.getLogger("strandline.test"), 0.001, codes.append)
    watchdog.check = lambda seconds: calls  # the timeout is covered by other tests
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert codes == [EXIT_SOFTWARE]
    assert "model a of group b hangs for more than 20 s in its call 42" in caplog.text


def test_the_thread_can_be_stopped():
    thread = WatchdogThread(Watchdog(), logging.getLogger("strandline.test"), 60.0)
    thread.start()
    thread.stop()
    assert not thread.is_alive()


@pytest.fixture
def handlers(monkeypatch):
    """The files passed to the fault handler, which is not changed in the tests' own process."""
    files = []
    monkeypatch.setattr(faulthandler, "enable", lambda file=None, all_threads=True: files.append(file))
    yield files
    for file in files:
        if file is not None:
            file.close()


def test_the_crash_log_is_read_once_and_restarted(tmp_path, handlers, caplog):
    log, path = logging.getLogger("strandline.test"), tmp_path / "crash_log.txt"
    assert crash_log.begin(path, log) == ""
    path.write_bytes(b"Fatal Python error: Aborted\n\nCurrent thread 0x7 \xff:\n  File ...\n")
    assert crash_log.begin(path, log) == "Fatal Python error: Aborted"
    assert "the process before this one crashed" in caplog.text
    assert crash_log.begin(path, log) == ""
    assert len(handlers) == 3


def test_crashes_go_to_standard_error_if_the_disk_is_not_writable(tmp_path, handlers, caplog):
    assert crash_log.begin(tmp_path, logging.getLogger("strandline.test")) == ""
    assert handlers == [None]
    assert "a crash is logged to standard error only" in caplog.text
