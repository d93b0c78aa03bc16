"""``coby decode``: a recording into events, JSON lines, by the pipeline's own code; no server needed."""

from __future__ import annotations

import os
import sys

import click
import msgspec

from COBY.decode import RecordingDecoder, only_book
from COBY.environment import own_exchanges
from COBY.exchanges import add, load, names
from COBY.recordings import parse_recording
from COBY.runtime.files import reading_lines
from COBY.utils.exceptions import ConfigurationError


def _known(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """The exchange's name, once the files of EXCHANGES_PATH are known too. ConfigurationError if one is wrong."""
    problems: list[ConfigurationError] = []
    own_exchanges(os.environ.get("EXCHANGES_PATH") or None, add, problems)
    for problem in problems:
        raise problem
    if name not in names():
        raise click.BadParameter(f"{name!r} is none of {', '.join(names())}")
    return name


@click.command(
    epilog=f"\b\nExample:\n  coby decode --exchange {names()[0]} --books 1 recording.jsonl.gz | head"
)
@click.option(
    "--exchange",
    required=True,
    callback=_known,
    metavar="NAME",
    help=f"Whose frames the recording holds: {', '.join(names())}, or a file of EXCHANGES_PATH.",
)
@click.option("--deltas", is_flag=True, help="Show every proven update of a book too.")
@click.option(
    "--books", type=click.IntRange(1, 10_000), metavar="N", help="After every update, the best N levels."
)
@click.argument("file", default="-")
def decode(exchange: str, deltas: bool, books: int | None, file: str) -> None:
    """Turn a recording (FILE, .gz is opened, - is standard input) into events: trades, gaps, rejected frames."""
    module = load(exchange)
    with reading_lines(file) as lines:
        rows = list(parse_recording(lines))
    unnamed = any(row.kind == "http" and row.symbol is None and row.url is None for row in rows)
    decoder = RecordingDecoder(module, only_book(module, rows) if unnamed else None, deltas, books)
    write, encoder = sys.stdout.buffer.write, msgspec.json.Encoder()
    for row in rows:
        for event in decoder.take(row):
            write(encoder.encode(event) + b"\n")
    sys.stdout.buffer.flush()
