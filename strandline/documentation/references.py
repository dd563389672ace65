"""Reference pages generated from the code: configuration, command line and API."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from strandline.exit_codes import EXIT_CODES, command_codes

METHODS = ("get", "put", "post", "delete")


def configuration(root: Path) -> str:
    """Return the page of all configuration keys: of the components, of the sources, of the cloud's template."""
    from edge_components.aggregator.config import Config as Aggregator
    from edge_components.anomaly_detector.config import Config as AnomalyDetector
    from edge_components.common.config import table
    from edge_components.forwarder.config import Config as Forwarder
    from edge_components.sensor_reader.config import Config as SensorReader
    from edge_components.sensor_reader.entries import kind_of, kinds
    from edge_components.sensor_reader.mapping.settings import MappingSettings

    parts = ["# Configuration\n", _GENERATED, "## Components\n", _COMPONENTS]
    components = {
        "SensorReader": SensorReader,
        "Aggregator": Aggregator,
        "AnomalyDetector": AnomalyDetector,
        "Forwarder": Forwarder,
    }
    for name, config in components.items():
        parts += [f"### {name}\n", f"`io.strandline.{name}`\n", table(config)]
    parts += ["## Sources\n", _SOURCES]
    for kind in sorted(kinds()):
        parts += [f"### Source `{kind}`\n", table(kind_of(kind).settings)]
    parts += ["### Mapping of payloads\n", table(MappingSettings)]
    parts += ["## Cloud\n", _CLOUD, parameters((root / "cloud_functions/template.yaml").read_text())]
    return "\n".join(parts)


def parameters(template: str) -> str:
    """Return the parameters of a SAM template as a table."""
    found = yaml.load(template, Loader=_TemplateLoader)["Parameters"]  # noqa: S506 - a safe loader
    rows = ["| parameter | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    for name, about in found.items():
        default = f"`{json.dumps(about['Default'])}`" if "Default" in about else "required"
        rows.append(f"| `{name}` | {default} | {_allowed(about)} | {_cell(about.get('Description', ''))} |")
    return "\n".join(rows) + "\n"


def command_line() -> str:
    """Return the page of all commands with their arguments and options."""
    import typer

    from strandline.cli import make_app

    top = typer.main.get_command(make_app())
    parts = ["# Command line\n", _GENERATED, _OUTPUT, *_exit_codes()]
    for path, command in _commands(top, ("strandline",)):
        context = top.context_class(command, info_name=" ".join(path))
        usage = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), " ".join(command.collect_usage_pieces(context)))
        parts += [f"## {' '.join(path)}\n", f"```\n{' '.join(path)} {usage}\n```\n"]
        parts += [f"{_prose(command.help or '')}\n"]
        if codes := command_codes(" ".join(path[1:])):
            parts += [f"Exit code {codes}.\n"]
        rows = [row for parameter in command.params if (row := _parameter_row(parameter, context))]
        if rows:
            parts += ["| option | meaning |", "| --- | --- |", *rows, ""]
    return "\n".join(parts)


