"""Telemetry over HTTP: errors name the invalid keys, and invalid requests are rejected completely."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cloud_functions.core.errors import Reason, RejectError, RequestError
from cloud_functions.core.storing import Storer
from cloud_functions.core.telemetry import MAX_PROBLEMS, MAX_READINGS, read_telemetry
from tests.unit.cloud.fakes import NOW_MS, FakeTable
from wire import codec
from wire.model import Quality, Readings

GOOD = {"series": "meter.power", "time": NOW_MS - 1_000, "value": 5.5, "unit": "W", "resolution": 0.1}


def request(*readings: Any, **changes: Any) -> str:
    return json.dumps({"id": "r-1", "gateway": "gw-http", "readings": list(readings)} | changes)


def problems(body: str, path: str | None = None) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        read_telemetry(body, lambda: NOW_MS, path)
    return caught.value.problems


def test_readings_become_a_batch_of_the_gateway() -> None:
    arrival = read_telemetry(request(GOOD, GOOD | {"value": 6, "quality": "uncertain"}), lambda: NOW_MS)
    rows = codec.decode(arrival.envelope.data).rows
    assert isinstance(rows, Readings)
    assert (arrival.name.gateway, arrival.envelope.lane, arrival.envelope.received_ms) == ("gw-http", "http", NOW_MS)
    assert [(s.name, s.unit, s.resolution) for s in rows.series] == [("meter.power", "W", 0.1)]
    assert rows.value.tolist() == [5.5, 6.0]
    assert rows.quality.tolist() == [Quality.GOOD, Quality.UNCERTAIN]
    assert rows.time_ms.dtype == np.int64


def test_the_batch_name_is_determined_by_the_id() -> None:
    names = [
        (arrival.name.epoch, arrival.name.sequence)
        for arrival in (read_telemetry(request(GOOD, id=name), lambda: NOW_MS) for name in ("a", "a", "b"))
    ]
    assert names[0] == names[1] != names[2]


def test_a_repeated_request_is_stored_once_regardless_of_json_formatting() -> None:
    table = FakeTable()
    storer = Storer(table, lambda: NOW_MS, 1_000)
    shuffled = json.dumps({"readings": [dict(reversed(GOOD.items()))], "gateway": "gw-http", "id": "r-1"}, indent=2)
    assert [storer.store(read_telemetry(b, lambda: NOW_MS)).new for b in (request(GOOD), shuffled)] == [True, False]
    with pytest.raises(RejectError) as caught:
        storer.store(read_telemetry(request(GOOD | {"value": 9.0}), lambda: NOW_MS))
    assert caught.value.reason is Reason.DIFFERENT


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "body: not JSON"),
        ("[" * 100_000, "body: not JSON"),
        ("[]", "body: a JSON object, not list"),
        ('{"id": NaN}', "NaN is not a JSON number"),
        (request(GOOD, id=""), "id: ''"),
        (request(GOOD, id=None), "id: None"),
        (request(GOOD, id="x" * 129), "id: 'xxx"),
        (request(GOOD, gateway="gw 1"), "gateway: gateway 'gw 1'"),
        (request(GOOD, gateway=5), "gateway: 5"),
        (request(), "readings: a list of 0"),
        (request(GOOD, readings="all"), "readings: str"),
        (request(*[GOOD] * (MAX_READINGS + 1)), f"readings: a list of {MAX_READINGS + 1}"),
        (request(5), "readings[0].int: an object"),
        (request(GOOD | {"valeu": 1}), "readings[0].valeu: no such key"),
        (request(GOOD | {"series": "-x"}), "readings[0].series name '-x'"),
        (request(GOOD | {"series": 5}), "readings[0].series: 5"),
        (request(GOOD | {"unit": None}), "readings[0].series: 'meter.power' with unit None"),
        (request(GOOD | {"time": NOW_MS // 1_000}), "readings[0].time: 1760000000"),
        (request(GOOD | {"time": NOW_MS + 2 * 86_400_000}), "readings[0].time: 1760172800000"),
        (request(GOOD | {"time": "now"}), "readings[0].time: 'now'"),
        (request(GOOD | {"time": True}), "readings[0].time: True"),
        (request({"series": "a", "value": 1}), "readings[0].time: None"),
        (request(GOOD | {"value": True}), "readings[0].value: True: a finite number"),
        (request(GOOD | {"value": "5"}), "readings[0].value: '5'"),
        (request(GOOD | {"value": None}), "readings[0].value: None"),
        (request(GOOD).replace("5.5", "1" * 400), "readings[0].value: inf"),
        (request(GOOD).replace("5.5", "1" * 10_000), "readings[0].value: inf"),
        (request(GOOD).replace("5.5", "1e999"), "readings[0].value: inf"),
        (request(GOOD | {"resolution": 0}), "readings[0].series meter.power: resolution 0.0"),
        (request(GOOD | {"quality": "fine"}), "readings[0].quality: 'fine'"),
    ],
)
def test_the_error_names_the_invalid_key(body: str, message: str) -> None:
    found = problems(body)
    assert any(message in problem for problem in found), found
    assert all(len(problem) < 400 for problem in found)


def test_all_problems_are_listed_up_to_a_limit() -> None:
    assert len(problems(request(GOOD | {"time": 1}, GOOD, GOOD | {"value": "x"}, id=""))) == 3
    assert len(problems(request(*[GOOD | {"time": 1}] * 100))) == MAX_PROBLEMS + 1


def test_path_and_body_must_have_the_same_gateway() -> None:
    assert problems(request(GOOD), "gw-other") == ("gateway: 'gw-http': the path names gw-other",)
    without = json.dumps({"id": "r-1", "readings": [GOOD]})
    assert read_telemetry(without, lambda: NOW_MS, "gw-path").name.gateway == "gw-path"
    assert problems(without)[0].startswith("gateway: None")
