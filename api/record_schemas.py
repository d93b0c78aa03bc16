"""JSON Schema of records as Redis, REST and WebSocket show them (COBY/values.py), from their Avro schemas. Pure."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from schemas import schema_text

DECIMAL = {"type": "string", "pattern": r"^-?\d+\.\d{8}$", "examples": ["61837.63000000"]}
TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": r"Z$",
    "examples": ["2026-01-02T03:04:05.500000Z"],
}
PRIMITIVES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "int": {"type": "integer"},
    "long": {"type": "integer"},
    "null": {"type": "null"},
}
PLACE: dict[str, dict[str, Any]] = {
    "source": {"type": "string", "description": "Whose sequence the position stands in."},
    "position": {
        "type": "string",
        "pattern": r"^-?\d+:\d+$",
        "description": "Where in its source's sequence it stands: two integers that rise.",
        "examples": ["184467:0"],
    },
    "topic": {"type": "string", "description": "The topic it is of, in full."},
    "partition": {"type": ["integer", "null"], "description": "Its partition; null in a replay."},
    "offset": {"type": ["integer", "null"], "description": "Its offset; null in a replay."},
}


@cache
def record_schema(name: str) -> dict[str, Any]:
    """The schema of one record of that topic, by the name of its Avro schema; all fields are always there."""
    made = _json_schema(json.loads(schema_text(name)), {})
    made["properties"] |= PLACE
    made["required"] += list(PLACE)
    return made


def avro_schema(name: str) -> Any:
    """The Avro schema itself."""
    return json.loads(schema_text(name))


def example(schema: dict[str, Any], known: dict[str, Any]) -> Any:
    """A value that fits a schema made here; ``known``: values by the names of fields."""
    if "anyOf" in schema:
        return example(schema["anyOf"][0], known)
    kind = schema["type"]
    if kind == "object":
        return {name: known.get(name, example(inner, known)) for name, inner in schema["properties"].items()}
    if kind == "array":
        return [example(schema["items"], known)]
    if "examples" in schema:
        return schema["examples"][0]
    first = kind[0] if isinstance(kind, list) else kind
    return {"string": "text", "boolean": True, "integer": 1, "null": None}[first]


def _json_schema(schema: Any, named: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema, list):
        return {
            "anyOf": [_json_schema(inner, named) for inner in schema if inner != "null"] + [{"type": "null"}]
        }
    if isinstance(schema, str):
        return dict(named.get(schema) or PRIMITIVES[schema])
    match schema["type"]:
        case "record":
            return _record(schema, named)
        case "array":
            return {"type": "array", "items": _json_schema(schema["items"], named)}
    special = {"decimal": DECIMAL, "timestamp-micros": TIME}.get(schema.get("logicalType"))
    return dict(special or PRIMITIVES[schema["type"]])


def _record(schema: Any, named: dict[str, Any]) -> dict[str, Any]:
    properties = {
        field["name"]: {**_json_schema(field["type"], named), "description": field.get("doc", "")}
        for field in schema["fields"]
    }
    made = {
        "type": "object",
        "description": schema.get("doc", ""),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    named[f"coby.{schema['name']}"] = made
    return made
