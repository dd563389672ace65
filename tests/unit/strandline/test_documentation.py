"""Tests of the documentation site's links and of its generated references."""

from __future__ import annotations

from pathlib import Path

from strandline.documentation import links, references

ROOT = Path(__file__).resolve().parents[3]
PAGES = {
    "README.md": "index.md",
    "docs/page.md": "page.md",
    "docs/adr/README.md": "adr/README.md",
    "wire/FORMAT.md": "reference/wire-format.md",
}


def rewritten(markdown: str, source: str) -> str:
    return links.rewrite(markdown, source, PAGES, lambda path: path in ("Makefile", "docs/pictures/a.png"))


def test_links_between_documents_lead_to_their_pages() -> None:
    assert rewritten("[a](docs/page.md#keys)", "README.md") == "[a](page.md#keys)"
    assert rewritten("[a](../../wire/FORMAT.md)", "docs/adr/README.md") == "[a](../reference/wire-format.md)"
    assert rewritten("[a](../docs/page.md)", "wire/FORMAT.md") == "[a](../page.md)"


def test_links_to_other_files_become_text_and_missing_ones_stay() -> None:
    assert rewritten("see [the `Makefile`](Makefile).", "README.md") == "see the `Makefile`."
    assert rewritten("[a](gone.md)", "README.md") == "[a](gone.md)"


def test_pictures_are_found_from_any_page() -> None:
    assert rewritten("![a](docs/pictures/a.png)", "README.md") == "![a](pictures/a.png)"
    assert rewritten("![a](../docs/pictures/a.png)", "wire/FORMAT.md") == "![a](../pictures/a.png)"


def test_external_links_fragments_and_blocks_are_not_changed() -> None:
    for text in ("[a](https://example.com/x)", "[a](#part)", "```\n[a](docs/page.md)\n```"):
        assert rewritten(text, "README.md") == text


def test_each_document_has_one_place() -> None:
    paths = links.site_paths(ROOT)
    assert paths["edge_components/sensor_reader/README.md"] == "components/sensor-reader.md"
    assert paths["docs/adr/0003-watermarks.md"] == "adr/0003-watermarks.md"
    assert len(set(paths.values())) == len(paths)


def test_the_configuration_page_has_every_component_source_and_parameter() -> None:
    page = references.configuration(ROOT)
    for text in (
        "### SensorReader",
        "### Source `opcua`",
        "| `spool_max_bytes` |",
        "| `RetentionDays` | `90` | from 1 |",
    ):
        assert text in page


def test_the_command_line_page_has_nested_commands_with_their_options() -> None:
    page = references.command_line()
    assert "## strandline gateway provision\n" in page
    assert "| `--nucleus" in page
    assert "{" not in page.split("## strandline alerts show")[1].split("```")[1]


def test_the_api_page_has_routes_parameters_and_schemas() -> None:
    description = {
        "paths": {
            "/v1/things/{name}": {
                "get": {
                    "summary": "Show a thing",
                    "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "responses": {
                        "200": {
                            "description": "OK",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                        }
                    },
                }
            }
        },
        "components": {
            "schemas": {
                "Thing": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": ["a", "b|c"]},
                        "size": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                        "parts": {"type": "array", "items": {"type": "integer"}},
                    },
                }
            }
        },
    }
    page = references.api(description)
    assert "## GET /v1/things/{name}" in page
    assert "| 200 | OK | [Thing](#thing) |" in page
    assert "| `name` | yes | `a`, `b\\|c` |" in page
    assert "| `size` | no | number or null |" in page
    assert "| `parts` | no | list of integer |" in page
