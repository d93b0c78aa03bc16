"""`coby record`: writes a range of a raw topic as a recording, without loss."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from typing import NamedTuple

import click
from confluent_kafka import Consumer, Message

from COBY.config import load_config
from COBY.recordings import KINDS, RecordedFrame, format_recorded
from COBY.runtime.files import writing_bytes
from COBY.runtime.kafka import make_consumer, require_broker
from COBY.topics import RAW_PARTITIONS, topic_name
from COBY.utils.exceptions import BrokerError, ValidationError
from COBY.utils.timing import parse_time
from producers.__main__ import named_exchange
from producers.offsets import bounds, first_since, read_range

_RANGE = re.compile(r"(\d+):(\d+)-(\d+)", re.ASCII)
_DIRECTION = {"http": "http", "event": "meta"}
Timed = tuple[int, int, Message]


class Range(NamedTuple):
    """Offsets ``start`` … ``end`` (without it) of a partition; of these, received from ``from_us`` until ``to_us``."""

    partition: int
    start: int
    end: int
    from_us: int | None = None
    to_us: int | None = None


@click.command()
@click.argument("recording", metavar="FILE")
@click.option("--exchange", "name", help="One of EXCHANGES.  [default: the only one]")
@click.option("--from", "since", help="First time: RFC 3339 with an offset, or milliseconds.  [default: all]")
@click.option("--to", "until", help="Time after the last.  [default: what is there now]")
@click.option(
    "--offsets", multiple=True, help="PARTITION:START-END, END not included; several times for several."
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def record(
    recording: str,
    name: str | None,
    since: str | None,
    until: str | None,
    offsets: tuple[str, ...],
    force: bool,
) -> None:
    """Write a range of a raw topic as a recording (JSON lines; .gz packs, - is standard output).

    Frames, REST bodies and events, each with its connection and number; marks are left out, as `coby feed`
    writes marks of its own. Bytes that are no UTF-8 go as base64.

    \b
    Example:
      coby record frames.jsonl.gz --from 2026-01-02T03:04:05Z --to 2026-01-02T03:14:05Z
    """
    if offsets and (since or until):
        raise ValidationError(
            "record.range", "both offsets and times", allowed="--offsets, or --from and --to"
        )
    cfg = load_config()
    exchange = named_exchange(cfg, name or ",".join(cfg.exchanges)).name
    topic = topic_name(cfg.topic_prefix, "raw", exchange)
    if topic not in require_broker(cfg).topics:
        raise BrokerError("topics.missing", f"{topic} is missing", allowed="coby topics apply")
    consumers = [make_consumer(cfg, f"{cfg.topic_prefix}.record") for _ in range(RAW_PARTITIONS)]
    try:
        ranges = _by_offsets(offsets) if offsets else _by_time(consumers, topic, since, until)
        with writing_bytes(recording, force=force) as file:
            count = 0
            for row in rows(consumers, topic, exchange, ranges):
                file.write(format_recorded(row))
                count += 1
    finally:
        for consumer in consumers:
            consumer.close()
    click.echo(f"{count:,} records of {topic} written to {recording}", err=True)


def rows(
    consumers: list[Consumer], topic: str, exchange: str, ranges: list[Range]
) -> Iterator[RecordedFrame]:
    """The records of all ranges, merged by the time reached; a consumer per partition. No partition is reordered."""
    sources = [_timed(consumers[item.partition], topic, item) for item in ranges]
    for _, _, message in heapq.merge(*sources, key=lambda item: item[:2]):
        if (row := recorded(message, exchange)) is not None:
            yield row


def recorded(message: Message, exchange: str) -> RecordedFrame | None:
    """A raw record as a row; None for a mark."""
    headers = _headers(message)
    kind = headers.get("kind")
    if kind == "mark":
        return None
    value, key = message.value(), message.key()
    seq = headers.get("seq", "")
    return RecordedFrame(
        _received_ns(message, headers),
        _DIRECTION.get(kind or "", "in"),
        value or b"",
        headers.get("url"),
        headers.get("symbol"),
        headers.get("conn"),
        int(seq) if seq.isdigit() else None,
        kind if kind in KINDS else None,
        exchange,
        key.decode(errors="replace") if isinstance(key, bytes) else None,
        is_null=value is None,
    )


def _timed(consumer: Consumer, topic: str, item: Range) -> Iterator[Timed]:
    """(time reached, partition, record) of a range; ends at the first record at ``to_us`` or later."""
    reached_us = 0
    for message in read_range(consumer, topic, item.partition, item.start, item.end):
        time_us = _received_ns(message, _headers(message)) // 1000
        if item.to_us is not None and time_us >= item.to_us:
            return
        if item.from_us is None or time_us >= item.from_us:
            reached_us = max(reached_us, time_us)
            yield reached_us, item.partition, message


def _by_time(consumers: list[Consumer], topic: str, since: str | None, until: str | None) -> list[Range]:
    from_us = None if since is None else parse_time(since)
    to_us = None if until is None else parse_time(until)
    if from_us is not None and to_us is not None and from_us >= to_us:
        raise ValidationError("record.range", f"from {since} to {until}", allowed="--from before --to")
    found = []
    for number, consumer in enumerate(consumers):
        low, end = bounds(consumer, topic, number)
        start: int | None = low
        if from_us is not None:
            start = first_since(consumer, topic, number, from_us // 1000)
        if start is not None:
            found.append(Range(number, start, end, from_us, to_us))
    return found


def _by_offsets(offsets: tuple[str, ...]) -> list[Range]:
    found = []
    for text in offsets:
        match = _RANGE.fullmatch(text)
        if match is None or not int(match[1]) < RAW_PARTITIONS or int(match[2]) > int(match[3]):
            allowed = f"PARTITION:START-END with PARTITION 0 to {RAW_PARTITIONS - 1}"
            raise ValidationError("record.range", f"offsets {text!r}", where="--offsets", allowed=allowed)
        found.append(Range(*map(int, match.groups())))
    if len({item.partition for item in found}) < len(found):
        raise ValidationError("record.range", "a partition twice", where="--offsets")
    return found


def _headers(message: Message) -> dict[str, str]:
    pairs = dict(message.headers() or ()).items()
    return {name: value.decode(errors="replace") for name, value in pairs if isinstance(value, bytes)}


def _received_ns(message: Message, headers: dict[str, str]) -> int:
    """The header, or Kafka's time where a stranger wrote the record."""
    text = headers.get("received_ns", "")
    return int(text) if text.isdigit() else int(message.timestamp()[1]) * 1_000_000
