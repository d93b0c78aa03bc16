"""I1 to I10 of FAULTS.md, checked on a pipeline at rest. A problem is a line that begins with its invariant's name."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import psycopg
import redis
from confluent_kafka import Consumer, TopicPartition

from COBY.config import Config
from COBY.runtime.kafka import admin, client_settings
from COBY.topics import topic_name
from tests.faults import tables
from tests.faults.apart import processes
from tests.faults.content import (
    DERIVED,
    Digests,
    compare,
    each,
    joined,
    partitions,
    read_derived,
    recompute_books,
    recompute_raw,
)
from tests.faults.pipeline import EXCHANGES, MIB, Pipeline
from tests.reference.decimals import CONTEXT, rounded
from tests.reference.exchange import Trade
from tests.reference.exchanges import EXCHANGES as REFERENCE

TIMEFRAMES = {"1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400, "1d": 86_400}
LONGER = """
WITH small AS (
    SELECT symbol, time_bucket(make_interval(secs => %(n)s), timestamp) AS start, sum(volume) AS volume
    FROM ohlcv_data WHERE timeframe = '1s' GROUP BY 1, 2
), ended AS (SELECT symbol, max(timestamp) AS newest FROM heatmap_ticks GROUP BY 1)
SELECT small.symbol, small.start, small.volume, big.volume FROM small
JOIN ended ON ended.symbol = small.symbol
LEFT JOIN ohlcv_data big ON big.symbol = small.symbol AND big.timestamp = small.start AND big.timeframe = %(t)s
WHERE small.start + make_interval(secs => %(n)s + 3) < ended.newest AND small.volume IS DISTINCT FROM big.volume
ORDER BY 1, 2
"""
"""Where the 1s candles of a longer candle that has ended do not add up to it, or there is none."""
SNAPSHOT_HEAD = len(b"COBYSNAP") + 1 + 32
STAGES = {"normalize": "raw", "aggregate": "book"}
SENT_LEVELS = 5
POOL_SESSIONS = 2
"""What the sink's pool holds at most (COBY/runtime/database.py)."""
REPORTED = 3

Traded = dict[tuple[str, str], Decimal]
"""(Exchange, symbol) -> sum of sizes."""


@dataclass
class Raw:
    """What reading the raw topics once gave."""

    problems: list[str] = field(default_factory=list)
    records: int = 0
    traded: Traded = field(default_factory=dict)

    def add(self, more: Raw) -> None:
        """What another exchange's topic gave."""
        self.problems += more.problems
        self.records += more.records
        self.traded |= more.traded


class Connection:
    """I1: one connection's ``seq``: 1, 2, 3 …, or a `dropped` event that covers what is missing."""

    def __init__(self, is_whole: bool = True) -> None:
        """``is_whole`` False: its beginning may be gone by retention."""
        self.last = 0 if is_whole else None
        self.missing: set[int] = set()
        self.doubled: list[int] = []

    def take(self, seq: int, value: bytes | None, kind: str) -> None:
        """The next record of the partition."""
        self.last = seq - 1 if self.last is None else self.last
        if seq <= self.last:
            self.doubled.append(seq)
            return
        self.missing.update(range(self.last + 1, seq))
        self.last = seq
        if kind == "event" and value is not None and b"dropped" in value:
            event = json.loads(value)
            if event.get("event") == "dropped":
                self.missing.difference_update(range(event["from_seq"], event["to_seq"] + 1))


class TradeSums:
    """I5's first figure: the sizes of the distinct trades in the raw frames, read by the reference's decoders."""

    def __init__(self, exchange: str, symbols: tuple[str, ...]) -> None:
        self._module = REFERENCE[exchange]
        self._symbols = {self._module.exchange_symbol(symbol): symbol for symbol in symbols}
        self._ids: dict[str, set[str]] = defaultdict(set)
        self.sums: dict[str, Decimal] = defaultdict(Decimal)

    def take(self, record: dict[str, Any]) -> None:
        """One raw record; what was sent as history before the first live trade does not count."""
        if record["value"] is None or b"trade" not in record["value"]:
            return
        for item in self._module.read(record, self._symbols):
            if not isinstance(item, Trade) or item.trade_id in self._ids[item.symbol]:
                continue
            if item.history and not self._ids[item.symbol]:
                continue
            self._ids[item.symbol].add(item.trade_id)
            self.sums[item.symbol] += rounded(item.size)


def read_raw(config: Config, *, is_whole: bool = True) -> Raw:
    """I1 and the sums of I5, in one pass."""
    found = Raw()
    for exchange in config.exchanges:
        found.add(read_exchange(config, exchange, is_whole))
    return found


