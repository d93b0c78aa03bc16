"""dashboard/src/data/records.ts: the API's records and messages as TypeScript, made from the schemas it makes them by.

A test fails while the file is not in step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from api.record_schemas import record_schema
from api.ws.channels import CHANNELS
from api.ws.messages import SERVER_MESSAGES

FILE = Path(__file__).resolve().parents[1] / "dashboard" / "src" / "data" / "records.ts"
HEAD = """// Written by `python -m deploy.dashboard_types` from the schemas of the API: don't edit.

/** Decimal text with eight decimals, exact: "61837.63000000". */
export type Decimal = string;
/** RFC 3339 in UTC with microseconds: "2026-01-02T03:04:05.500000Z". */
export type Time = string;
"""
PLAIN = {"integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def text() -> str:
    """The whole file."""
    parts = [HEAD, _of_records(), _of_messages()]
    return "\n".join(parts)


def _of_records() -> str:
    lines, names = [], {name: name.capitalize() + "Record" for name in CHANNELS}
    for channel, name in names.items():
        lines += _interface(name, record_schema(channel))
    lines.append("/** Channel -> what its records are. */")
    lines.append("export interface Records {")
    lines += [f"  {channel}: {name};" for channel, name in names.items()]
    return "\n".join([*lines, "}", "export type Channel = keyof Records;", ""])


def _of_messages() -> str:
    (_, parts) = msgspec.json.schema_components(SERVER_MESSAGES, ref_template="{name}")
    lines: list[str] = []
    for name, schema in sorted(parts.items()):
        lines += _interface(_message(name), schema)
    union = " | ".join(_message(kind.__name__) for kind in SERVER_MESSAGES)
    return "\n".join([*lines, f"export type ServerMessage = {union};", ""])


def _message(name: str) -> str:
    return f"{name}Message"


def _interface(name: str, schema: Mapping[str, Any]) -> list[str]:
    lines = [*_comment(schema, ""), f"export interface {name} {{", *_fields(schema, "  "), "}", ""]
    return [line for line in lines if line is not None]


def _fields(schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    for field, inner in schema["properties"].items():
        yield from _comment(inner, indent)
        yield f"{indent}{field}: {_type(inner, indent)};"


def _comment(schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    said = " ".join(str(schema.get("description", "")).split())
    if said:
        yield f"{indent}/** {said} */"


def _type(schema: Mapping[str, Any], indent: str) -> str:
    if "$ref" in schema:
        return _message(schema["$ref"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(inner, indent) for inner in schema["anyOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}, indent) for one in kind)
    match kind:
        case "array":
            inner = _type(schema["items"], indent)
            return f"({inner})[]" if " | " in inner else f"{inner}[]"
        case "object" if "properties" in schema:
            return "\n".join(["{", *_fields(schema, indent + "  "), f"{indent}}}"])
        case "object" | None:
            return "Record<string, unknown>"
        case "string":
            return _text_type(schema)
    return PLAIN[kind]


def _text_type(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "Time"
    return "Decimal" if "d{8}" in schema.get("pattern", "") else "string"


@click.command()
def main() -> None:
    """Write dashboard/src/data/records.ts anew from the schemas of the API.

    \b
    Example:
      python -m deploy.dashboard_types
    """
    FILE.write_text(text())


if __name__ == "__main__":
    main()
