"""Models that pass their validation and end the process later, with real models and processes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_components.common.loop import EXIT_SOFTWARE

REPO = Path(__file__).parents[3]


def process(folder, how):
    """Return the exit code, what a process of :mod:`ending` printed, and its log."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.anomaly_detector.ending", str(folder), how],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    printed = {}
    for line in done.stdout.splitlines():
        printed |= json.loads(line)
    return done.returncode, printed, done.stderr


@pytest.mark.parametrize(
    ("how", "code", "counter", "reason"),
    [
        ("hang", EXIT_SOFTWARE, "models_hung", "a call hung after"),
        ("abort", -signal.SIGABRT, "models_crashed", "Fatal Python error: Aborted"),
    ],
)
def test_a_model_that_ends_the_process_is_rejected_at_the_next_start(tmp_path, how, code, counter, reason):
    ended, printed, log = process(tmp_path, how)
    assert ended == code, log
    assert printed["before"]["pump"]["version"] == "0.2.0"
    assert printed["before"]["pump"]["state"] == "live"
    assert "after" not in printed
    if how == "hang":
        assert "model pump-autoencoder 0.2.0 of group pump hangs for more than 0.5 s in its call" in log
    ended, printed, log = process(tmp_path, "again")
    assert ended == 0, log
    models = printed["after"]["models"]
    assert (models["live"]["pump"]["version"], models["live"]["pump"]["state"]) == ("0.1.0", "live")
    assert models["live"]["pump"]["windows"] > 0
    assert reason in models["rejected"]["pump 0.2.0"]
    assert (printed["counters"][counter], printed["counters"]["models_rejected"]) == (1, 1)
    assert printed["after"]["forecaster"]["by"] == "model linear-forecaster"


def test_a_model_is_not_rejected_after_the_first_process_that_was_killed_in_its_call(tmp_path):
    assert process(tmp_path, "kill")[0] == -signal.SIGKILL
    ended, printed, log = process(tmp_path, "again")
    assert printed["before"]["pump"]["version"] == "0.2.0"
    assert printed["before"]["pump"]["state"] == "in its first calls"
    assert ended == EXIT_SOFTWARE, log  # the input on which it hangs was sent again
