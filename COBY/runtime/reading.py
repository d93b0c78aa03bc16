"""Derived records for a consumer of one's own, from a live topic or a replay alike: repeats dropped, decoded.

::

    for one in records(load_config(), "coby.heatmap.v1"):
        print(one.topic, one.key, one.record)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from time import monotonic, sleep
from typing import Any, Literal, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from COBY.codec import decode
from COBY.config import Config
from COBY.records import Record
from COBY.runtime.kafka import admin, broker_error, make_consumer, require_broker
from COBY.runtime.offsets import Offsets
from COBY.runtime.reader import Position, Reader, place_of
from COBY.stage import Headers, header, parse_position
from COBY.utils.exceptions import BrokerError, ProcessingError, ReplayError

FETCH_RECORDS = 500
WAIT_SECONDS = 0.1
KNOWN_SECONDS = 3.0
"""A topic just made, as a replay's is, takes a moment until every broker knows it."""
Start = Literal["oldest", "newest"] | Mapping[tuple[str, int], int]
"""Where to begin: or the next offset by (topic, partition), those that are not named there at the oldest."""
Unusable = Callable[[Message, ProcessingError], None]


class Consumed(NamedTuple):
    """One record, once.

    ``topic``: in full, the one that the record is from; a replayed one keeps that of its original. ``timestamp_ms``:
    stream time, or T. ``source`` and ``position``: the original's; None where a replay took it from the database.
    ``session``, ``run`` and ``n``: of a replay; a higher ``run`` than before means that the session was moved (seek),
    and what was built from the records so far is to be thrown away. ``prelude``: it only sets the scene before the
    range. ``partition`` and ``offset``: where it lies in the topic that was read; ``offset + 1`` is where to go on.
    """

    topic: str
    key: bytes | None
    timestamp_ms: int
    record: Record
    source: str | None
    position: Position | None
    session: str | None
    run: int | None
    n: int | None
    prelude: bool
    partition: int
    offset: int


def records(
    cfg: Config,
    topics: str | Iterable[str],
    *,
    start: Start = "oldest",
    stopped: Callable[[], bool] = lambda: False,
    timeout_seconds: float = float("inf"),
    reader: Reader | None = None,
    unusable: Unusable | None = None,
    fetched_kib: int | None = None,
) -> Generator[Consumed, None, None]:
    """The records of topics given by their full names, each once, in the order of each partition.

    It waits for more until ``stopped()`` (asked several times a second and after each record) or until nothing new
    came for ``timeout_seconds``. ``newest`` is what comes after this call. ``reader`` holds the positions taken, for
    a caller that saves and loads them with its offsets; ``fetched_kib`` limits what is fetched ahead. A record that
    can't be used is handed to ``unusable`` and passed over; without that it is raised (reader.no_position, codec.…)
    and ends the reading. The consumer is closed with the iterator.

    BrokerError `kafka.unreachable`, `kafka.refused`, `topics.missing`; ReplayError `replay.offsets`: the topic has no
    such offset, as retention took it before it was read, so that going on would be a hole.
    """
    wanted = _partitions(cfg, [topics] if isinstance(topics, str) else list(topics))
    offsets = _offsets(cfg, wanted, start)
    # Left to itself the client would go on at the oldest record and say nothing.
    more: dict[str, Any] = {"auto_offset_reset": "error"}
    if fetched_kib is not None:
        more["queued_max_messages_kbytes"] = fetched_kib
    consumer = make_consumer(cfg, f"{cfg.topic_prefix}.reading", **more)
    return _read(consumer, offsets, stopped, timeout_seconds, reader or Reader(), unusable)


def _partitions(cfg: Config, topics: list[str]) -> list[tuple[str, int]]:
    client, end = admin(cfg), monotonic() + KNOWN_SECONDS
    while True:
        there = require_broker(cfg, client).topics
        missing = [topic for topic in topics if topic not in there or not there[topic].partitions]
        if not missing:
            return [(topic, number) for topic in topics for number in sorted(there[topic].partitions)]
        if monotonic() > end:
            text = f"no topic {', '.join(missing)}"
            raise BrokerError("topics.missing", text, allowed="full names of topics")
        sleep(WAIT_SECONDS)


def _offsets(cfg: Config, wanted: list[tuple[str, int]], start: Start) -> list[TopicPartition]:
    """Where each partition begins. The newest are asked for here, so that nothing falls between call and reading."""
    begin: Mapping[tuple[str, int], int] = start if isinstance(start, Mapping) else {}
    if start == "newest":
        try:
            begin = Offsets(cfg).ends(wanted)
        except (KafkaException, TimeoutError) as error:
            raise BrokerError("kafka.refused", str(error) or "no answer", where=wanted[0][0]) from error
    return [TopicPartition(*place, begin.get(place, OFFSET_BEGINNING)) for place in wanted]


def _read(
    consumer: Consumer,
    offsets: list[TopicPartition],
    stopped: Callable[[], bool],
    timeout_seconds: float,
    reader: Reader,
    unusable: Unusable | None,
) -> Generator[Consumed, None, None]:
    try:
        consumer.assign(offsets)
        for message in _messages(consumer, stopped, timeout_seconds):
            try:
                one = consumed(message, reader)
            except ProcessingError as error:
                if unusable is None:
                    raise
                unusable(message, error)
                continue
            if one is not None:
                yield one
    finally:
        consumer.close()


def _messages(consumer: Consumer, stopped: Callable[[], bool], timeout_seconds: float) -> Iterator[Message]:
    heard = monotonic()
    while not stopped():
        first = consumer.poll(WAIT_SECONDS)
        # What is there already: consume() alone would wait until it has as many as asked for.
        batch = [first, *consumer.consume(FETCH_RECORDS, 0)] if first is not None else []
        for message in batch:
            _check(message)
            yield message
            if stopped():
                return
        heard = monotonic() if batch else heard
        if monotonic() - heard > timeout_seconds:
            return


def _check(message: Message) -> None:
    error = message.error()
    if error is None:
        return
    where = f"{message.topic()}/{message.partition()}"
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        text = "the offset to go on at is not there: retention took it, or the topic was made anew"
        raise ReplayError("replay.offsets", text, where=where, allowed="an offset that the topic holds")
    raise broker_error("kafka.refused", error, where=where)


def consumed(message: Any, reader: Reader) -> Consumed | None:
    """A message as one record; None for a repeat. ProcessingError, which says where it lies."""
    headers: Headers = message.headers() or []
    try:
        place, taken = place_of(headers)
        record = decode(message.value())
        source, position = _original(headers)
    except ProcessingError as error:
        error.where = f"{message.topic()}/{message.partition()} offset {message.offset()}"
        raise
    if not reader.is_new(message.topic(), message.partition(), place, taken):
        return None
    origin, session = header(headers, "topic"), header(headers, "session")
    return Consumed(
        topic=message.topic() if origin is None else origin.decode(errors="replace"),
        key=message.key(),
        timestamp_ms=message.timestamp()[1],
        record=record,
        source=source,
        position=position,
        session=None if session is None else place,
        run=None if session is None else taken[0],
        n=None if session is None else taken[1],
        prelude=any(name == "prelude" for name, _ in headers),
        partition=message.partition(),
        offset=message.offset(),
    )


def _original(headers: Headers) -> tuple[str | None, Position | None]:
    source, position = header(headers, "source"), header(headers, "position")
    try:
        return (
            None if source is None else source.decode(),
            None if position is None else parse_position(position),
        )
    except ValueError as error:
        raise ProcessingError("reader.no_position", str(error), allowed="position as first:index") from error
