"""A trial, from the side of the component: starts the child, looks after it without waiting, and says what came of it.

The child's output goes to a file, so that it can never stand still at a full pipe.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

from edge_components.anomaly_detector.errors import ModelRefusedError, TrialInterruptedError

TRIAL_SECONDS = 30.0
LONGEST_REASON = 500


class Trying(Protocol):
    """A trial that goes on."""

    def over(self) -> bool:
        """Return whether the outcome is known."""

    def wait(self) -> float:
        """Wait for the end; returns and raises as :meth:`outcome`."""

    def outcome(self) -> float:
        """Return the seconds that a call takes.

        Raises ModelRefusedError with what is wrong, TrialInterruptedError where the child was asked to stop.
        """

    def abandon(self) -> None:
        """End it; nothing more is wanted of it."""


class Trial:
    """One child that tries one manifest's model."""

    def __init__(self, path: Path, seconds: float = TRIAL_SECONDS) -> None:
        """Start it; raises ModelRefusedError where that cannot be done."""
        self._path, self._seconds, self._end, self._late = path, seconds, time.monotonic() + seconds, False
        command = [sys.executable, "-m", "edge_components.anomaly_detector.model_runtime.validation", str(path)]
        self._said, self._complained = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 # closed below
        try:
            self._child = subprocess.Popen(command, stdout=self._said, stderr=self._complained)  # noqa: S603 # ours
        except OSError as error:
            self._close()
            raise ModelRefusedError(f"model of {path}: no trial: {error}") from error

    def over(self) -> bool:
        """Return whether the outcome is known; a child that takes too long is ended."""
        if self._child.poll() is None and time.monotonic() >= self._end:
            self._child.kill()
            self._child.wait()
            self._late = True
        return self._child.returncode is not None

    def wait(self) -> float:
        """Wait for the end; returns and raises as :meth:`outcome`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(max(0.0, self._end - time.monotonic()))
        self.over()
        return self.outcome()

    def outcome(self) -> float:
        """Return the median seconds of processor time of a call.

        Raises ModelRefusedError with what is wrong, TrialInterruptedError where the child was asked to stop: a stop of
        the component signals all of its processes, and its child can end first.
        """
        code = self._child.returncode
        for file in (self._said, self._complained):
            file.seek(0)
        said, complained = self._said.read(4096), self._complained.read()[-8192:].decode(errors="replace")
        self._close()
        if self._late:
            raise ModelRefusedError(f"model of {self._path}: no answer in {self._seconds:g} s")
        lines = complained.strip().splitlines() or ["no reason given"]
        # A SIGINT while the interpreter starts ends it with exit code 1 in place of the signal.
        interrupted_at_start = code > 0 and lines[-1].startswith("KeyboardInterrupt")
        if code in (-signal.SIGTERM, -signal.SIGINT) or interrupted_at_start:
            raise TrialInterruptedError(f"model of {self._path}: its validation was asked to stop")
        if code < 0:
            raise ModelRefusedError(f"model of {self._path}: the trial was killed by signal {-code}")
        if code != 0:
            raise ModelRefusedError(lines[-1][:LONGEST_REASON])
        try:
            return float(json.loads(said.splitlines()[-1])["call_s"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ModelRefusedError(f"model of {self._path}: the trial said nothing that can be read") from error

    def abandon(self) -> None:
        """End the child; nothing more is wanted of it."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._close()

    def _close(self) -> None:
        self._said.close()
        self._complained.close()
