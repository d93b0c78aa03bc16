"""Records <-> Avro in the Confluent wire format: 0x00, 4-byte big-endian schema id, Avro body.

Encoding goes by a plan compiled once per schema: each field's bytes are joined from small writers, and a decimal is
written straight from its integer. fastavro and avro-python3 read the result identically (tests/unit/test_codec.py).
Reading is fastavro's, with decimals turned back into the ints they were written from.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import chain
from operator import attrgetter, call
from typing import Any, get_args, get_origin

import fastavro
import msgspec

from COBY.records import NAMES, Record
from COBY.utils.exceptions import ProcessingError
from schemas import FORMER, IDS, former_text, schema_text

Writer = Callable[[Any], bytes]
Reader = Callable[[Any], Any]

_STRUCTS = {NAMES[struct]: struct for struct in NAMES}


def encode(record: Record, ids: dict[str, int] = IDS) -> bytes:
    """The wire bytes of a record. ``ids``: schema name -> id, those of a registry where one is used."""
    name = NAMES[type(record)]
    return b"\0" + ids[name].to_bytes(4, "big") + _writer(name)(record)


def decode(value: bytes | None, ids: dict[str, int] = IDS) -> Record:
    """The record that ``encode`` wrote, today or under a former schema: what that lacks has its default.

    ProcessingError: codec.null, codec.format, codec.unknown_schema, codec.broken.
    """
    if value is None:
        raise ProcessingError("codec.null", "a record without a value")
    if len(value) < 5 or value[0] != 0:
        raise ProcessingError(
            "codec.format", "not in the Confluent wire format", allowed="0x00, 4-byte id, Avro body"
        )
    number = int.from_bytes(value[1:5], "big")
    name = next((key for key, known in ids.items() if known == number), None)
    former = name is None and ids == IDS and number in FORMER
    if former:
        name = FORMER[number]
    if name is None:
        raise ProcessingError(
            "codec.unknown_schema", f"schema id {number}", allowed=f"one of {sorted(ids.values())}"
        )
    body = io.BytesIO(value[5:])
    try:
        if former:
            plain = fastavro.schemaless_reader(body, _parsed_former(number), _parsed(name, raw=True))
        else:
            plain = fastavro.schemaless_reader(body, _parsed(name, raw=True), None)
    except Exception as error:  # fastavro raises whatever its buffers raise; all of it means a broken body
        raise ProcessingError("codec.broken", f"{name}: {error or type(error).__name__}") from error
    if body.tell() != len(value) - 5:
        raise ProcessingError(
            "codec.broken", f"{name}: {len(value) - 5 - body.tell()} bytes after the record"
        )
    record: Record = _struct(_STRUCTS[name])(plain)
    return record


@cache
def _parsed(name: str, raw: bool) -> Any:
    """fastavro's schema; ``raw`` takes the logical types away, so that decimals come as bytes and times as ints."""
    schema = json.loads(schema_text(name))
    return fastavro.parse_schema(_without_logical(schema) if raw else schema, named_schemas={})


@cache
def _parsed_former(number: int) -> Any:
    return fastavro.parse_schema(_without_logical(json.loads(former_text(number))), named_schemas={})


def _without_logical(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical(item) for item in schema]
    if isinstance(schema, dict):
        return {
            key: _without_logical(value)
            for key, value in schema.items()
            if key not in ("logicalType", "precision", "scale")
        }
    return schema


@cache
def _struct(struct: type[Record]) -> Reader:
    """fastavro's dict -> the struct, by a plan made once."""
    plan = [(field.name, _field(field.type)) for field in msgspec.structs.fields(struct)]

    def read(plain: Any) -> Record:
        return struct(*[plain[name] if item is None else item(plain[name]) for name, item in plan])

    return read


def _field(annotation: Any) -> Reader | None:
    """How a field of this type is read; None: as it comes."""
    if get_origin(annotation) is list:
        (item,) = get_args(annotation)
        return None if item is str else _items(item)
    return _integer if annotation in (int, int | None) else None


