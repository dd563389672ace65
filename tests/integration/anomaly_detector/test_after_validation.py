"""Models that pass their trial and end the process later: real models, real processes that end, and the next start."""

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
        timeout=60,
        check=False,
    )
    told = {}
    for line in done.stdout.splitlines():
        told |= json.loads(line)
    return done.returncode, told, done.stderr


@pytest.mark.parametrize(
    ("how", "code", "counter", "reason"),
    [
        ("still", EXIT_SOFTWARE, "models_hung", "a call hung after"),
        ("abort", -signal.SIGABRT, "models_crashed", "Fatal Python error: Aborted"),
    ],
)
def test_a_model_that_ends_the_process_long_after_its_trial_does_so_once(tmp_path, how, code, counter, reason):
    ended, told, log = process(tmp_path, how)
    assert ended == code, log
    assert told["before"]["pump"]["version"] == "0.2.0"
    assert told["before"]["pump"]["state"] == "live"
    assert "after" not in told
    if how == "still":
        assert "model pump-autoencoder 0.2.0 of group pump hangs for more than 0.5 s in its call" in log
    ended, told, log = process(tmp_path, "again")
    assert ended == 0, log
    models = told["after"]["models"]
    assert (models["live"]["pump"]["version"], models["live"]["pump"]["state"]) == ("0.1.0", "live")
    assert models["live"]["pump"]["windows"] > 0
    assert reason in models["refused"]["pump 0.2.0"]
    assert (told["counters"][counter], told["counters"]["model_refused"]) == (1, 1)
    assert told["after"]["forecaster"]["by"] == "model linear-forecaster"


def test_a_process_that_is_killed_in_a_model_s_call_takes_the_model_for_innocent_once(tmp_path):
    assert process(tmp_path, "kill")[0] == -signal.SIGKILL
    ended, told, log = process(tmp_path, "again")
    assert told["before"]["pump"]["version"] == "0.2.0"
    assert told["before"]["pump"]["state"] == "in its first calls"
    assert ended == EXIT_SOFTWARE, log  # the data on which it hangs have come again
