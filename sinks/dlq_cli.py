"""`coby dlq`: look at the dead letters, and give those of the sinks to their sink once more."""

from __future__ import annotations

import hashlib
import json
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import click

from COBY.config import Config, load_config
from COBY.runtime.columns import aligned
from COBY.utils.intervals import format_us, parse_time
from sinks.dlq import DeadLetter, Wanted, read_letters, read_one, tally
from sinks.dlq_retry import REFUSED, retry

HEAD = ("STAGE", "CODE", "LETTERS", "FIRST", "LAST")
EACH = ("NUMBER", "TIME", "STAGE", "CODE", "BYTES", "ORIGIN")
DUMP_BYTES = 512
Rows = list[tuple[str, ...]]


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose letters; the command gets them as one ``wanted``."""

    @click.option("--stage", "stages", multiple=True, help="Only of this stage; may be given several times.")
    @click.option("--code", "codes", multiple=True, help="Only with this code; may be given several times.")
    @click.option("--since", help="Written at this time (RFC 3339) or later.")
    @click.option("--until", help="Written before this time.")
    @wraps(command)
    def chosen(
        stages: tuple[str, ...], codes: tuple[str, ...], since: str | None, until: str | None, **rest: Any
    ) -> None:
        times = [None if text is None else parse_time(text) for text in (since, until)]
        command(wanted=Wanted(stages, codes, *times), **rest)

    return chosen


@click.group()
def dlq() -> None:
    """Look at the dead letters: records that could not be used, with the reason.

    \b
    Example:
      coby dlq list
    """


@dlq.command("list")
@choosing
@click.option("--each", is_flag=True, help="A line per letter, with the number that show and retry take.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of a table.")
def list_letters(wanted: Wanted, each: bool, as_json: bool) -> None:
    """Count the dead letters by stage and code, with the times of the first and the last.

    A letter written again after a crash counts once. Times are those of the letter's record in Kafka.

    \b
    Example:
      coby dlq list --since 2026-01-02T00:00:00Z
      coby dlq list --stage timescale --each
    """
    letters = read_letters(load_config(), wanted)
    rows: Rows = [_line(letter) for letter in letters] if each else _counts(letters)
    head = EACH if each else HEAD
    if as_json:
        for row in rows:
            click.echo(json.dumps(dict(zip(map(str.lower, head), row, strict=True))))
        return
    for line in aligned([head, *rows]):
        click.echo(line)


@dlq.command()
@click.argument("numbers", nargs=-1, metavar="[NUMBER]...")
@choosing
@click.option(
    "--last", type=click.IntRange(1), default=1, show_default=True, help="Without NUMBER: how many."
)
@click.option("--raw", is_flag=True, help="Only the bytes of the records, as they came.")
def show(numbers: tuple[str, ...], wanted: Wanted, last: int, raw: bool) -> None:
    """Show letters whole: headers and bytes. NUMBER is as `coby dlq list --each` shows it; without, the newest.

    Text is shown as text, anything else as hexadecimal, at most the first 512 bytes; --raw writes all.

    \b
    Example:
      coby dlq show 3/17
      coby dlq show --stage normalize --last 5
    """
    cfg = load_config()
    for letter in _chosen(cfg, numbers, wanted, last):
        if raw:
            click.get_binary_stream("stdout").write(letter.value or b"")
        else:
            click.echo("\n".join(_whole(letter)))


@dlq.command("retry")
@click.argument("numbers", nargs=-1, metavar="[NUMBER]...")
@choosing
@click.option("--all", "everything", is_flag=True, help="All that the options choose, instead of NUMBERs.")
def retry_letters(numbers: tuple[str, ...], wanted: Wanted, everything: bool) -> None:
    """Give letters of a sink to that sink's own storing once more, after what refused them has been mended.

    Each is stored exactly once, however often this is called, and only where it is missing. Letters of the stages
    (normalize, aggregate) are never retried: their records lie in the raw topics, and mended code takes them up by
    recompute. Exit code 1 if any letter was refused again.

    \b
    Example:
      coby dlq retry 3/17
      coby dlq retry --all --stage timescale --code db.22003
    """
    if bool(numbers) == everything:
        raise click.UsageError("give NUMBERs, or --all with options that choose")
    cfg = load_config()
    letters = _chosen(cfg, numbers, wanted, None)
    results: Counter[str] = Counter()
    for outcome in retry(cfg, letters):
        results[outcome.result] += 1
        reason = f"  {outcome.reason}" if outcome.reason else ""
        click.echo(f"{outcome.result:<8}  {outcome.letter.number}  {outcome.letter.origin}{reason}")
    click.echo(", ".join(f"{count} {result}" for result, count in sorted(results.items())) or "no letters")
    if results[REFUSED]:
        raise SystemExit(1)


def _chosen(cfg: Config, numbers: tuple[str, ...], wanted: Wanted, last: int | None) -> Iterator[DeadLetter]:
    """The letters of these numbers; without, the wanted ones: all, or the ``last`` newest, oldest first."""
    if numbers:
        yield from (read_one(cfg, number) for number in numbers)
        return
    if last is None:
        yield from read_letters(cfg, wanted)
        return
    newest: list[DeadLetter] = []
    for letter in read_letters(cfg, wanted):
        newest = sorted([*newest, letter], key=_age)[-last:]
    yield from newest


def _age(letter: DeadLetter) -> tuple[int, int, int]:
    return letter.timestamp_ms, letter.partition, letter.offset


def _counts(letters: Iterator[DeadLetter]) -> Rows:
    return [
        (row.stage, row.code, str(row.letters), _time(row.first_ms), _time(row.last_ms))
        for row in tally(letters)
    ]


def _line(letter: DeadLetter) -> tuple[str, ...]:
    size = str(len(letter.value or b""))
    return letter.number, _time(letter.timestamp_ms), letter.stage, letter.code, size, letter.origin


def _whole(letter: DeadLetter) -> Iterator[str]:
    value = letter.value
    yield f"letter {letter.number}  {_time(letter.timestamp_ms)}"
    yield f"  key: {_readable(letter.key or b'')}"
    for name, data in letter.headers:
        yield f"  header {name}: {_readable(data)}"
    if value is None:
        yield "  value: null"
        return
    yield f"  value: {len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"
    yield f"  {_readable(value[:DUMP_BYTES])}" + (" …" if len(value) > DUMP_BYTES else "")


def _readable(data: bytes) -> str:
    """The bytes as text if they are printable UTF-8, else as hexadecimal digits: control codes move no cursor.

    A last character that was cut in the middle is left out.
    """
    try:
        text = getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
    return text if text.isprintable() else f"0x{data.hex()}"


def _time(time_ms: int) -> str:
    return format_us(time_ms * 1000)