def api(description: Mapping[str, Any]) -> str:
    """Return the page of the API's routes from its OpenAPI description."""
    parts = ["# API\n", _GENERATED, _API]
    for path, item in description["paths"].items():
        for method in METHODS:
            if method in item:
                parts += _operation(method.upper(), path, item[method])
    parts += ["## Schemas\n"]
    for name, schema in sorted(description["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "\n".join(parts)


def pages(root: Path) -> dict[str, Callable[[], str]]:
    """Return the generators of the reference pages by path in the site."""
    description = root / "cloud_functions/api/openapi.json"
    return {
        "reference/configuration.md": lambda: configuration(root),
        "reference/command-line.md": command_line,
        "reference/api.md": lambda: api(json.loads(description.read_text())),
    }


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    nested = getattr(command, "commands", None)
    if nested is None or getattr(command, "invoke_without_command", False):
        yield path, command
    for name, one in sorted((nested or {}).items()):
        yield from _commands(one, (*path, name))


def _exit_codes() -> list[str]:
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return ["| exit code | meaning |", "| --- | --- |", *rows, ""]


def _parameter_row(parameter: Any, context: Any) -> str | None:
    if parameter.name == "help":
        return None
    if parameter.param_type_name == "argument":
        return f"| `{(parameter.metavar or parameter.name).upper()}` | {_cell(parameter.help or '')} |"
    record = parameter.get_help_record(context)
    return None if record is None else f"| `{_cell(record[0])}` | {_cell(record[1])} |"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> list[str]:
    parts = [f"## {method} {path}\n", f"{operation['summary']}. {operation.get('description', '')}\n"]
    rows = [
        f"| `{one['name']}` | {one['in']} | {'yes' if one.get('required') else 'no'} | {_type(one['schema'])} | "
        f"{_cell(one.get('description', ''))} |"
        for one in operation.get("parameters", [])
    ]
    if rows:
        parts += ["| parameter | in | required | type | meaning |", "| --- | --- | --- | --- | --- |", *rows, ""]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts += [f"Body `{kind}`: {_type(content['schema'])}\n"]
    answers = []
    for status, answer in operation["responses"].items():
        contents: list[Mapping[str, Any]] = list(answer.get("content", {}).values())
        first: Mapping[str, Any] = contents[0] if contents else {}
        shown = _type(first["schema"]) if first.get("schema") else ""
        answers.append(f"| {status} | {_cell(answer.get('description', ''))} | {shown} |")
    return [*parts, "| status | meaning | content |", "| --- | --- | --- |", *answers, ""]


def _schema(name: str, schema: Mapping[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    rows = [
        f"| `{key}` | {'yes' if key in required else 'no'} | {_type(one)} |"
        for key, one in schema.get("properties", {}).items()
    ]
    heading = [f"### {name}\n"]
    return [*heading, "| key | always | type |", "| --- | --- | --- |", *rows, ""] if rows else heading


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return _cell(", ".join(f"`{value}`" for value in schema["enum"]))
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[word]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and schema.get("properties"):
        return "object: " + ", ".join(f"`{name}`" for name in schema["properties"])
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _allowed(about: Mapping[str, Any]) -> str:
    if "AllowedValues" in about:
        return ", ".join(f"`{value}`" for value in about["AllowedValues"])
    bounds = [f"from {about['MinValue']}"] if "MinValue" in about else []
    bounds += [f"to {about['MaxValue']}"] if "MaxValue" in about else []
    pattern = f"`{_cell(about['AllowedPattern'])}`" if "AllowedPattern" in about else ""
    return " ".join(bounds) or pattern or str(about.get("Type", "")).lower()


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _prose(text: str) -> str:
    return re.sub(r"[\b\f]", "", text).strip()


class _TemplateLoader(yaml.SafeLoader):
    """Reads a template; intrinsic functions (``!Ref``, ``!Sub``) become None, which no parameter has."""


_TemplateLoader.add_multi_constructor("!", lambda loader, suffix, node: None)

_GENERATED = "This page is generated from the code.\n"
_COMPONENTS = (
    "A deployment merges these keys into the `DefaultConfiguration` of the component's recipe. An invalid update is "
    "rejected with one error a key, and the former configuration stays in effect.\n"
)
_SOURCES = (
    "Keys of an entry of the list `sources` of the SensorReader, by its `kind`. [Sources](../sources.md) has "
    "examples.\n"
)
_CLOUD = "Parameters of the stack (`cloud_functions/template.yaml`).\n"
_OUTPUT = (
    "With `--json`, a command prints exactly one JSON object or array on standard output, or nothing if it fails. "
    "Errors, progress and remarks are text on standard error.\n"
)
_API = (
    "All routes are below the address of the API (output `ApiUrl` of the stack). Errors are problem details (RFC "
    "9457). `GET /v1/openapi.json` answers the machine-readable description from which this page is made.\n"
)