def _items(struct: type[Record]) -> Reader:
    read = _struct(struct)

    def read_items(plain: list[Any]) -> list[Record]:
        return [read(item) for item in plain]

    return read_items


def _integer(value: Any) -> Any:
    return int.from_bytes(value, "big", signed=True) if isinstance(value, bytes) else value


# --- writing -------------------------------------------------------------------------------------------------------


def _long(value: int) -> bytes:
    """Avro's zigzag varint, two of its bytes at a time."""
    value = value << 1 ^ value >> 63
    if value < 0x80:
        return _ONE[value]
    out = b""
    while value > 0x3FFF:
        out += _PAIRS[value & 0x3FFF]
        value >>= 14
    return out + (_ONE[value] if value < 0x80 else bytes((value & 0x7F | 0x80, value >> 7)))


_ONE = [bytes((value,)) for value in range(0x80)]
_PAIRS = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(0x4000)]


@lru_cache(maxsize=65_536)
def _decimal(value: int) -> bytes:
    """A decimal of scale 8 as Avro bytes: its unscaled int, big-endian two's complement, with its length.

    Remembered: from tick to tick most levels and buckets stay as they were.
    """
    size = (value.bit_length() + 8) >> 3
    return _ONE[size << 1] + value.to_bytes(size, "big", signed=True)


@lru_cache(maxsize=4_096)
def _string(value: str) -> bytes:
    text = value.encode()
    return _long(len(text)) + text


def _boolean(value: bool) -> bytes:
    return b"\1" if value else b"\0"


_PRIMITIVES: dict[str, Writer] = {"long": _long, "int": _long, "string": _string, "boolean": _boolean}


def _array(item: Writer) -> Writer:
    def write(values: list[Any]) -> bytes:
        if not values:
            return b"\0"
        return b"".join([_long(len(values)), *map(item, values), b"\0"])

    return write


def _array_of_decimals(fields: list[str]) -> Writer:
    """An array of records of decimals only, as levels and buckets are: most of a tick, so without a call for each."""
    of_record = attrgetter(*fields)

    def write(values: list[Any]) -> bytes:
        if not values:
            return b"\0"
        return b"".join(
            [_long(len(values)), *map(_decimal, chain.from_iterable(map(of_record, values))), b"\0"]
        )

    return write


def _optional(item: Writer) -> Writer:
    def write(value: Any) -> bytes:
        return b"\0" if value is None else b"\2" + item(value)

    return write


def _record(schema: Any, named: dict[str, Writer]) -> Writer:
    names = [field["name"] for field in schema["fields"]]
    writers = [_compile(field["type"], named) for field in schema["fields"]]
    values = attrgetter(*names)

    def write(record: Any) -> bytes:
        return b"".join(map(call, writers, values(record)))

    named[f"coby.{schema['name']}"] = write
    if len(names) > 1 and all(writer is _decimal for writer in writers):
        _DECIMALS[write] = names
    return write


_DECIMALS: dict[Writer, list[str]] = {}
"""The field names of records that hold nothing but decimals."""


def _compile(schema: Any, named: dict[str, Writer]) -> Writer:
    if isinstance(schema, list):  # the only unions here are ["null", type]
        return _optional(_compile(schema[1], named))
    if isinstance(schema, str):
        return named[schema] if schema in named else _PRIMITIVES[schema]
    if schema["type"] == "record":
        return _record(schema, named)
    if schema["type"] == "array":
        item = _compile(schema["items"], named)
        return _array_of_decimals(_DECIMALS[item]) if item in _DECIMALS else _array(item)
    return _decimal if schema.get("logicalType") == "decimal" else _PRIMITIVES[schema["type"]]


@cache
def _writer(name: str) -> Writer:
    return _compile(json.loads(schema_text(name)), {})
