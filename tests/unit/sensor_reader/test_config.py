"""Configurations with which a source cannot work are rejected."""

from __future__ import annotations

from typing import Any

import pytest

from edge_components.common.config import load
from edge_components.common.errors import ConfigError
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.entries import kind_of, kinds, without_invalid
from edge_components.sensor_reader.sources.host import HostSettings
from edge_components.sensor_reader.sources.mqtt import read_entry


def mqtt(**values: Any) -> dict[str, Any]:
    return {"sources": [{"name": "b", "kind": "mqtt", **values}]}


@pytest.mark.parametrize(
    ("values", "beginning"),
    [
        (mqtt(topics=["sensors/#"]), "sources[b].topics[0].topic: topic pattern 'sensors/#' has no {placeholder}"),
        (mqtt(topics=["sensors/{a}b"]), "sources[b].topics[0].topic: "),
        (mqtt(topics=[]), "sources[b].topics: [] is not allowed"),
        (mqtt(topics="sensors/{a}"), "sources[b].topics: "),
        (mqtt(cert_file="/c", tls=True), "sources[b].cert_file, key_file: both or neither"),
        (mqtt(cert_file="/c", key_file="/k"), "sources[b].cert_file: only with tls true"),
        (mqtt(password_file="/p"), "sources[b].password_file: only with username"),  # noqa: S106 # a path
        (mqtt(password_file="relative"), "sources[b].password_file: "),  # noqa: S106 # a path
        (mqtt(host="a b"), "sources[b].host: 'a b' is not allowed, expected a host name"),
        (mqtt(port=0), "sources[b].port: 0 is not allowed, expected a whole number from 1 to 65535"),
        (mqtt(password="x"), "sources[b].password: unknown key, did you mean password_file?"),  # noqa: S106
        ({"sources": [{"name": "h", "kind": "host", "prefix": ".x"}]}, "sources[h].prefix: "),
        ({"sources": [{"name": "h", "kind": "hots"}]}, "sources[h].kind: 'hots' is not allowed, expected one of "),
        ({"sources": [{"name": "h"}]}, "sources[h].kind: None is not allowed"),
        ({"sources": [{"kind": "host"}]}, "sources[0].name: None is not allowed, expected 1 to 32 of"),
        ({"sources": [{"name": "a b", "kind": "host"}]}, "sources[0].name: 'a b' is not allowed"),
        ({"sources": [{"name": "h", "kind": "host"}] * 2}, "sources[1].name: 'h' is not allowed, expected each name"),
        ({"sources": {"name": "h", "kind": "host"}}, "sources: "),
        ({"sources": ["host"]}, "sources: "),
        ({"sources": [{"name": f"h{at}", "kind": "host"} for at in range(101)]}, "sources: 101 entries"),
        ({"series": {"*": {"unit": "x" * 33}}}, "series: "),
        ({"series": {"*": {"resolution": 0}}}, "series: "),
        ({"series": {"*": {"resolution": True}}}, "series: "),
        ({"series": {"*": {"resolution": "nan"}}}, "series: "),
        ({"series": {"*": {"units": "m"}}}, "series: "),
        ({"series": {"*": "m"}}, "series: "),
        ({"series": []}, "series: "),
    ],
)
def test_inconsistent_settings_are_rejected_with_their_key(values: dict[str, Any], beginning: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Config, values)
    assert caught.value.problems[0].startswith(beginning)


def test_every_bad_key_of_every_entry_is_reported_at_once() -> None:
    values = [{"name": "b", "kind": "mqtt", "port": 0, "qos": 2}, {"name": "h", "kind": "host", "disk": "x"}]
    with pytest.raises(ConfigError) as caught:
        load(Config, {"sources": values, "retry_s": 0})
    beginnings = [problem.partition(" ")[0] for problem in caught.value.problems]
    assert beginnings == ["sources[b].port:", "sources[b].qos:", "sources[h].disk:", "retry_s:"]


def test_a_former_key_is_rejected_with_the_one_that_replaced_it() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Config, {"mqtt_port": 1883, "host_interval_ms": 500, "mqtt": True, "mqtt_value_key": "v"})
    first, second, third, fourth = caught.value.problems
    assert first == (
        "mqtt_port: this key was replaced by the key port of an entry in sources: "
        '{"name": "mqtt", "kind": "mqtt", "port": ...}'
    )
    assert '{"name": "host", "kind": "host", "interval_ms": ...}' in second
    assert third == 'mqtt: this key was replaced by an entry {"name": "mqtt", "kind": "mqtt"} in sources'
    assert '"value": ...' in fourth


def test_a_start_without_a_valid_configuration_uses_the_valid_entries() -> None:
    same = {"kind": "mqtt", "client_id": "reader"}
    good, bad = {"name": "h", "kind": "host"}, {"name": "b", "kind": "mqtt", "port": 0}
    values = {"sources": [bad, good, {"name": "x", **same}, {"name": "y", **same}, good, 5], "max_age_ms": 50}
    with pytest.raises(ConfigError):
        load(Config, values)
    salvaged = load(Config, without_invalid(values))
    assert (list(salvaged.entries()), salvaged.max_age_ms) == (["h", "x"], 50)
    with pytest.raises(ConfigError):
        load(Config, without_invalid({"sources": [good], "max_age_ms": 0}))


def test_two_entries_may_not_share_an_mqtt_session() -> None:
    same = {"kind": "mqtt", "client_id": "reader"}
    with pytest.raises(ConfigError, match=r"the session reader@127\.0\.0\.1:1883 is not allowed, the entry a uses it"):
        load(Config, {"sources": [{"name": "a", **same}, {"name": "b", **same}]})
    load(Config, {"sources": [{"name": "a", **same}, {"name": "b", **same, "port": 1884}]})


def test_without_sources_a_broker_on_this_machine_and_the_machine_itself_are_read() -> None:
    assert {name: entry.settings for name, entry in Config().entries().items()} == {
        "mqtt": read_entry({}),
        "host": HostSettings(),
    }
    assert load(Config, {"sources": []}).entries() == {}


@pytest.mark.parametrize("name", kinds())
def test_every_kind_can_be_loaded_without_its_library(name: str) -> None:
    assert kind_of(name).settings.__dataclass_fields__


def test_traits_are_read_from_text_too() -> None:
    config = load(Config, {"series": {"*.t": {"unit": "Cel", "resolution": "0.01"}, "x": {}}})
    assert config.series == {"*.t": ("Cel", 0.01), "x": (None, None)}
