"""The validation of a model from the component's side: start the child, poll it without waiting, return the result.

The child's output goes to a file, so that it cannot block at a full pipe.
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

from edge_components.anomaly_detector.errors import ModelRejectedError, ValidationInterruptedError

VALIDATION_SECONDS = 30.0
MAX_REASON = 500


class Validation(Protocol):
    """A validation in progress."""

    def is_finished(self) -> bool:
        """Return whether the result is known."""

    def wait(self) -> float:
        """Wait for the end; returns and raises as :meth:`outcome`."""

    def outcome(self) -> float:
        """Return the seconds that a call takes.

        Raises ModelRejectedError with the reason, ValidationInterruptedError if the child was asked to stop.
        """

    def cancel(self) -> None:
        """End it and discard the result."""


class ValidationProcess:
    """One child process that validates one manifest's model."""

    def __init__(self, path: Path, seconds: float = VALIDATION_SECONDS) -> None:
        """Start it; raises ModelRejectedError if that fails."""
        self._path, self._seconds, self._end, self._late = path, seconds, time.monotonic() + seconds, False
        command = [sys.executable, "-m", "edge_components.anomaly_detector.model_runtime.validation", str(path)]
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 # closed below
        try:
            self._child = subprocess.Popen(command, stdout=self._output, stderr=self._errors)  # noqa: S603 # ours
        except OSError as error:
            self._close()
            raise ModelRejectedError(f"model of {path}: its validation cannot start: {error}") from error

    def is_finished(self) -> bool:
        """Return whether the result is known; a child that exceeds its time is ended."""
        if self._child.poll() is None and time.monotonic() >= self._end:
            self._child.kill()
            self._child.wait()
            self._late = True
        return self._child.returncode is not None

    def wait(self) -> float:
        """Wait for the end; returns and raises as :meth:`outcome`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(max(0.0, self._end - time.monotonic()))
        self.is_finished()
        return self.outcome()

    def outcome(self) -> float:
        """Return the median seconds of processor time of a call.

        Raises ModelRejectedError with the reason, ValidationInterruptedError if the child was asked to stop: a stop
        of the component signals all of its processes, and its child can end first.
        """
        code = self._child.returncode
        for file in (self._output, self._errors):
            file.seek(0)
        output, errors = self._output.read(4096), self._errors.read()[-8192:].decode(errors="replace")
        self._close()
        if self._late:
            raise ModelRejectedError(f"model of {self._path}: no result in {self._seconds:g} s")
        lines = errors.strip().splitlines() or ["no reason given"]
        # A SIGINT while the interpreter starts ends it with exit code 1 in place of the signal.
        interrupted_at_start = code > 0 and lines[-1].startswith("KeyboardInterrupt")
        if code in (-signal.SIGTERM, -signal.SIGINT) or interrupted_at_start:
            raise ValidationInterruptedError(f"model of {self._path}: its validation was asked to stop")
        if code < 0:
            raise ModelRejectedError(f"model of {self._path}: its validation was killed by signal {-code}")
        if code != 0:
            raise ModelRejectedError(lines[-1][:MAX_REASON])
        try:
            return float(json.loads(output.splitlines()[-1])["call_s"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ModelRejectedError(f"model of {self._path}: its validation printed no result") from error

    def cancel(self) -> None:
        """End the child and discard the result."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._close()

    def _close(self) -> None:
        self._output.close()
        self._errors.close()