def read_exchange(config: Config, exchange: str, is_whole: bool = True) -> Raw:
    """The same of one exchange."""
    found = Raw()
    topic, sums = topic_name(config.topic_prefix, "raw", exchange), TradeSums(exchange, config.symbols)
    for partition in partitions(config, topic):
        connections: dict[str, Connection] = {}
        for message in each(config, topic, partition):
            headers = {name: value.decode() for name, value in message.headers() or []}
            found.records += 1
            if headers["kind"] == "mark":
                continue
            connection = connections.setdefault(headers["conn"], Connection(is_whole))
            connection.take(int(headers["seq"]), message.value(), headers["kind"])
            sums.take({"value": message.value(), **headers})
        found.problems += _holes(topic, connections)
    found.traded = {(exchange, symbol): size for symbol, size in sums.sums.items()}
    return found


def _holes(topic: str, connections: dict[str, Connection]) -> Iterator[str]:
    for name, connection in connections.items():
        if connection.missing:
            yield f"I1 {topic} {name}: seq {sorted(connection.missing)[:REPORTED]} missing, and no event says so"
        if connection.doubled:
            yield f"I1 {topic} {name}: seq {connection.doubled[:REPORTED]} twice"


def conservation(pipeline: Pipeline, traded: Traded) -> Iterator[str]:
    """I5: raw = coby.trade = trade_events, = 1s candles = each longer timeframe where its candles have ended."""
    config = pipeline.config
    topic: Traded = defaultdict(Decimal)
    for *_, record in tables.distinct(config, "trade"):
        topic[record["exchange"], record["symbol"]] += record["size"]
    with pipeline.sql() as connection:
        rows = connection.execute("SELECT exchange, symbol, sum(size) FROM trade_events GROUP BY 1, 2")
        stored = {(exchange, symbol): size for exchange, symbol, size in rows}
        candles = "SELECT symbol, sum(volume) FROM ohlcv_data WHERE timeframe = '1s' GROUP BY 1"
        seconds = dict(connection.execute(candles).fetchall())
        longer = list(_longer(connection))
    for place in sorted(traded.keys() | topic.keys() | stored.keys()):
        sums = [found.get(place, Decimal(0)) for found in (traded, topic, stored)]
        if len(set(sums)) > 1:
            yield "I5 {}: raw {}, coby.trade {}, trade_events {}".format("/".join(place), *sums)
    for symbol in config.symbols:
        wanted = sum((size for place, size in traded.items() if place[1] == symbol), Decimal(0))
        if wanted != seconds.get(symbol, Decimal(0)):
            yield f"I5 {symbol}: raw {wanted}, 1s candles {seconds.get(symbol)}"
        if not wanted:
            yield f"I5 {symbol}: nothing was traded, so nothing was checked"
    yield from longer


def _longer(connection: Any) -> Iterator[str]:
    for timeframe, seconds in TIMEFRAMES.items():
        rows = connection.execute(LONGER, {"n": seconds, "t": timeframe}).fetchall()
        for symbol, start, small, big in rows[:REPORTED]:
            yield f"I5 {symbol} {timeframe} {start}: 1s candles {small}, {timeframe} candle {big}"


def books(pipeline: Pipeline) -> Iterator[str]:
    """I4: each last live book's best levels are those of the simulator's own book."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for *_, record in tables.distinct(pipeline.config, "book"):
        if record["live"]:
            last[record["exchange"], record["symbol"]] = record
    for exchange in EXCHANGES:
        for symbol in pipeline.config.symbols:
            record = last.get((exchange, symbol))
            if record is None:
                yield f"I4 {exchange}/{symbol}: was never live"
                continue
            own = pipeline.ask(f"/_sim/book?exchange={exchange}&symbol={symbol}&limit={SENT_LEVELS}")
            for side in ("bids", "asks"):
                sent = [(Decimal(price), Decimal(size)) for price, size in own[side]]
                shown = [(level["price"], level["size"]) for level in record[side][:SENT_LEVELS]]
                if sent != shown:
                    yield f"I4 {exchange}/{symbol} {side}: the exchange has {sent}, shown is {shown}"


def offsets(pipeline: Pipeline) -> Iterator[str]:
    """I7: committed ≤ the greatest snapshot ≤ the end; and no snapshot is beyond the end."""
    config = pipeline.config
    greatest: dict[tuple[str, int], int] = {}
    for stage in STAGES:
        for kind in ("state", "checkpoint"):
            topic = topic_name(config.topic_prefix, f"{kind}.{stage}")
            for partition in partitions(config, topic):
                for message in each(config, topic, partition):
                    found = snapshot(message.value())
                    if found is not None:
                        place = (f"{config.topic_prefix}.{found['topic']}", found["partition"])
                        greatest[place] = max(greatest.get(place, 0), found["next_offset"])
    # As a consumer that does not join: an admin client that asks for offsets may crash (COBY/runtime/lag.py).
    consumer = Consumer(client_settings(config) | {"group.id": f"{config.topic_prefix}-streams"})
    try:
        yield from _committed(config, consumer, greatest)
        for (topic, partition), next_offset in greatest.items():
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            if next_offset > end:
                yield f"I7 {topic}/{partition}: a snapshot at {next_offset}, the end is {end}"
    finally:
        consumer.close()


def _committed(config: Config, consumer: Consumer, greatest: dict[tuple[str, int], int]) -> Iterator[str]:
    names = [topic_name(config.topic_prefix, "raw", exchange) for exchange in config.exchanges]
    topics = [*names, topic_name(config.topic_prefix, "book")]
    places = [TopicPartition(topic, number) for topic in topics for number in partitions(config, topic)]
    for one in consumer.committed(places, timeout=20):
        snapshot_at = greatest.get((one.topic, one.partition))
        # A partition on which nothing ever came has nothing to be saved.
        if one.offset > (snapshot_at or 0):
            yield f"I7 {one}: committed {one.offset}, the greatest snapshot is at {snapshot_at}"


def snapshot(value: bytes | None) -> dict[str, Any] | None:
    """A snapshot's fields as MessagePack has them; None for one that is damaged (case 17 puts such there)."""
    if value is None or not value.startswith(b"COBYSNAP\x02"):
        return None
    try:
        found = msgspec.msgpack.decode(value[SNAPSHOT_HEAD:])
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) and "next_offset" in found else None


