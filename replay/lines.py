"""Items as lines of a recording of derived records: JSON, one record a line. Pure.

``{"topic", "key", "timestamp_ms", "headers", "type", "schema_id", …the record's fields}``: decimals as strings with
eight decimals, times as RFC 3339 in UTC with microseconds. Key, timestamp and headers come back from it byte for
byte, and so does the value: a zero byte, ``schema_id`` as four bytes, and the fields as Avro of that schema. A value
that this would not give (no record of ours, or written otherwise than we write) stands in ``value`` itself.
Bytes are text, null where there are none, ``{"base64": …}`` where they are no UTF-8; headers are an object, and a list
of pairs where a name comes twice.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec

from COBY.codec import encode
from COBY.jsonform import plain
from COBY.records import NAMES, Record
from COBY.utils.exceptions import ValidationError
from replay.items import Item
from schemas import FORMER

_encoder = msgspec.json.Encoder()


def line_of(item: Item, record: Record | None) -> bytes:
    """The line of an item, its line break included. ``record``: its value decoded, None where it can't be."""
    row: dict[str, Any] = {
        "topic": item.topic,
        "key": _text(item.key),
        "timestamp_ms": item.time_ms,
        "headers": _headers(item.headers),
        "type": NAMES[type(record)] if record is not None else None,
    }
    fields = _fields(record)
    if fields is not None:
        row |= {"schema_id": int.from_bytes((item.value or b"")[1:5], "big"), **fields}
    if fields is None or record is None or not _is_ours(item.value or b"", record):
        row["value"] = None if item.value is None else _packed(item.value)
    return _encoder.encode(row) + b"\n"


def _fields(record: Record | None) -> dict[str, Any] | None:
    try:
        return None if record is None else plain(record)
    except ValidationError:  # a time that no text can say
        return None


def _is_ours(value: bytes, record: Record) -> bool:
    """Whether the value comes back from the record's fields."""
    number = int.from_bytes(value[1:5], "big")
    # Nothing writes former schemas any more, so nothing here can tell; their records are few.
    return number not in FORMER and encode(record) == value


def _headers(headers: list[tuple[str, bytes | None]]) -> Any:
    pairs = [(name, _text(value)) for name, value in headers]
    by_name = dict(pairs)
    return by_name if len(by_name) == len(pairs) else pairs


def _text(value: bytes | None) -> Any:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return _packed(value or b"")


def _packed(value: bytes) -> dict[str, str]:
    return {"base64": b64encode(value).decode()}
