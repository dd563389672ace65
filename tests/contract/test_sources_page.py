"""Tests of docs/sources.md: the tables of keys agree with the code, and every configuration shown in it is valid."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge_components.common.config import load, table
from edge_components.sensor_reader.config import Config
from edge_components.sensor_reader.entries import kind_of, kinds
from edge_components.sensor_reader.mapping.bindings import preset_names
from edge_components.sensor_reader.mapping.settings import MappingSettings, format_names
from edge_components.sensor_reader.modbus_registers import Register
from edge_components.sensor_reader.sources.opcua import NodeSettings

PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
TABLES = dict(re.findall(r"<!-- keys (\w+) -->\n(.*?)<!-- /keys -->", PAGE, re.DOTALL))
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("name", kinds())
def test_the_table_of_a_kind_is_its_keys(name: str) -> None:
    assert TABLES[name].strip() == table(kind_of(name).settings).strip()


def test_the_table_of_the_mapping_is_its_keys() -> None:
    assert TABLES["mapping"].strip() == table(MappingSettings).strip()


def test_the_tables_of_registers_and_nodes_are_their_keys() -> None:
    assert TABLES["register"].strip() == table(Register).strip()
    assert TABLES["node"].strip() == table(NodeSettings).strip()


def test_every_format_and_preset_is_on_the_page() -> None:
    assert all(f"`{name}`" in PAGE for name in (*format_names(), *preset_names()))


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda values: str(next(iter(values))))
def test_every_configuration_on_the_page_is_valid(values: dict[str, object]) -> None:
    assert load(Config, values).entries()
