"""Tests of recipe variables."""

from __future__ import annotations

import pytest

from device_sim.greengrass.errors import VariableError
from device_sim.greengrass.interpolation import Scope, interpolate

SCOPES = {
    "io.x.One": Scope(
        {"work:path": "/w", "artifacts:path": "/a", "iot:thingName": "gw"},
        {"port": 1883, "name": "n", "deep": {"list": [1, True]}, "a/b": "slash"},
    ),
    "io.x.Two": Scope({"work:path": "/w2"}, {"port": 1}),
}


@pytest.mark.parametrize(
    ("script", "filled"),
    [
        ("cd {work:path} && run {iot:thingName}", "cd /w && run gw"),
        ("{configuration:/port} {configuration:/name}", "1883 n"),
        ("{configuration:/deep} {configuration:/deep/list/1}", '{"list": [1, true]} true'),
        ("{configuration:/a~1b}", "slash"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_variables_are_filled_in(script: str, filled: str, strict: bool) -> None:
    assert interpolate(script, "io.x.One", SCOPES, strict) == filled


def test_a_value_is_not_read_for_variables_again() -> None:
    scopes = {"x": Scope({}, {"a": "{work:path}"})}
    assert interpolate("{configuration:/a}", "x", scopes, strict=True) == "{work:path}"


@pytest.mark.parametrize(
    "script", ["{work:absent}", "{unknown:thing}", "{configuration:/absent}", "{io.x.Three:work:path}"]
)
@pytest.mark.parametrize("strict", [True, False])
def test_an_unknown_variable_is_named(script: str, strict: bool) -> None:
    with pytest.raises(VariableError, match=script.replace("{", r"\{").replace(".", r"\.")):
        interpolate(f"run {script}", "io.x.One", SCOPES, strict)


def test_lite_does_not_support_variables_of_other_components() -> None:
    scopes = {name: Scope({"artifacts:path": f"/{name}"}, {}) for name in ("io.x.One", "io.x.Two")}
    script = "ls {io.x.Two:artifacts:path}"
    assert interpolate(script, "io.x.One", scopes, strict=False) == "ls /io.x.Two"
    assert interpolate("{io.x.Two:configuration:/port}", "io.x.One", SCOPES, strict=False) == "1"
    with pytest.raises(VariableError, match="nucleus lite does not support variables of other components"):
        interpolate(script, "io.x.One", scopes, strict=True)


@pytest.mark.parametrize("script", ["echo ${HOME}", "awk '{print $1}'", "a { b", "{}"])
def test_only_lite_treats_every_brace_as_a_variable(script: str) -> None:
    assert interpolate(script, "io.x.One", SCOPES, strict=False) == script
    with pytest.raises(VariableError, match="on nucleus lite every"):
        interpolate(script, "io.x.One", SCOPES, strict=True)
