"""Avro schemas, one .avsc per record type, and the fixed ids they carry on the wire.

Ids are append-only: a number once given is never given to another schema, because records of it may lie in topics.
A changed schema gets a new id and stays readable by the old ones (FULL_TRANSITIVE); the former one is kept beside it
as ``former/<name>.<id>.avsc``, because Avro is read by the schema it was written with.
"""

from importlib.resources import files

# Schema name -> id in the Confluent wire format (0x00, 4-byte big-endian id, Avro body).
IDS: dict[str, int] = {
    "trade": 1,
    "book": 2,
    "gap": 3,
    "heatmap": 5,
    "consolidated": 6,
    "ohlcv": 7,
    "status": 8,
    "control": 9,
    "settings": 10,
    "quality": 11,
    "continuity": 12,
    "session": 13,
    "place": 15,
}

# Ids of former schemas -> name. Nothing writes them any more.
FORMER: dict[int, str] = {4: "quality", 14: "place"}


def schema_text(name: str) -> str:
    """The JSON text of one schema; KeyError for a name that has no id."""
    IDS[name]
    return _text(name)


def former_text(number: int) -> str:
    """The JSON text of a former schema; KeyError for an id that is none."""
    return _text(f"former/{FORMER[number]}.{number}")


def _text(stem: str) -> str:
    return files(__name__).joinpath(f"{stem}.avsc").read_text(encoding="utf-8")
