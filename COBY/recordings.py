"""Recordings: JSON lines, one frame, REST body or context row a line. Pure: lines in, records out, and back.

Read are the keys ``received_at_ns`` (or ``received_at``: seconds, or RFC 3339), ``dir`` (``in``, the
default, and ``http`` are decoded; ``out``, ``connect``, ``meta``, ``in-ack`` are context), ``frame``,
``encoding`` (``base64``), ``url``, ``symbol``, ``exchange``, and of our own records ``conn``, ``seq``,
``kind``, ``slot``; all others are passed over. Events of ours are rows of ``dir`` ``meta`` and ``kind``
``event``, so that other readers pass them over.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from COBY.utils.exceptions import CobyError, ValidationError
from COBY.utils.intervals import parse_time

DIRECTIONS = ("in", "http", "out", "connect", "meta", "in-ack")
KINDS = ("ws", "http", "event")
_KIND_OF = {"in": "ws", "http": "http"}
_NS = 1_000_000_000
_END_NS = 2**63  # what 64 bits hold


class RecordedFrame(msgspec.Struct, frozen=True, gc=False):
    """One row. ``received_ns``: nanoseconds UTC, None where the row has no time; ``line`` counts from 1.

    ``kind`` is ``ws``, ``http`` or ``event`` (None for context); ``seq`` counts only together with ``conn``.
    A row without a frame (``connect``, or a null value of a raw topic: ``is_null``) has the empty ``frame``.
    """

    received_ns: int | None
    dir: str
    frame: bytes
    url: str | None = None
    symbol: str | None = None
    conn: str | None = None
    seq: int | None = None
    kind: str | None = None
    exchange: str | None = None
    slot: str | None = None
    line: int = 0
    is_null: bool = False

    @property
    def is_decoded(self) -> bool:
        """Whether the row is a frame or REST body of the exchange, and no context or event."""
        return self.kind in ("ws", "http")


class _Row(msgspec.Struct):
    frame: str | None = None
    dir: str = "in"
    received_at_ns: int | None = None
    received_at: float | str | None = None
    encoding: str | None = None
    url: str | None = None
    symbol: str | None = None
    conn: str | None = None
    seq: int | None = None
    kind: str | None = None
    exchange: str | None = None
    slot: str | None = None


_rows = msgspec.json.Decoder(_Row)


def parse_recording(lines: Iterable[bytes | str]) -> Iterator[RecordedFrame]:
    """The rows of a recording, in order; empty lines are passed over.

    ValidationError ``recording.invalid``, with the number of the line, for the first one that is no row.
    """
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            yield _record(_rows.decode(text), number)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
            raise ValidationError("recording.invalid", str(error), where=f"line {number}") from error
        except CobyError as error:
            raise ValidationError("recording.invalid", error.detail(), where=f"line {number}") from error


def format_recorded(record: RecordedFrame) -> bytes:
    """The row of a record, with its line feed: ``parse_recording`` gives the same record back.

    Bytes that are no UTF-8 go as base64, so does a text that JSON could not give back.
    """
    text, encoding = (None, None) if record.is_null else _text(record.frame)
    row = {
        "exchange": record.exchange,
        "slot": record.slot,
        "received_at_ns": record.received_ns,
        "dir": record.dir,
        "conn": record.conn,
        "seq": record.seq,
        "kind": record.kind,
        "url": record.url,
        "symbol": record.symbol,
        "encoding": encoding,
    }
    return msgspec.json.encode({k: v for k, v in row.items() if v is not None} | {"frame": text}) + b"\n"


def only_symbol(records: Iterable[RecordedFrame]) -> str | None:
    """The one symbol that the rows name, None if none or several: REST bodies without one belong to it."""
    symbols = {record.symbol for record in records if record.symbol is not None}
    return symbols.pop() if len(symbols) == 1 else None


def _record(row: _Row, line: int) -> RecordedFrame:
    _among("dir", row.dir, DIRECTIONS)
    if row.kind is not None:
        _among("kind", row.kind, KINDS)
    kind = row.kind or _KIND_OF.get(row.dir)
    return RecordedFrame(
        _time_ns(row),
        row.dir,
        _bytes(row),
        row.url,
        row.symbol,
        row.conn,
        row.seq if row.conn is not None else None,
        kind,
        row.exchange,
        row.slot,
        line,
        row.frame is None and kind is not None,
    )


def _among(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key} is {value[:40]!r}, allowed: {' '.join(allowed)}")


def _time_ns(row: _Row) -> int | None:
    if row.received_at_ns is not None:
        time_ns = row.received_at_ns
    elif row.received_at is None:
        return None
    elif isinstance(row.received_at, str):
        time_ns = parse_time(row.received_at) * 1000
    else:
        # By way of the decimal text: the product of floats would invent nanoseconds that nobody wrote.
        time_ns = int(Decimal(repr(row.received_at)) * _NS)
    if not 0 <= time_ns < _END_NS:
        raise ValueError("a time outside 1970 to 2262")
    return time_ns


def _bytes(row: _Row) -> bytes:
    if row.frame is None:
        return b""
    if row.encoding is None:
        return row.frame.encode()
    _among("encoding", row.encoding, ("base64",))
    try:
        return b64decode(row.frame, validate=True)
    except Base64Error as error:
        raise ValueError(f"frame is no base64: {error}") from error


def _text(frame: bytes) -> tuple[str, str | None]:
    try:
        return frame.decode(), None
    except UnicodeDecodeError:
        return b64encode(frame).decode(), "base64"