@dataclass(frozen=True)
class Standing:
    """What stood before the faults, for I10."""

    processes: int
    sessions: int
    temporary: int
    topics: frozenset[str]

    @classmethod
    def of(cls, pipeline: Pipeline) -> Standing:
        """Now."""
        with pipeline.sql() as connection:
            query = (
                "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
                "pg_backend_pid() AND backend_type = 'client backend'), "
                "(SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r')"
            )
            row = connection.execute(query).fetchone()
        assert row is not None
        topics = admin(pipeline.config).list_topics(timeout=10).topics
        return cls(pipeline.processes(), row[0], row[1], frozenset(topics))

    def problems(self, after: Standing) -> Iterator[str]:
        """I10."""
        # The sink's pool may hold two sessions, each with a temporary table for every table it has written to.
        bounds = {"processes": self.processes, "sessions": max(self.sessions, POOL_SESSIONS)}
        bounds["temporary"] = after.sessions * len(tables.TABLES)
        for name, most in bounds.items():
            if getattr(after, name) > most:
                yield f"I10 {name}: {getattr(self, name)} before, {getattr(after, name)} after"
        if after.topics != self.topics:
            yield f"I10 topics: {sorted(after.topics ^ self.topics)} came or went"


def assignments(pipeline: Pipeline) -> int:
    """How often a worker was given partitions: a task's life begins no more often."""
    logs = [pipeline.programs.log(name) for name in pipeline.workers]
    return sum(log.read_text(errors="replace").count('"event": "assigned"') for log in logs if log.exists())


def check(pipeline: Pipeline, *, raw_is_whole: bool, tell: Any = None) -> list[str]:
    """All problems of a pipeline at rest; none: every invariant holds. I8, I9 and I10 are the runner's."""
    say, config = tell or (lambda _: None), pipeline.config
    with localcontext(CONTEXT), processes() as submit:
        # The longest first.
        raws = [submit(read_exchange, config, one, raw_is_whole) for one in config.exchanges]
        again = [submit(recompute_raw, config, one) for one in config.exchanges] if raw_is_whole else []
        again += [submit(recompute_books, config)] if raw_is_whole else []
        derived = [submit(read_derived, config, (name,), pipeline.broker_logs) for name in DERIVED]
        stored = [
            submit(stored_problems, config, pipeline.servers.postgres.dsn, one) for one in tables.STORED
        ]
        server = pipeline.servers.redis
        cached = [submit(cached_problems, config, server.host, server.port, one) for one in tables.PARTS]
        problems = [*books(pipeline), *offsets(pipeline)]
        raw = Raw()
        for one in raws:
            raw.add(one.result())
        problems += raw.problems
        say(f"I1: {raw.records} raw records read")
        problems += conservation(pipeline, raw.traded) if raw_is_whole else ()
        expected: Digests = {}
        for one in again:
            expected.update(one.result())
        found = joined(one.result() for one in derived)
        problems += found.problems
        problems += compare(expected, found.digests) if raw_is_whole else ()
        say(f"I2: {sum(map(len, found.digests.values()))} derived records against a recomputation")
        problems += [line for one in (*stored, *cached) for line in one.result()]
    lives = assignments(pipeline)
    most = Counter(found.runs).most_common(1)
    problems += [
        f"I3 {place}: a writer began {count} times in {lives} lives" for place, count in most if count > lives
    ]
    limit = config.max_memory_usage * MIB
    if pipeline.memory_bytes_max > limit:
        problems.append(f"I8 a process held {pipeline.memory_bytes_max // MIB} MiB")
    return problems


def stored_problems(config: Config, dsn: str, name: str) -> list[str]:
    """I2 of the tables of one topic."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return list(tables.table_problems(config, connection, (name,)))


def cached_problems(config: Config, host: str, port: int, name: str) -> list[str]:
    """I6 of the keys of one topic."""
    with redis.Redis(host, port, decode_responses=True) as cache:
        return list(tables.cache_problems(config, cache, (name,)))
