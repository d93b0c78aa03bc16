"""`coby feed`: writes a recording into a raw topic, with marks of its own."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import click

from COBY import exchanges
from COBY.config import Config, load_config
from COBY.exchanges.base import Slot
from COBY.recordings import RecordedFrame, parse_recording
from COBY.runtime.files import reading_lines
from COBY.runtime.kafka import GaplessProducer, check_topics, make_producer
from COBY.slots import slots_of
from COBY.topics import RAW_PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import BrokerError, ConfigurationError, ValidationError
from COBY.utils.timing import format_us
from producers.feeding import AFTER_US, Feeder, Mark, Plan, Scan, scan, symbols_in
from producers.marks import last_marks, put_mark
from producers.raw import RawRecord
from producers.retention import keep_old_records

PROGRESS_SECONDS = 0.5
Reading = Callable[[], Iterator[RecordedFrame]]


@click.command()
@click.argument("recording", metavar="FILE")
@click.option(
    "--exchange", "name", help="One of EXCHANGES.  [default: what the recording names, or the only one]"
)
@click.option("--slot", help="The slot it belongs to.  [default: the recording's, or that of its symbol]")
@click.option(
    "--times",
    type=click.Choice(["shifted", "kept"]),
    default="shifted",
    show_default=True,
    help="shifted: ends now. kept: as recorded; turns the retention off where it would delete the records.",
)
def feed(recording: str, name: str | None, slot: str | None, times: str) -> None:
    """Write a recording (JSON lines, .gz opened, - for standard input) into a raw topic.

    Marks are written where its times pass the grid, and for 5 s after its end.

    \b
    Example:
      coby feed frames.jsonl.gz --times shifted
    """
    cfg = load_config()
    reading = _reading(recording)
    seen = scan(reading())
    if not seen.rows:
        raise ValidationError("feed.empty", "the recording holds no frame", where=recording)
    exchange = _exchange(cfg, name, seen)
    check_topics(cfg)
    click.echo(feed_recording(cfg, exchange, slot, times, reading, seen))


def feed_recording(
    cfg: Config, exchange: str, slot: str | None, times: str, reading: Reading, seen: Scan
) -> str:
    """Feed it and return a sentence of what was written; delivered when this returns."""
    topic = topic_name(cfg.topic_prefix, "raw", exchange)
    plan = _plan(cfg, exchange, slot, times, reading, seen)
    if times == "kept" and seen.first_ns is not None:
        for line in keep_old_records(cfg, exchange, seen.first_ns // 1_000_000):
            click.echo(line, err=True)
    failures: list[BrokerError] = []
    producer = make_producer(cfg, failures.append)
    counts: Counter[str] = Counter()
    shown = time.monotonic()
    for item in Feeder(plan).feed(reading()):
        counts[_put(producer, topic, item)] += 1
        if failures:
            raise failures[0]
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            _progress(counts)
    producer.flush()
    if failures:
        raise failures[0]
    return f"{_sentence(counts)} written to {topic}"


def _put(producer: GaplessProducer, topic: str, item: RawRecord | Mark) -> str:
    if isinstance(item, Mark):
        for partition in range(RAW_PARTITIONS):
            put_mark(producer, topic, partition, item.time_us)
        return "marks"
    key = item.slot.encode()
    producer.produce(
        topic,
        item.value,
        key,
        item.headers(),
        timestamp_ms=item.received_ns // 1_000_000,
        partition=partition_of(key, RAW_PARTITIONS),
    )
    return {"ws": "frames", "http": "bodies", "event": "events"}[item.kind]


def _reading(recording: str) -> Reading:
    """The recording is read twice; standard input is kept in memory for that."""
    if recording != "-":
        return lambda: _rows(recording)
    kept = list(_rows(recording))
    return lambda: iter(kept)


def _rows(recording: str) -> Iterator[RecordedFrame]:
    with reading_lines(recording) as lines:
        yield from parse_recording(lines)


def _exchange(cfg: Config, name: str | None, seen: Scan) -> str:
    named = [name] if name else [known for known in cfg.exchanges if known in seen.exchanges]
    chosen = named or list(cfg.exchanges)
    if len(chosen) != 1 or chosen[0] not in cfg.exchanges:
        message = f"the recording is of {', '.join(chosen)}"
        allowed = f"one of EXCHANGES by --exchange: {', '.join(cfg.exchanges)}"
        raise ConfigurationError("config.unknown_exchange", message, where="--exchange", allowed=allowed)
    return chosen[0]


def _plan(cfg: Config, exchange: str, slot: str | None, times: str, reading: Reading, seen: Scan) -> Plan:
    slots = {known.name: known for known in slots_of(cfg, exchange)}
    symbols = set(seen.symbols)
    if seen.nameless_line is not None and len(symbols) != 1:
        symbols = symbols_in(reading(), exchanges.load(exchange).decoder({}))
        if len(symbols) != 1:
            message = f"a REST body without symbol or url in a recording of {sorted(symbols) or 'no symbol'}"
            raise ValidationError("feed.unknown_symbol", message, where=f"line {seen.nameless_line}")
    shift_ns = _shift_ns(cfg, exchange, times, seen)
    return Plan(
        slots,
        _slot(slots, slot, symbols, seen),
        next(iter(symbols)) if len(symbols) == 1 else None,
        seen.has_events,
        (seen.first_ns or 0) + shift_ns,
        shift_ns,
        cfg.update_frequency_us,
    )


def _slot(slots: dict[str, Slot], slot: str | None, symbols: set[str], seen: Scan) -> str:
    """The slot of rows that name none. ConfigurationError `config.unknown_slot` where it can't be told."""
    if slot is not None:
        fitting = [slot]
    else:
        fitting = [name for name, known in slots.items() if symbols & set(known.symbols.values())] or list(
            slots
        )
        fitting = fitting[:1] if seen.slots else fitting
    unknown = (set(fitting) | seen.slots) - set(slots)
    if unknown or len(fitting) != 1:
        message = f"slot {', '.join(sorted(unknown))}" if unknown else "the recording fits several slots"
        raise ConfigurationError("config.unknown_slot", message, where="--slot", allowed=", ".join(slots))
    return fitting[0]


