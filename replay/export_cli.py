"""`coby replay export`'s file: options, progress on a terminal, and the sentence at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any

import click

from COBY.utils.intervals import format_us
from replay.export import FORMATS, PARQUET, Counts, Progress, export, format_of
from replay.items import Item

SHOW_SECONDS = 0.2
FILE_HELP = """FILE decides the format. .jsonl and .jsonl.gz (- is standard output) are recordings: a record a line
with topic, key, timestamp_ms, headers, type and the record's fields, decimals as strings. .parquet is a folder with a
file for each type, FILE/trade.parquet, FILE/book.parquet …: the record's fields (decimals, timestamps in UTC, levels
and cells as lists of structs), then stream_time, source, position and settings.
"""
"""For the command's help: its `epilog`."""


def export_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds FILE, --format and --force, as the arguments `file`, `file_format` and `force`."""
    force = click.option("--force", is_flag=True, help="Overwrite FILE.")
    kind = click.option(
        "--format",
        "file_format",
        type=click.Choice(tuple(FORMATS)),
        help="What FILE is to be.  [default: by its end]",
    )
    return click.argument("file")(kind(force(command)))


def run_export(items: Iterable[Item], file: str, file_format: str | None, force: bool) -> Counts:
    """Write the items, with progress where standard error is a terminal, and say at the end what is there.

    Errors: those of `format_of` and `export`.
    """
    meant = format_of(file, file_format)
    line = ProgressLine() if sys.stderr.isatty() else None
    try:
        counts = export(items, file, meant, force=force, tell=line.show if line else None)
    finally:
        if line:
            line.clear()
    for sentence in sentences(counts, file, meant):
        click.echo(sentence, err=True)
    return counts


def sentences(counts: Counts, file: str, file_format: str) -> Iterator[str]:
    """What was written, and what was not."""
    kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.by_type.items()) if count)
    what = _counted(counts.records, "record") + (f" ({kinds})" if kinds else "")
    when = ""
    if counts.from_ms is not None and counts.to_ms is not None:
        when = f" of stream time {_time(counts.from_ms)} to {_time(counts.to_ms)}"
    yield f"{what}{when} written to {'standard output' if file == '-' else file}"
    if counts.gaps:
        holes = ", ".join(
            f"{exchange} {symbol} {count:,}" for (exchange, symbol), count in sorted(counts.gaps.items())
        )
        yield f"the range has {_counted(counts.gaps.total(), 'gap')}: {holes}"
    if counts.unreadable:
        yield f"{_counted(counts.unreadable, 'record')} of no schema of ours, written as bytes"
    if counts.left_out:
        hint = " (a recording has them)" if file_format == PARQUET else ""
        yield f"{_counted(counts.left_out, 'record')} left out: no columns for what is in them{hint}"


class ProgressLine:
    """One line on standard error that is written over: records, position, rate."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Starts to count time."""
        self._clock = clock
        self._began = self._shown = clock()
        self._width = 0

    def show(self, progress: Progress) -> None:
        """Write it, if the last is not just written."""
        now = self._clock()
        if now - self._shown < SHOW_SECONDS:
            return
        self._shown = now
        rate = progress.records / (now - self._began)
        text = f"{progress.records:,} records, at {_time(progress.time_ms)}, {rate:,.0f} records/s"
        click.echo(f"\r{text:<{self._width}}", err=True, nl=False)
        self._width = max(self._width, len(text))

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            click.echo(f"\r{'':<{self._width}}\r", err=True, nl=False)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _time(time_ms: int) -> str:
    return format_us(time_ms * 1000)
