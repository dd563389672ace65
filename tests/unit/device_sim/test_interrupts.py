"""Tests of the end of a run by a signal: one exception, at a moment at which no started process is lost."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from device_sim.interrupts import InterruptedRunError, Interrupts, uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_no_later_one_does(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interrupts():
        with pytest.raises(InterruptedRunError, match=number.name) as caught:
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_once_held_no_signal_interrupts() -> None:
    with Interrupts() as interrupts:
        interrupts.hold()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_while_a_process_is_started_interrupts_afterwards() -> None:
    started = []

    def start() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGINT)
            started.append("process")

    with Interrupts():
        with pytest.raises(InterruptedRunError, match="SIGTERM") as caught:
            start()
        assert caught.value.exit_code == 128 + signal.SIGTERM
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
    assert started == ["process"]


def test_without_a_signal_and_outside_a_run_nothing_is_raised() -> None:
    with uninterrupted():
        pass
    with Interrupts(), uninterrupted():
        pass


def test_a_start_on_another_thread_does_not_defer_the_main_threads_signal() -> None:
    inside, end = threading.Event(), threading.Event()

    def start() -> None:
        with uninterrupted():
            inside.set()
            end.wait(5)

    thread = threading.Thread(target=start)
    thread.start()
    inside.wait(5)
    try:
        with Interrupts(), pytest.raises(InterruptedRunError):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        end.set()
        thread.join()
