"""Records as plain data, read by fastavro alone. Pure.

Verify shares neither our reading of Avro nor the sinks' forms, so that a mistake there can show.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import fastavro

from schemas import FORMER, IDS, former_text, schema_text

Plain = dict[str, Any]


@cache
def _schemas(number: int) -> tuple[Any, Any]:
    """What a record of that id was written by, and what it is read as: None for the same."""
    if number in FORMER:
        return _parsed(former_text(number)), _parsed(schema_text(FORMER[number]))
    name = next(key for key, known in IDS.items() if known == number)  # StopIteration: no schema of ours
    return _parsed(schema_text(name)), None


def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text), named_schemas={})


def plain_of(value: bytes) -> Plain:
    """The fields of a record: Decimals, datetimes in UTC, lists and dicts. ValueError for what is no record of ours."""
    try:
        written, read = _schemas(int.from_bytes(value[1:5], "big"))
        record = fastavro.schemaless_reader(io.BytesIO(value[5:]), written, read)
    except Exception as error:  # fastavro raises whatever its buffers raise
        raise ValueError(f"no record: {error!r}") from error
    if not isinstance(record, dict):
        raise ValueError("no record")
    return record


def canonical(value: Any) -> Any:
    """Data that two sources may hold in different types, in one form fit for JSON.

    Decimals with eight decimals, times as RFC 3339 in UTC with microseconds.
    """
    if isinstance(value, Decimal):
        return f"{value:.8f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


def differing(expected: Any, found: Any) -> list[str]:
    """`field found instead of expected` for every field of two canonical values that differs."""
    wanted, there = dict(_leaves(expected, "")), dict(_leaves(found, ""))
    missing = "nothing"
    return [
        f"{name} {there.get(name, missing)} instead of {wanted.get(name, missing)}"
        for name in sorted(wanted.keys() | there.keys())
        if wanted.get(name, missing) != there.get(name, missing)
    ]


def differing_fields(expected: bytes | None, found: bytes | None) -> list[str]:
    """The same of two values of records; of what is no record of ours, one line."""
    try:
        fields = differing(canonical(plain_of(expected or b"")), canonical(plain_of(found or b"")))
    except ValueError:
        fields = []
    return fields or [f"value of {len(found or b'')} bytes instead of {len(expected or b'')}"]


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from _leaves(item, f"{name}[{place}]")
    else:
        yield name, value
