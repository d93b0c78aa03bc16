"""A recording (frames/README.md) as raw records of one connection, with marks, as they would stand in a raw topic."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

KINDS = {"in": "ws", "http": "http"}


def raw_records(path: Path, exchange: str, step_ns: int = 500_000_000, marks_after: int = 6) -> list[dict]:
    """All frames with their own times, a mark at each grid point between them and `marks_after` more at the end."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line, parse_float=Decimal) for line in file]
    rows = [row for row in rows if row.get("dir", "in") in KINDS]
    for row in rows:
        row["received_at_ns"] = received_ns(row)
    mark_ns = rows[0]["received_at_ns"] // step_ns * step_ns
    records = []
    for seq, row in enumerate(rows, start=1):
        while mark_ns <= row["received_at_ns"]:
            records.append(mark(exchange, mark_ns))
            mark_ns += step_ns
        records.append(frame(exchange, row, seq))
    for _ in range(marks_after):
        records.append(mark(exchange, mark_ns))
        mark_ns += step_ns
    return in_partition(records)


def received_ns(row: dict) -> int:
    """The row's time, which some recordings have in seconds only."""
    return row["received_at_ns"] if "received_at_ns" in row else int(row["received_at"] * 1_000_000_000)


def frame(exchange: str, row: dict, seq: int) -> dict:
    """One row of the recording."""
    return {
        "topic": f"coby.raw.{exchange}.v1",
        "key": f"{exchange}-0".encode(),
        "value": row["frame"].encode(),
        "received_ns": row["received_at_ns"],
        "conn": "recording",
        "seq": seq,
        "kind": KINDS[row.get("dir", "in")],
        "url": row.get("url"),
        "symbol": row.get("symbol"),
    }


def mark(exchange: str, time_ns: int) -> dict:
    """A mark of the clock."""
    return {
        "topic": f"coby.raw.{exchange}.v1",
        "key": b"clock",
        "value": b"",
        "received_ns": time_ns,
        "conn": "clock",
        "seq": 0,
        "kind": "mark",
        "url": None,
        "symbol": None,
    }


def in_partition(records: list[dict], partition: int = 0) -> list[dict]:
    """The same records with partition and offsets."""
    return [record | {"partition": partition, "offset": offset} for offset, record in enumerate(records)]
