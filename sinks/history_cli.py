"""`coby quality` and `coby continuity`: what a book was worth, and when it was proven."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import click
import psycopg

from COBY.config import load_config
from COBY.runtime.columns import aligned
from COBY.runtime.database import Connection, connect, is_passing, refused, unreachable
from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import parse_time
from sinks.history import Asked, Row, intervals, plain, proven_us, qualities
from sinks.schema import check_schema

QUALITY = [
    "exchange",
    "timestamp",
    "score",
    "coverage",
    "events",
    "rejected",
    "duplicates",
    "anomalies",
    "gaps",
    "blind_us",
    "crossed_us",
    "checksum_failures",
    "skewed",
    "clamped",
    "clock_skew_us",
]
CONTINUITY = [
    "exchange",
    "start_time",
    "end_time",
    "rule",
    "sequenced",
    "checked",
    "snapshots",
    "connections",
    "conn",
    "reason",
]


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments and options of both; the command gets them as ``asked`` and ``as_json``."""

    @click.argument("symbol")
    @click.argument("exchange", required=False)
    @click.option(
        "--from",
        "since",
        help="Stream time: RFC 3339 with an offset, or milliseconds.  [default: the oldest]",
    )
    @click.option("--to", "until", help="Stream time after the last.  [default: the newest]")
    @click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
    @wraps(command)
    def asked(symbol: str, exchange: str | None, since: str | None, until: str | None, as_json: bool) -> None:
        limits = [None if text is None else parse_time(text) for text in (since, until)]
        if limits[0] is not None and limits[1] is not None and limits[0] >= limits[1]:
            text = f"from {since} to {until}"
            raise ValidationError("time.invalid", text, allowed="--from before --to")
        command(Asked(symbol.upper(), exchange and exchange.lower(), *limits), as_json)

    return asked


@click.command()
@asking
def quality(asked: Asked, as_json: bool) -> None:
    """What the book of SYMBOL was worth, minute by minute, on every exchange or on EXCHANGE.

    From the table quality, with the parts that the score is made of (docs/topics.md, quality).

    \b
    Example:
      coby quality BTCUSDT --from 2026-01-02T03:04:05Z
    """
    rows = _read(qualities, asked)
    _show(rows, QUALITY, as_json)
    if not as_json:
        lowest = min((row["score"] for row in rows), default=None)
        click.echo(f"{len(rows)} minutes" + ("" if lowest is None else f", the lowest score {lowest:.8f}"))


@click.command()
@asking
def continuity(asked: Asked, as_json: bool) -> None:
    """From when to when the book of SYMBOL was proven without a break, by which rule, and why that ended.

    From the table continuity. An interval that goes on has no reason; its end is at most a minute old. What lies
    between two is a gap.

    \b
    Example:
      coby continuity BTCUSDT --from 2026-01-02T03:04:05Z --json
    """
    rows = _read(intervals, asked)
    _show(rows, CONTINUITY, as_json)
    if not as_json:
        click.echo(f"{len(rows)} intervals, {proven_us(rows, asked) / 1_000_000:.6f} s proven")


def _read(read: Callable[[Connection, Asked], list[Row]], asked: Asked) -> list[Row]:
    cfg = load_config()
    with connect(cfg) as conn:
        try:
            check_schema(conn)
            return read(conn, asked)
        except psycopg.Error as error:
            raise (unreachable(cfg, error) if is_passing(error) else refused(error)) from error


def _show(rows: list[Row], columns: list[str], as_json: bool) -> None:
    found = [plain(row) for row in rows]
    if as_json:
        click.echo(json.dumps(found))
        return
    for line in table(found, columns):
        click.echo(line)


def table(rows: list[dict[str, Any]], columns: list[str]) -> Iterator[str]:
    """The rows as lines of aligned columns under a header; nothing is a dash."""
    cells = [[column.upper() for column in columns]]
    cells += [["-" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    yield from aligned(cells)
