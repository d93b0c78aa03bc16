"""Records as JSON: decimals as strings with 8 decimals, times as RFC 3339 in UTC with microseconds. Pure.

What is a decimal or a time is read from the Avro schema, so a new field needs nothing here.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from COBY.records import NAMES, Record
from COBY.text import PLACES, decimal_text
from COBY.utils.exceptions import CobyError, ProcessingError
from COBY.utils.intervals import format_us, parse_time
from schemas import schema_text

Form = Callable[[Any], Any]


def plain(record: Record) -> dict[str, Any]:
    """The record as JSON-ready data, fields in the order of the schema.

    ValidationError `time.invalid` for a time outside the years 1 to 9999.
    """
    form: dict[str, Any] = _form_of(NAMES[type(record)])(record)
    return form


def with_floats(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """`plain` of a record of that schema with floats for its decimals. Fields that are no schema's stay as they are."""
    return _floats_of(name)(value)


@cache
def _form_of(name: str) -> Form:
    return _compile(json.loads(schema_text(name)), {})


@cache
def _floats_of(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    named: dict[str, Form] = {}
    own = {
        field["name"]: _compile(field["type"], named, dict.__getitem__, {"decimal": float})
        for field in json.loads(schema_text(name))["fields"]
    }
    return lambda value: {name: own.get(name, _same)(one) for name, one in value.items()}


Get = Callable[[Any, str], Any]
_PLAIN: dict[str, Form] = {"decimal": decimal_text, "timestamp-micros": format_us}


def _compile(
    schema: Any, named: dict[str, Form], get: Get = getattr, forms: Mapping[str, Form] = _PLAIN
) -> Form:
    if isinstance(schema, list):  # the only unions are ["null", type]
        return _optional(_compile(schema[1], named, get, forms))
    if isinstance(schema, str):
        return named.get(schema, _same)
    if schema["type"] == "record":
        return _record(schema, named, get, forms)
    if schema["type"] == "array":
        return _array(_compile(schema["items"], named, get, forms), forms.get("array", iter))
    return forms.get(schema.get("logicalType"), _same)


def _record(schema: Any, named: dict[str, Form], get: Get, forms: Mapping[str, Form]) -> Form:
    fields = [(field["name"], _compile(field["type"], named, get, forms)) for field in schema["fields"]]

    def form(record: Any) -> dict[str, Any]:
        return {name: inner(get(record, name)) for name, inner in fields}

    named[f"coby.{schema['name']}"] = form
    return form


def _array(item: Form, values_of: Form) -> Form:
    return lambda values: [item(value) for value in values_of(values)]


def _optional(item: Form) -> Form:
    return lambda value: None if value is None else item(value)


def _same(value: Any) -> Any:
    return value


def record_of(name: str, value: Mapping[str, Any]) -> Record:
    """The record that `plain` was given, of the schema ``name``; fields that are no schema's are passed over.

    ProcessingError `json.record` for what is no such object.
    """
    try:
        return msgspec.convert(_exact_of(name)(value), type=_STRUCTS[name])
    except (KeyError, TypeError, ValueError, ArithmeticError, CobyError) as error:
        raise ProcessingError("json.record", f"no {name}: {error!r}"[:500]) from error


@cache
def _exact_of(name: str) -> Form:
    return _compile(json.loads(schema_text(name)), {}, operator.getitem, _EXACT)


def _units(text: str) -> int:
    """All of its digits: `plain` writes 8 decimals, and no other text counts."""
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is no decimal with {PLACES} places")
    return int(text.replace(".", ""))


def _time(text: str) -> int:
    """Only as `plain` writes it: a date alone, or milliseconds, would be a time, too."""
    if not isinstance(text, str) or format_us(time_us := parse_time(text)) != text:
        raise ValueError(f"{str(text)[:40]!r} is no time as we write it")
    return time_us


def _list(values: Any) -> list[Any]:
    """Not what else can be gone through: an empty object would be an empty list."""
    if not isinstance(values, list):
        raise TypeError("no array")
    return values


_DECIMAL = re.compile(rf"-?\d{{1,30}}\.\d{{{PLACES}}}", re.ASCII)
_STRUCTS = {name: struct for struct, name in NAMES.items()}
_EXACT: dict[str, Form] = {"decimal": _units, "timestamp-micros": _time, "array": _list}
