"""Telemetry over HTTP, as JSON and as SenML: valid items are stored once, each other one is a fault with its index."""

from __future__ import annotations

import json

import cbor2
import numpy as np
import pytest

from cloud_functions.core.errors import RequestError
from cloud_functions.core.telemetry import MAX_READINGS, read_telemetry
from tests.unit.cloud.api_site import ApiSite
from tests.unit.cloud.fakes import NOW_MS
from wire import codec
from wire.model import Quality, Readings

GOOD = {"series": "meter.power", "time": NOW_MS - 1_000, "value": 5.5, "unit": "W", "resolution": 0.1}
T = "/v1/telemetry"
SENML = {"content-type": "application/senml+json"}
CBOR = {"content-type": "application/senml+cbor"}
BASE_S = NOW_MS // 1_000


def request(*readings, **changes):
    return {"id": "r-1", "gateway": "gw-http", "readings": list(readings)} | changes


def faults(answer):
    assert answer.status == 202
    return [(one["index"], one["problem"]) for one in answer.json["faults"]]


def rows(site, series, gateway="gw-http"):
    query = {"series": series, "resolution": "raw", "from_": NOW_MS - 3_600_000, "to": NOW_MS + 86_400_000}
    answer = site.call("GET", f"/v1/gateways/{gateway}/aggregates", **query).json
    return list(zip(answer["columns"]["start_ms"], answer["columns"]["mean"], strict=True))


def test_readings_become_a_batch_of_the_gateway():
    body = request(GOOD, GOOD | {"value": 6, "quality": "uncertain"})
    arrival = read_telemetry(body, NOW_MS, None, b"").arrival
    assert arrival is not None
    stored = codec.decode(arrival.envelope.data).rows
    assert isinstance(stored, Readings)
    assert (arrival.name.gateway, arrival.envelope.lane, arrival.envelope.received_ms) == ("gw-http", "http", NOW_MS)
    assert [(s.name, s.unit, s.resolution) for s in stored.series] == [("meter.power", "W", 0.1)]
    assert stored.value.tolist() == [5.5, 6.0]
    assert stored.quality.tolist() == [Quality.GOOD, Quality.UNCERTAIN]
    assert stored.time_ms.dtype == np.int64


def test_a_repeated_request_is_stored_once_whatever_its_formatting():
    site = ApiSite()
    assert site.call("POST", T, request(GOOD)).json == {"accepted": 1, "duplicates": 0, "faults": []}
    shuffled = json.dumps({"readings": [dict(reversed(GOOD.items()))], "gateway": "gw-http", "id": "r-1"}, indent=2)
    assert site.call("POST", T, shuffled.encode()).json == {"accepted": 0, "duplicates": 1, "faults": []}
    assert site.call("POST", T, request(GOOD | {"value": 9.0})).status == 409
    assert site.call("POST", T, request(GOOD | {"value": 9.0}, id="r-2")).json["accepted"] == 1


def test_without_an_id_the_same_content_is_stored_once():
    site = ApiSite()
    body = {"gateway": "gw-http", "readings": [GOOD]}
    assert [site.call("POST", T, body).json["accepted"] for _ in range(2)] == [1, 0]


def test_valid_readings_are_stored_beside_those_with_faults():
    site = ApiSite()
    answer = site.call("POST", T, request(GOOD, 5, GOOD | {"value": "x"}, GOOD | {"time": NOW_MS, "value": 7}))
    assert faults(answer) == [(1, "int: an object with series, time and value"), (2, "value: 'x': a finite number")]
    assert answer.json["accepted"] == 2
    assert rows(site, "meter.power") == [(NOW_MS - 1_000, 5.5), (NOW_MS, 7.0)]


def test_a_bad_reading_is_a_fault_because_it_is_not_stored():
    site = ApiSite()
    answer = site.call("POST", T, request(GOOD | {"quality": "bad"}))
    assert answer.json["accepted"] == 0
    assert faults(answer) == [(0, "quality: bad: a bad reading has no value that could be stored")]
    assert site.call("GET", "/v1/gateways").json["items"] == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"valeu": 1}, "valeu: no such key"),
        ({"series": "-x"}, "series name '-x'"),
        ({"series": 5}, "series: 5"),
        ({"unit": None}, "series: 'meter.power' with unit None"),
        ({"unit": "x" * 40}, "series meter.power: unit"),
        ({"time": NOW_MS // 1_000}, "time: 1760000000"),
        ({"time": NOW_MS + 2 * 86_400_000}, "time: 1760172800000"),
        ({"time": "now"}, "time: 'now'"),
        ({"time": True}, "time: True"),
        ({"time": None}, "time: None"),
        ({"value": True}, "value: True: a finite number"),
        ({"value": "5"}, "value: '5'"),
        ({"value": None}, "value: None"),
        ({"resolution": 0}, "series meter.power: resolution 0.0"),
        ({"quality": "fine"}, "quality: 'fine'"),
        ({"quality": []}, "quality: []"),
    ],
)
def test_the_fault_of_an_item_names_its_key(changes, problem):
    ((index, found),) = faults(ApiSite().call("POST", T, request(GOOD | changes)))
    assert index == 0
    assert found.startswith(problem)
    assert len(found) <= 300


