"""Records as Arrow columns: types and arrays by the Avro schema, so a new field needs nothing here.

Decimals become decimal128 of the schema's precision, times timestamps of microseconds in UTC, arrays of records lists
of structs. An array is built from the records' ints without a Decimal or datetime for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, chain
from operator import attrgetter, methodcaller
from typing import Any, NamedTuple

import pyarrow as pa

from COBY.records import Record
from schemas import schema_text

TIME = pa.timestamp("us", "UTC")
_PRIMITIVES = {"string": pa.string(), "boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64()}
_sixteen_bytes = methodcaller("to_bytes", 16, "little", signed=True)


class Column(NamedTuple):
    """``array`` makes one of so many values; ValueError for what the type can't hold."""

    type: Any
    array: Callable[[Sequence[Any]], Any]
    is_optional: bool = False


class Columns(NamedTuple):
    """The columns of one type of record."""

    fields: list[Any]
    names: list[str]
    columns: list[Column]

    def arrays(self, records: Sequence[Record]) -> list[Any]:
        """A column each; ValueError where a record holds what its type can't."""
        return [
            column.array(list(map(attrgetter(name), records)))
            for name, column in zip(self.names, self.columns, strict=True)
        ]


@cache
def columns_of(name: str) -> Columns:
    """The columns of the records of that schema, in its order."""
    return _columns(json.loads(schema_text(name)), {})


def _columns(schema: Any, named: dict[str, Column]) -> Columns:
    names = [field["name"] for field in schema["fields"]]
    columns = [_compile(field["type"], named) for field in schema["fields"]]
    fields = [
        pa.field(name, column.type, nullable=column.is_optional)
        for name, column in zip(names, columns, strict=True)
    ]
    return Columns(fields, names, columns)


def _compile(schema: Any, named: dict[str, Column]) -> Column:
    if isinstance(schema, list):  # the only unions are ["null", type]
        return _compile(schema[1], named)._replace(is_optional=True)
    if isinstance(schema, str):
        return named[schema] if schema in named else _plain(_PRIMITIVES[schema])
    if schema["type"] == "record":
        named[f"coby.{schema['name']}"] = made = _struct(_columns(schema, named))
        return made
    if schema["type"] == "array":
        return _list(_compile(schema["items"], named))
    if schema.get("logicalType") == "decimal":
        return _decimal(schema["precision"], schema["scale"])
    return _plain(TIME if schema.get("logicalType") == "timestamp-micros" else _PRIMITIVES[schema["type"]])


def _plain(kind: Any) -> Column:
    return Column(kind, lambda values: pa.array(values, kind))


def _decimal(precision: int, scale: int) -> Column:
    kind, limit = pa.decimal128(precision, scale), 10**precision

    def array(values: Sequence[Any]) -> Any:
        mask, units = None, values
        if None in values:
            mask = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
            units = [value or 0 for value in values]
        if values and not -limit < min(units) <= max(units) < limit:
            raise ValueError(f"a decimal of more than {precision} digits")
        content = pa.py_buffer(b"".join(map(_sixteen_bytes, units)))
        return pa.Array.from_buffers(kind, len(values), [mask, content])

    return Column(kind, array)


def _struct(columns: Columns) -> Column:
    def array(records: Sequence[Any]) -> Any:
        return pa.StructArray.from_arrays(columns.arrays(records), fields=columns.fields)

    return Column(pa.struct(columns.fields), array)


def _list(item: Column) -> Column:
    kind = pa.list_(pa.field("element", item.type, nullable=False))

    def array(values: Sequence[Any]) -> Any:
        ends = pa.array([0, *accumulate(map(len, values))], pa.int32())
        return pa.ListArray.from_arrays(ends, item.array(list(chain.from_iterable(values))), type=kind)

    return Column(kind, array)
