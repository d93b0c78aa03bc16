"""What a session is going to play, settled once when it begins and kept with its place: any worker goes on by it.

A range ends, per source, at its first record of the end's time or later. Where that lies in a partition only the other
records can tell: what the book topic's sources still bring late, the others may too (DESIGN.md, Recovery 8).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic, time_ns
from typing import Any, NamedTuple

from COBY.codec import decode
from COBY.config import Config
from COBY.records import BookTick, Session
from COBY.replays.sessions import CHANNELS, offsets_of, settings_of
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import ReplayError
from COBY.utils.intervals import format_us
from replay.again import Again
from replay.borders import Border, Pair, Part
from replay.log import Log, Range, stored
from replay.queries import Chosen
from replay.revived import LACKING
from replay.stored import Stored, without_table

SETTLE_SECONDS = 10.0
"""So long the end of a range may still be on its way."""
LATE_MS = 60_000
"""By so much a source may be behind the others where no book record tells."""
GRACE_MS = 5_000
"""Added to what the book records tell: other topics are other partitions."""

Behind = set[tuple[str, str]]
"""Exchange and symbol."""
Span = tuple[str, int, int, int]
"""Topic, partition, and the offsets [first, end)."""


class Plan(NamedTuple):
    """``spans``: pieces of topics; ``parts``: what the database gives; ``missing``: sentences on what is nowhere."""

    spans: list[Span]
    parts: list[Part]
    missing: list[str]
    ends: dict[str, int]
    """Of a recomputation: source -> offset at which reading raw ends."""

    def text(self) -> str:
        """As a place keeps it."""
        return json.dumps(self._asdict())


def plan_of(text: str) -> Plan:
    """The plan of that text."""
    plain: dict[str, Any] = json.loads(text)
    spans = [(topic, number, first, end) for topic, number, first, end in plain["spans"]]
    return Plan(spans, [_part(*fields) for fields in plain["parts"]], plain["missing"], plain["ends"])


def _part(topic: str, pair: list[Any], source: str, border: list[Any] | None) -> Part:
    at = None if border is None else Border((border[0][0], border[0][1]), border[1])
    return Part(topic, Pair(*pair), source, at)


def channels_of(session: Session) -> tuple[str, ...]:
    """Short names of the topics that take part."""
    return tuple(session.channels) or CHANNELS


def symbols_of(cfg: Config, session: Session) -> tuple[str, ...]:
    """The symbols that take part."""
    return tuple(session.symbols) or cfg.symbols


def numbers_of(cfg: Config, session: Session) -> list[int]:
    """The partitions of derived topics that hold its symbols."""
    return sorted({partition_of(symbol.encode(), PARTITIONS) for symbol in symbols_of(cfg, session)})


def places_of(cfg: Config, session: Session) -> list[tuple[str, int]]:
    """The same of each topic that takes part: (full name, partition)."""
    topics = [topic_name(cfg.topic_prefix, one) for one in channels_of(session)]
    return [(topic, number) for topic in topics for number in numbers_of(cfg, session)]


def range_of(session: Session, *, whole: bool = False) -> Range:
    """The range of stream time; from the seek's time on if there was one, unless it is wanted ``whole``."""
    assert session.start_time is not None
    assert session.end_time is not None
    start = session.start_time if whole or session.seek_time is None else session.seek_time
    return Range(-(-start // 1000), -(-session.end_time // 1000))


def plan(cfg: Config, log: Log, session: Session) -> Plan:
    """Settle a session's pieces. BrokerError; StorageError; ReplayError `replay.offsets`."""
    if session.offsets:
        return _by_offsets(log, session)
    if session.origin == "recompute":
        return Plan([], [], [], recomputed(cfg, session, {}).ends)
    within = range_of(session, whole=True)
    if session.origin == "database":
        return _stored(cfg, None, session, channels_of(session), within)
    of_topics, gone = _by_time(cfg, log, session, within)
    if session.origin == "topics" or not gone:
        missing = [f"{channel}: what was there before its oldest record is gone" for channel in gone]
        return of_topics._replace(missing=of_topics.missing + missing)
    stored = _stored(cfg, log, session, gone, within)
    return stored._replace(spans=of_topics.spans, missing=of_topics.missing + stored.missing)


def _stored(cfg: Config, log: Log | None, session: Session, channels: Sequence[str], within: Range) -> Plan:
    """What the database has of these channels; of what topics hold too, only what lies before."""
    stored = Stored(cfg, within, chosen_of(cfg, session))
    try:
        parts, begins = stored.parts(channels, log), stored.begins(channels)
    finally:
        stored.close()
    missing = [f"{channel}: no table holds it" for channel in without_table(channels)]
    for channel, begin_ms in begins.items():
        if begin_ms is None:
            missing.append(f"{channel}: the database has nothing of it")
        elif begin_ms > within.from_ms:
            missing.append(f"{channel}: the database has nothing before {format_us(begin_ms * 1000)}")
    missing += [
        f"{channel} from the database: {LACKING[channel]}" for channel in sorted({one.topic for one in parts})
    ]
    return Plan([], parts, missing, {})


def recomputed(cfg: Config, session: Session, ends: Mapping[str, int]) -> Again:
    """The stream of what is made anew. ``ends``: what a plan has settled. ReplayError as `Again`; BrokerError."""
    return Again(
        cfg,
        range_of(session),
        topics=channels_of(session),
        symbols=session.symbols,
        exchanges=session.exchanges,
        overrides=settings_of(session),
        ends=ends,
    )


def chosen_of(cfg: Config, session: Session) -> Chosen:
    """What is asked of the tables."""
    return Chosen(frozenset(symbols_of(cfg, session)), frozenset(session.exchanges))


def _by_offsets(log: Log, session: Session) -> Plan:
    spans: list[Span] = []
    missing = []
    for topic, parts in sorted(offsets_of(session).items()):
        for number, (first, end) in sorted(parts.items()):
            if number not in log.partitions(topic):
                raise ReplayError("replay.offsets", f"there is no {topic}/{number}", where=session.id)
            oldest, newest = log.bounds(topic, number)
            if first < oldest:
                missing.append(f"{topic}/{number}: offsets {first} to {min(end, oldest)} are gone")
            if end > newest:
                missing.append(f"{topic}/{number}: offsets {max(first, newest)} to {end} are not there yet")
            spans.append((topic, number, max(first, oldest), min(end, newest)))
    return Plan(spans, [], missing, {})


def _by_time(cfg: Config, log: Log, session: Session, within: Range) -> tuple[Plan, list[str]]:
    """The pieces of topics, and the channels of which these no longer hold the range's beginning."""
    late = {number: _late_ms(cfg, log, number, within.to_ms) for number in numbers_of(cfg, session)}
    places = places_of(cfg, session)
    firsts = log.all_first_since(dict.fromkeys(places, within.from_ms))
    ends = log.all_first_since({place: within.to_ms + late[place[1]][0] for place in places})
    bounds = log.all_bounds(places)
    spans = [(*place, firsts[place], ends[place]) for place in places if firsts[place] < ends[place]]
    gone = {topic for (topic, number), first in firsts.items() if first and first == bounds[topic, number][0]}
    channels = [one for one in channels_of(session) if topic_name(cfg.topic_prefix, one) in gone]
    behind = sorted("/".join(source) for _, sources in late.values() for source in sources)
    missing = [f"not come to the range's end: {' '.join(behind)}"] if behind else []
    return Plan(spans, [], missing, {}), channels


def _late_ms(cfg: Config, log: Log, number: int, to_ms: int) -> tuple[int, Behind]:
    """How far after ``to_ms`` a partition's records go before every source has passed it; the sources that have not.

    Those of a range that has just ended may be on their way; what does not come in time does not belong to it.
    """
    topic, until = topic_name(cfg.topic_prefix, "book"), monotonic() + _settle_seconds(to_ms)
    symbols = [symbol for symbol in cfg.symbols if partition_of(symbol.encode(), PARTITIONS) == number]
    open_ = {(exchange, symbol) for exchange in cfg.exchanges for symbol in symbols}
    at, furthest_ms = log.first_since(topic, number, to_ms), to_ms
    while open_:
        end = log.bounds(topic, number)[1]
        for tick in _ticks(log, topic, number, at, end):
            if tick.timestamp >= to_ms * 1000:
                open_.discard((tick.exchange, tick.symbol))
            furthest_ms = max(furthest_ms, tick.timestamp // 1000)
            if not open_:
                return furthest_ms - to_ms + GRACE_MS, set()
        at = max(at, end)
        if monotonic() > until:
            break
    return LATE_MS, open_


def _settle_seconds(to_ms: int) -> float:
    age_seconds = time_ns() / 1e9 - to_ms / 1e3
    return SETTLE_SECONDS if age_seconds < SETTLE_SECONDS else 0.0


def _ticks(log: Log, topic: str, number: int, first: int, end: int) -> Iterator[BookTick]:
    for batch in log.batches(topic, number, first, end):
        for message in batch:
            record = decode(stored(message).value)
            if isinstance(record, BookTick):
                yield record