@pytest.mark.parametrize("number", ["1e999", "1" * 400, "1" * 10_000])
def test_a_number_beyond_floats_is_a_fault(number):
    text = json.dumps(request(GOOD)).replace("5.5", number)
    assert faults(ApiSite().call("POST", T, text.encode())) == [(0, "value: inf: a finite number")]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "body: not JSON"),
        (b"[" * 100_000, "body: not JSON"),
        (b"[]", "body: a JSON object, not list"),
        (b'{"id": NaN}', "body: not JSON in UTF-8: ValueError: NaN"),
        (json.dumps(request(GOOD | {"unit": "\ud800"})).encode(), "body: not JSON in UTF-8: UnicodeEncodeError"),
        (request(GOOD, id=""), "id: ''"),
        (request(GOOD, id="x" * 129), "id: 'xxx"),
        (request(GOOD, gateway="gw 1"), "gateway: gateway 'gw 1'"),
        (request(GOOD, gateway=5), "gateway: 5"),
        (request(GOOD, gatway="a"), "gatway: no such key"),
        (request(), "readings: a list of 0"),
        (request(GOOD, readings="all"), "readings: str"),
        (request(*[1] * (MAX_READINGS + 1)), f"readings: a list of {MAX_READINGS + 1}"),
    ],
)
def test_a_request_without_readings_of_a_gateway_is_a_problem(body, problem):
    answer = ApiSite().call("POST", T, body)
    assert answer.status == 400
    assert answer.problems[0].startswith(problem)


def test_a_unit_that_cannot_be_encoded_is_a_fault_in_the_core_as_well():
    posted = read_telemetry(request(GOOD | {"unit": "\ud800"}), NOW_MS, None, b"")
    assert posted.arrival is None
    assert posted.faults[0][1].startswith("series meter.power: unit")


def test_path_and_body_must_have_the_same_gateway():
    site = ApiSite()
    answer = site.call("POST", "/v1/gateways/gw-other/telemetry", request(GOOD))
    assert answer.problems == ["gateway: 'gw-http': the path names gw-other"]
    without = {"id": "r-1", "readings": [GOOD]}
    assert site.call("POST", "/v1/gateways/gw-path/telemetry", without).json["accepted"] == 1
    with pytest.raises(RequestError, match="gateway: None"):
        read_telemetry(without, NOW_MS, None, b"")


@pytest.mark.slow
def test_a_request_has_thousands_of_series():
    site = ApiSite()
    many = [GOOD | {"series": f"device-{n // 10}/channel-{n % 10}"} for n in range(3_000)]
    assert site.call("POST", T, request(*many)).json["accepted"] == 3_000
    assert len(site.call("GET", "/v1/gateways/gw-http/series", limit=5000).json["items"]) == 3_000
    assert rows(site, "device-299/channel-9") == [(NOW_MS - 1_000, 5.5)]


