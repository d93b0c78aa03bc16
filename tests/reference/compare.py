"""Hold the reference's dicts against what the topics hold, read by plain fastavro: differences as text."""

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import fastavro

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEADER_BYTES = 5  # 0x00 and the schema's id, big-endian
MOST_REPORTED = 50

# What names one record among those of its topic, and so pairs the two sides.
KEYS = {
    "trade": ("symbol", "exchange", "trade_id"),
    "book": ("symbol", "exchange", "timestamp"),
    "heatmap": ("symbol", "timestamp"),
    "consolidated": ("symbol", "timestamp"),
    "ohlcv": ("symbol", "timeframe", "timestamp", "revision"),
    "gap": ("symbol", "exchange", "from_time", "reason", "until_time"),
    "continuity": ("symbol", "exchange", "start_time"),
}
# Within these, order counts too.
GROUPS = {
    "trade": ("symbol", "exchange"),
    "book": ("symbol", "exchange"),
    "heatmap": ("symbol",),
    "consolidated": ("symbol",),
    "ohlcv": ("symbol", "timeframe"),
    "gap": ("symbol", "exchange"),
    "continuity": ("symbol", "exchange"),
}
# What the reference does not compute: words for people, and what is counted update by update.
LEFT_OUT = {
    "gap": ("detail",),
    "continuity": ("end_time", "rule", "sequenced", "checked", "snapshots", "connections"),
}


@cache
def schema(name: str) -> object:
    """The parsed schema of schemas/<name>.avsc."""
    return fastavro.parse_schema(json.loads((SCHEMAS / f"{name}.avsc").read_text(encoding="utf-8")))


def decode(name: str, value: bytes) -> dict:
    """A topic's value (Confluent wire format) as a dict with Decimals and times in microseconds."""
    if value[:1] != b"\x00":
        raise ValueError(f"{name}: not in Confluent's wire format: {value[:8]!r}")
    body = io.BytesIO(value[HEADER_BYTES:])
    found = fastavro.schemaless_reader(body, schema(name), None)
    if body.read(1):
        raise ValueError(f"{name}: bytes left over after the record")
    return plain(found)


def plain(value: object) -> object:
    """Times as ints of microseconds, all else as it is."""
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def differences(expected: object, actual: object, path: str = "") -> list[str]:
    """Every place where the two differ: `data[3].volume: expected 1.5, found 1.6`."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = []
        for name in [*expected, *(name for name in actual if name not in expected)]:
            place = f"{path}.{name}" if path else name
            if name not in actual:
                found.append(f"{place}: expected {expected[name]}, not there")
            elif name not in expected:
                found.append(f"{place}: not expected, found {actual[name]}")
            else:
                found += differences(expected[name], actual[name], place)
        return found
    if isinstance(expected, list) and isinstance(actual, list):
        found = []
        if len(expected) != len(actual):
            found.append(f"{path}: expected {len(expected)} items, found {len(actual)}")
        for index, (left, right) in enumerate(zip(expected, actual, strict=False)):
            found += differences(left, right, f"{path}[{index}]")
        return found
    if same(expected, actual):
        return []
    return [f"{path}: expected {expected!s}, found {actual!s}"]


def same(expected: object, actual: object) -> bool:
    """Equal value and kind: true is not 1, a Decimal is not a float."""
    kinds = {Decimal if isinstance(value, Decimal) else type(value) for value in (expected, actual)}
    return len(kinds) == 1 and expected == actual


def compare_topic(name: str, expected: list[dict], actual: list[dict]) -> list[str]:
    """Differences of a whole topic: missing, unexpected and doubled records, fields, and order within each group.

    actual: decoded values in the order of the topic, repeats (Recovery 6) already dropped. At most 50 are reported.
    """
    found = []
    actual = [without(record, LEFT_OUT.get(name, ())) for record in actual]
    left, right = by_key(name, expected), by_key(name, actual)
    if len(right) != len(actual):
        found.append(f"{name}: {len(actual) - len(right)} records occur twice")
    found += [f"{name}{place}: expected, not there" for place in left if place not in right]
    found += [f"{name}{place}: not expected" for place in right if place not in left]
    for place in left:
        if place in right:
            found += differences(left[place], right[place], f"{name}{place}")
    if not found:
        found += order_differences(name, expected, actual)
    if len(found) > MOST_REPORTED:
        return [*found[:MOST_REPORTED], f"… and {len(found) - MOST_REPORTED} more"]
    return found


def without(record: dict, fields: tuple[str, ...]) -> dict:
    """The record but for these fields."""
    return {name: value for name, value in record.items() if name not in fields}


def by_key(name: str, records: list[dict]) -> dict[tuple, dict]:
    """What names a record -> the record."""
    return {tuple(record[field] for field in KEYS[name]): record for record in records}


def order_differences(name: str, expected: list[dict], actual: list[dict]) -> list[str]:
    """The first place in each group where the two sides order their records differently."""
    left, right = sequences(name, expected), sequences(name, actual)
    found = []
    for group, keys in left.items():
        for index, (one, other) in enumerate(zip(keys, right[group], strict=True)):
            if one != other:
                found.append(f"{name}{group}[{index}]: order: expected {one}, found {other}")
                break
    return found


def sequences(name: str, records: list[dict]) -> dict[tuple, list[tuple]]:
    """Group -> the keys of its records, in order."""
    found: dict[tuple, list[tuple]] = {}
    for record in records:
        group = tuple(record[field] for field in GROUPS[name])
        found.setdefault(group, []).append(tuple(record[field] for field in KEYS[name]))
    return found
