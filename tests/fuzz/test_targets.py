"""Parsers raise only the package's errors for any input, in bounded time and memory."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_components.sensor_reader.mapping.settings import format_names
from tests.fuzz import run
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.targets import FORMAT_SEEDS, TARGETS, Target

BY_NAME = {target.name: target for target in TARGETS}
EACH = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
MAX_SECONDS = 5.0
MAX_BYTES = 200_000_000
MAX_ERROR_CHARACTERS = 20_000


def read(target: Target, data: bytes) -> Exception | None:
    """Call a target and return its error, None if the input is accepted; other exceptions propagate."""
    try:
        target.call(data)
    except target.errors as error:
        return error
    return None


def test_the_command_line_runs_the_chosen_targets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--target", "wire", "--target", "recipe", "--seconds", "0.05", "--json"]
    monkeypatch.setattr("sys.argv", ["tests.fuzz.run", *arguments])
    assert run.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"wire", "recipe"}
    assert all(one["inputs"] > 0 for one in found.values())


def test_every_payload_format_has_seeds() -> None:
    assert set(FORMAT_SEEDS) == set(format_names())


@EACH
def test_the_seeds_are_accepted(target: Target) -> None:
    for seed in target.seeds:
        assert read(target, seed) is None
        if target.reseal is not None:
            assert target.reseal(seed) == seed or len(target.seeds) > 1


@EACH
@settings(max_examples=50)
@given(data=st.data())
def test_random_bytes_raise_only_the_packages_errors(target: Target, data: st.DataObject) -> None:
    read(target, data.draw(st.binary(max_size=2_000)))


@EACH
@settings(max_examples=80)
@given(data=st.data())
def test_mutated_seeds_raise_only_the_packages_errors(target: Target, data: st.DataObject) -> None:
    mutated = bytearray(data.draw(st.sampled_from(target.seeds)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(mutated)))
        kind = data.draw(st.sampled_from(("flip", "insert", "cut", "repeat")))
        if kind == "flip" and at < len(mutated):
            mutated[at] ^= data.draw(st.integers(1, 255))
        elif kind == "insert":
            mutated[at:at] = data.draw(st.binary(min_size=1, max_size=12))
        elif kind == "cut":
            del mutated[at : at + data.draw(st.integers(1, 20))]
        else:
            mutated[at:at] = mutated[at : at + 30] * data.draw(st.integers(1, 20))
    changed = bytes(mutated)
    if target.reseal is not None and data.draw(st.booleans()):
        changed = target.reseal(changed)
    read(target, changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = {
    "acknowledgement": ("v", "epoch", "cumulative", "ranges"),
    "mqtt-payload": ("value", "time", "quality"),
    "ingest-envelope": ("data", "topic", "client", "principal", "received_at"),
    "ingest-function": ("data", "topic", "client", "principal", "received_at"),
    "http-telemetry": ("id", "gateway", "readings"),
    "configuration-reader": ("sources", "name", "kind", "mqtt", "topics", "series", "port"),
    "configuration-aggregator": ("window_ms", "ranges", "drop_duplicates"),
    "configuration-detector": ("calibration_windows",),
    "configuration-forwarder": ("ack", "batch_max_age_s", "in_flight", "spool_max_bytes"),
    "recipe": ("RecipeFormatVersion", "ComponentName", "ComponentVersion", "Manifests", "ComponentConfiguration",
               "ComponentDependencies"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(KEYS))
@settings(max_examples=50)
@given(data=st.data())
def test_any_json_under_valid_keys_raises_only_the_packages_errors(name: str, data: st.DataObject) -> None:
    target, keys = BY_NAME[name], KEYS[name]
    try:
        value = json.loads(target.seeds[-1])
    except ValueError:
        value = {}
    value = value if isinstance(value, dict) else {}
    for key in data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=4)):
        value[key] = data.draw(JSON)
    read(target, json.dumps(value).encode())


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_time_and_memory_for_hostile_inputs_are_bounded(name: str) -> None:
    for data in HOSTILE[name]:
        tracemalloc.start()
        began = time.process_time()  # a busy machine is not a defect
        try:
            error = read(BY_NAME[name], data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        duration = time.process_time() - began
        assert duration < MAX_SECONDS, f"{duration:.1f} s for {data[:60]!r}"
        assert peak < MAX_BYTES, f"{peak:,} bytes for {data[:60]!r}"
        assert len(str(error)) < MAX_ERROR_CHARACTERS, f"an error of {len(str(error)):,} characters for {data[:60]!r}"
