"""What the demo's summary compares: each count from the place that knows it by itself."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import redis
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from COBY.config import Config
from COBY.runtime.kafka import client_settings
from COBY.runtime.lag import LagReader
from COBY.slots import slots_of
from COBY.topics import topic_name
from COBY.utils.intervals import parse_time
from deploy.local.ports import HOST

STATUS_OLD_US = 5_000_000  # an older status says nothing of now
NO_PRODUCER = "no producer"
QUIET_SECONDS = 10.0  # a topic that gives nothing for so long has no more to give


def ask(url: str, *, post: bool = False, body: bytes = b"") -> Any:
    """The JSON answer of a GET, or of a POST of ``body``."""
    request = urllib.request.Request(url, method="POST" if post else "GET", data=body if post else None)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def served_trades(api_url: str, symbol: str) -> int:
    """Trades of the last 23 hours that REST gives, page by page."""
    now_ms, count, cursor = time.time_ns() // 1_000_000, 0, None
    span = {"symbol": symbol, "from": now_ms - 23 * 3_600_000, "to": now_ms + 60_000, "limit": 10_000}
    while True:
        query = urllib.parse.urlencode(span | ({"cursor": cursor} if cursor else {}))
        page = ask(f"{api_url}/v1/trades?{query}")
        count, cursor = count + len(page["data"]), page["page"]["next_cursor"]
        if cursor is None:
            return count


@dataclass(frozen=True)
class Sent:
    """The simulator's own log, summed over exchanges."""

    frames: int
    rest_bodies: int
    trades: int
    trade_size: Decimal
    dropped: int


def sent(simulator: str) -> Sent:
    """What the simulator at this address says that it sent; replies to subscriptions are frames too."""
    logs = ask(f"{simulator}/_sim/ledger")["exchanges"].values()
    symbols = [log for one in logs for log in one["symbols"].values()]
    return Sent(
        frames=sum(one["frames_sent"] + one["replies"] for one in logs),
        rest_bodies=sum(log["rest_answers"] for log in symbols),
        trades=sum(log["trades"] for log in symbols),
        trade_size=sum((Decimal(log["trade_size"]) for log in symbols), Decimal(0)),
        dropped=sum(log["frames_dropped"] for log in symbols),
    )


def raw_counts(config: Config) -> Counter[str]:
    """Records in the raw topics by kind, read from the first to the last with a plain consumer."""
    counts: Counter[str] = Counter()
    for exchange in config.exchanges:
        for message in read_all(config, topic_name(config.topic_prefix, "raw", exchange)):
            counts[dict(message.headers() or ())["kind"].decode()] += 1
    return counts


def read_all(config: Config, topic: str) -> list[Any]:
    """Every record of a topic up to the ends of now."""
    settings = client_settings(config) | {"group.id": "demo-summary", "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        bounds = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number)) for number in partitions
        }
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        wanted = sum(end - begin for begin, end in bounds.values())
        messages: list[Any] = []
        heard = time.monotonic()
        while len(messages) < wanted and time.monotonic() - heard < QUIET_SECONDS:
            if batch := consumer.consume(5_000, timeout=0.1):
                heard = time.monotonic()
            messages += [one for one in batch if (one.offset() or 0) < bounds[one.partition() or 0][1]]
        return messages
    finally:
        consumer.close()


@dataclass(frozen=True)
class Stored:
    """What SQL says."""

    trades: int
    trade_size: Decimal
    candle_volume: Decimal
    gaps: int


def stored(config: Config) -> Stored:
    """Counts and sums of the tables; candles: the last revision of the one-second ones."""
    with psycopg.connect(config.get_database_url(), connect_timeout=5) as connection:
        trades, size = _row(connection, "SELECT count(*), coalesce(sum(size), 0) FROM trade_events")
        (volume,) = _row(connection, "SELECT coalesce(sum(volume), 0) FROM ohlcv_data WHERE timeframe = '1s'")
        (gaps,) = _row(connection, "SELECT count(*) FROM gaps")
    return Stored(trades, size, volume, gaps)


def _row(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(row)


def metric(port: int, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels in a process's /metrics; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return 0.0
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(
        sample.value
        for sample in samples
        if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
    )


def lag(config: Config) -> int:
    """Records not yet read, over all groups of ours."""
    servers = config.kafka_bootstrap_servers
    if servers not in _readers:
        # One, kept: each new one would look for the groups' coordinators anew.
        _readers[servers] = LagReader(config, with_seconds=False)
    try:
        return sum(row.lag for row in _readers[servers].read())
    except Exception:
        # After a broker's restart it may go on asking for what is no more (offsets.py).
        _readers.pop(servers).close()
        raise


_readers: dict[str, LagReader] = {}


def heatmap_age_seconds(config: Config, symbol: str) -> float | None:
    """Seconds since the T of the newest heatmap in Redis; None while there is none."""
    found = _newest_heatmap(config, symbol)
    return None if found is None else time.time() - parse_time(found["timestamp"]) / 1e6


def heatmap_exchanges(config: Config, symbol: str) -> list[str]:
    """The exchanges in the newest heatmap in Redis; none while there is no heatmap."""
    found = _newest_heatmap(config, symbol)
    return [] if found is None else [one["exchange"] for one in found["exchanges"]]


def _newest_heatmap(config: Config, symbol: str) -> dict[str, Any] | None:
    with redis.Redis.from_url(config.get_redis_url(), socket_timeout=10) as client:
        found: Any = client.get(f"{config.topic_prefix}:latest:heatmap:{symbol}")
    return None if found is None else dict(json.loads(found))


def away(config: Config, now_us: int | None = None) -> dict[str, str]:
    """Slots whose producer does not serve them: what their status in Redis says, `no producer` where it is old."""
    found: dict[str, str] = {}
    now = time.time_ns() // 1000 if now_us is None else now_us
    with redis.Redis.from_url(config.get_redis_url(), socket_timeout=2) as client:
        for slot in (slot for exchange in config.exchanges for slot in slots_of(config, exchange)):
            if all(name.startswith("!") for name in slot.symbols):
                continue  # nothing of it is listed, so nobody connects
            key = f"{config.topic_prefix}:latest:status:{slot.name}"
            keys = [key, *client.scan_iter(f"{key}@*")]  # a name for each collector, where there are several
            statuses = [json.loads(text) for text in client.mget(keys) if text is not None]
            words = sorted(_served(status, now) for status in statuses)
            if "" not in words:
                found[slot.name] = words[0] if words else NO_PRODUCER
    return found


def _served(status: dict[str, Any], now_us: int) -> str:
    """Nothing where the slot is served, else why not."""
    if now_us - parse_time(status["observed_at"]) > STATUS_OLD_US:
        return NO_PRODUCER
    if status["breaker"] != "closed":
        return f"breaker {status['breaker']}"
    return "" if status["state"] == "subscribed" else str(status["state"])


def book_states(config: Config) -> dict[tuple[str, str], str]:
    """(exchange, symbol) -> live, or why not, from the newest book in Redis."""
    states = {}
    with redis.Redis.from_url(config.get_redis_url(), socket_timeout=10) as client:
        for exchange in config.exchanges:
            for symbol in config.symbols:
                found: Any = client.get(f"{config.topic_prefix}:latest:book:{symbol}:{exchange}")
                book = {} if found is None else json.loads(found)
                states[exchange, symbol] = (
                    "live" if book.get("live") else str(book.get("reason", "no tick yet"))
                )
    return states
