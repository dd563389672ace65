"""Exit codes of the commands, for the help and for the reference."""

from __future__ import annotations

from collections.abc import Mapping

EXIT_CODES: Mapping[int, str] = {
    0: "success",
    1: "failure; one sentence on standard error gives the reason",
    2: "invalid arguments",
    130: "ended by Ctrl-C (SIGINT)",
    143: "ended by SIGTERM",
}
"""Meaning of the exit codes of every command."""

COMMAND_CODES: Mapping[str, Mapping[int, str]] = {
    "chaos": {1: "a reading was lost or counted twice, or the run failed"},
    "deadletters redrive": {1: "a dead letter could not be sent"},
    "demo": {1: "data was lost, duplicated or changed, or the demo failed"},
    "deployment create": {1: "the deployment failed, or had not ended after --wait seconds"},
    "doctor": {1: "a finding is an error", 3: "with --strict, a finding is a warning and none is an error"},
    "erase": {1: "a compaction is writing a file that must be rewritten: run the command again"},
    "gateway run": {1: "the nucleus could not start"},
    "source learn": {1: "no payload format reads any topic"},
    "source test": {1: "there was not a reading within --seconds"},
    "source try": {1: "the payload has no reading"},
    "up": {0: "the duration has passed, or Ctrl-C or SIGTERM, which are its regular end"},
}
"""Meaning of the exit codes that a command uses in a way of its own, by the words of the command."""


def command_codes(words: str) -> str:
    """Return the exit codes of a command as a sentence, empty for one without codes of its own."""
    codes = COMMAND_CODES.get(words, {})
    return "; ".join(f"{code}: {meaning}" for code, meaning in codes.items())