def _shift_ns(cfg: Config, exchange: str, times: str, seen: Scan) -> int:
    """By how much times are moved: whole steps of the grid, so that the ticks cut the recording where they did.

    Marks never go back: what is fed begins after the newest mark that is there.
    """
    grid_us, now_us = cfg.update_frequency_us, time.time_ns() // 1000
    topics = [topic_name(cfg.topic_prefix, "raw", exchange)]
    if times == "kept":
        _check_kept(cfg, topics, seen)
        return 0
    first_us, last_us = (seen.first_ns or 0) // 1000, (seen.last_ns or 0) // 1000
    start_us = now_us - (last_us - first_us) - AFTER_US
    marks = [mark for mark in last_marks(cfg, topics, start_us - grid_us).values() if mark is not None]
    start_us = max([start_us, *(mark + grid_us for mark in marks)])
    return -(-(start_us - first_us) // grid_us) * grid_us * 1000


def _check_kept(cfg: Config, topics: Iterable[str], seen: Scan) -> None:
    if seen.first_ns is None:
        raise ValidationError("feed.no_times", "no row has a time to keep", allowed="--times shifted")
    marks = [mark for mark in last_marks(cfg, topics, seen.first_ns // 1000).values() if mark is not None]
    if marks:
        message = f"the topic holds marks up to {format_us(max(marks))}, the recording begins before"
        raise ValidationError(
            "feed.older_than_marks", message, allowed="--times shifted, or another TOPIC_PREFIX"
        )


def _sentence(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in ("frames", "bodies", "events", "marks"))


def _progress(counts: Counter[str]) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{_sentence(counts)} ", nl=False, err=True)