def test_senml_is_stored_with_base_fields_and_relative_times():
    site = ApiSite()
    pack = [
        {"bn": "urn:dev:1:", "bt": BASE_S, "bu": "Cel", "bv": 20, "n": "temp", "v": 1.5},
        {"n": "temp", "t": -5, "v": 0.5},
        {"n": "open", "u": "/", "vb": True},
        {"bn": "tank/", "bt": 0},
        {"n": "level", "t": -2, "u": "m", "v": -17},
    ]
    answer = site.call("POST", "/v1/gateways/gw-1/telemetry", pack, headers=SENML)
    assert (answer.json["accepted"], faults(answer)) == (4, [])
    assert rows(site, "urn:dev:1:temp", "gw-1") == [(NOW_MS - 5_000, 20.5), (NOW_MS, 21.5)]
    assert rows(site, "urn:dev:1:open", "gw-1") == [(NOW_MS, 1.0)]
    assert rows(site, "tank/level", "gw-1") == [(NOW_MS - 2_000, 3.0)]
    again = site.call("POST", "/v1/gateways/gw-1/telemetry", pack, headers=SENML)
    assert (again.json["accepted"], again.json["duplicates"]) == (0, 4)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (5, "int: a record is an object"),
        ({"n": "a", "v": 1, "x_": 1}, "x_: the field must be understood"),
        ({"n": "a", "v": 1, "bver": 11}, "bver: 11: 10 at most"),
        ({"n": "a", "v": 1, "bver": "5"}, "bver: '5': a finite number"),
        ({"n": "a", "vs": "on"}, "vs: 'on': v, s and vb can be stored"),
        ({"n": "a", "vb": 1}, "vb: 1: v, s and vb"),
        ({"n": "a", "v": "1"}, "v: '1'"),
        ({"n": 5, "v": 1}, "n: 5: a text"),
        ({"n": "", "v": 1}, "series name ''"),
        ({"n": "a", "v": 1, "t": 2**41}, "t: "),
        ({"n": "a", "v": 1, "t": 2**29}, "t: 536870912000"),
        ({"n": "a", "v": 1, "t": None}, "t: None"),
    ],
)
def test_a_faulty_record_of_senml_affects_no_other(record, problem):
    good = {"bn": "", "bver": 10, "n": "b", "v": 2}
    answer = ApiSite().call("POST", "/v1/gateways/gw-1/telemetry", [good, record], headers=SENML)
    ((index, found),) = faults(answer)
    assert (index, answer.json["accepted"]) == (1, 1)
    assert found.startswith(problem)


def test_senml_as_cbor_is_stored_like_json():
    site = ApiSite()
    pack = [
        {-2: "urn:dev:1:", -3: BASE_S, -4: "Cel", 0: "temp", 2: 21.5},
        {0: "temp", 6: -5, 2: cbor2.CBORTag(4, [-1, 205])},
        {0: "temp", 6: -6, 2: "hot"},
        7,
        {0: "temp", 6: -7, 2: float("nan")},
        {0: "open", 1: "/", 4: True},
        {0: "temp", 2: 1, "x_": 1},
    ]
    answer = site.call("POST", "/v1/gateways/gw-1/telemetry", cbor2.dumps(pack), headers=CBOR)
    assert answer.json["accepted"] == 3
    assert [(index, problem.split(":")[0]) for index, problem in faults(answer)] == [
        (2, "v"),
        (3, "int"),
        (4, "v"),
        (6, "x_"),
    ]
    assert rows(site, "urn:dev:1:temp", "gw-1") == [(NOW_MS - 5_000, 20.5), (NOW_MS, 21.5)]
    again = site.call("POST", "/v1/gateways/gw-1/telemetry", cbor2.dumps(pack), headers=CBOR)
    assert (again.json["accepted"], again.json["duplicates"]) == (0, 3)


def test_a_pack_of_cbor_has_as_many_records_as_one_of_json():
    pack = [{-2: "a/", 0: f"s{at % 3_000}", 1: "Cel", 6: -at, 2: at / 10, 7: 60} for at in range(MAX_READINGS)]
    answer = ApiSite().call("POST", "/v1/gateways/gw-1/telemetry", cbor2.dumps(pack), headers=CBOR)
    assert answer.json["accepted"] == MAX_READINGS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x81" * 100_000,
        b"\x9f" * 100_000,
        b"\x9b" + b"\xff" * 8,
        b"\x9a\xff\xff\xff\xff" + b"\x00" * 1_000,
        b"\xbb" + b"\xff" * 8,
        b"\x7b" + b"\xff" * 8,
        b"\x81\xa1\x00\x62\xed\xa0",
        b"\x9f" + b"\xa0" * 1_000_000 + b"\xff",
        b"\xa0",
        cbor2.dumps([1] * (MAX_READINGS + 1)),
        cbor2.dumps([{0: "a", 2: 1}]) + b"\x00",
    ],
)
def test_cbor_that_is_no_pack_is_a_problem(body):
    answer = ApiSite().call("POST", "/v1/gateways/gw-1/telemetry", body, headers=CBOR)
    assert answer.status == 400
    assert answer.problems[0].startswith("body: ")


@pytest.mark.parametrize("pack", [{}, [], "x", [1] * (MAX_READINGS + 1)])
def test_a_pack_that_is_not_a_list_of_records_is_a_problem(pack):
    answer = ApiSite().call("POST", "/v1/gateways/gw-1/telemetry", pack, headers=SENML)
    assert answer.status == 400
    assert answer.problems[0].startswith("body: ")


def test_senml_needs_a_gateway_in_the_path_and_other_types_are_refused():
    assert ApiSite().call("POST", T, [{"n": "a", "v": 1}], headers=SENML).status == 400
    assert ApiSite().call("POST", T, b"a,b", headers={"content-type": "text/csv"}).status == 415
