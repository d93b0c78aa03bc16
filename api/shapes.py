"""What a column of an answer holds, and its form as JSON, CSV and Arrow. Pure.

Values come as the database gives them: datetimes in UTC, Decimals, texts, ints, bools, None; of nested columns lists
of tuples. Decimals stay exact: text with eight decimals in JSON and CSV, decimal128 in Arrow; floats only if asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

PIECE_ITEMS = 1_000
"""Rows and items of lists that one call makes an array of: some milliseconds."""
Row = Sequence[Any]
Form = Callable[[Any], Any]


class Kind(NamedTuple):
    """A type of values. ``plain``: their JSON form, and with ``numbers=float``; ``arrow``: their type, and so too."""

    plain: tuple[Form, Form]
    arrow: tuple[Any, Any]
    schema: Mapping[str, Any]
    """JSON Schema of the JSON forms."""
    names: tuple[str, ...] = ()
    """Of a list of structs: its fields."""


class Column(NamedTuple):
    """A column of an answer."""

    name: str
    kind: Kind


def _same(value: Any) -> Any:
    return value


def _decimal_text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:.8f}"


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _time_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="microseconds")[:-6] + "Z"


def _alike(form: Form, arrow: Any, name: str, **more: str) -> Kind:
    return Kind((form, form), (arrow, arrow), {"type": [name, "null"], **more})


def decimals(precision: int) -> Kind:
    """Decimals of scale 8, None allowed."""
    schema = {"type": ["string", "number", "null"], "pattern": r"^-?\d+\.\d{8}$"}
    return Kind((_decimal_text, _float), (pa.decimal128(precision, 8), pa.float64()), schema)


TEXT = _alike(_same, pa.string(), "string")
TIME = _alike(_time_text, pa.timestamp("us", "UTC"), "string", format="date-time")
INTEGER = _alike(_same, pa.int64(), "integer")
BOOLEAN = _alike(_same, pa.bool_(), "boolean")
PRICE = decimals(20)
SIZE = decimals(30)
RATIO = decimals(10)


def listed(*columns: Column) -> Kind:
    """A list of structs; a value is a list of tuples in the order of ``columns``."""
    names = tuple(column.name for column in columns)

    def form(number: int) -> Form:
        forms = [column.kind.plain[number] for column in columns]
        return lambda rows: [
            {name: one(value) for name, one, value in zip(names, forms, row, strict=True)} for row in rows
        ]

    def arrow(number: int) -> Any:
        return pa.list_(pa.struct([pa.field(column.name, column.kind.arrow[number]) for column in columns]))

    schema = {"type": "array", "items": schema_of(columns)}
    return Kind((form(0), form(1)), (arrow(0), arrow(1)), schema, names)


def schema_of(columns: Sequence[Column]) -> dict[str, Any]:
    """JSON Schema of a row."""
    return {
        "type": "object",
        "properties": {column.name: dict(column.kind.schema) for column in columns},
        "required": [column.name for column in columns],
    }


def plain_rows(columns: Sequence[Column], rows: Sequence[Row], floats: bool) -> list[dict[str, Any]]:
    """The rows as JSON-ready objects."""
    forms = [(column.name, column.kind.plain[floats]) for column in columns]
    return [{name: form(value) for (name, form), value in zip(forms, row, strict=True)} for row in rows]


def arrow_table(columns: Sequence[Column], rows: Sequence[Row], floats: bool) -> Any:
    """The rows as a pyarrow table, each column one array.

    Made in pieces: a call of pyarrow's that takes Python's values holds the interpreter, and with it every other
    thread. Putting the pieces together does not.
    """
    schema = pa.schema([pa.field(column.name, column.kind.arrow[floats]) for column in columns])
    pieces = [_table(columns, piece, floats, schema) for piece in _pieces(columns, rows)]
    return pa.concat_tables(pieces).combine_chunks() if pieces else schema.empty_table()


def _pieces(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows, no more than PIECE_ITEMS of them and of their lists' items at once."""
    lists = [place for place, column in enumerate(columns) if column.kind.names]
    first = items = 0
    for number, row in enumerate(rows):
        items += 1 + sum(len(row[place]) for place in lists)
        if items >= PIECE_ITEMS:
            yield rows[first : number + 1]
            first, items = number + 1, 0
    if first < len(rows):
        yield rows[first:]


def _table(columns: Sequence[Column], rows: Sequence[Row], floats: bool, schema: Any) -> Any:
    values = zip(*rows, strict=True)
    arrays = [_array(column.kind, one, floats) for column, one in zip(columns, values, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(kind: Kind, values: Sequence[Any], floats: bool) -> Any:
    target = kind.arrow[floats]
    if kind.names:
        values = [[dict(zip(kind.names, one, strict=True)) for one in value] for value in values]
        exact = pa.array(values, kind.arrow[0])
        return exact if not floats else _nested_floats(kind, values)
    if pa.types.is_floating(target):
        return pa.array([kind.plain[1](value) for value in values], target)
    return pa.array(values, target)


def _nested_floats(kind: Kind, values: Sequence[Any]) -> Any:
    def same(value: Any) -> Any:
        return float(value) if isinstance(value, Decimal) else value

    rows = [[{name: same(part) for name, part in one.items()} for one in value] for value in values]
    return pa.array(rows, kind.arrow[1])
