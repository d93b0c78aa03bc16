"""`coby doctor`: is everything there that a program needs? One finding per check, with what to do."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import redis
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from COBY.config import Config, load_config
from COBY.topics import all_topics, topic_name
from COBY.utils.exceptions import ConfigurationError
from COBY.utils.logging import hide, mask

DAY_SECONDS = 86_400
SAMPLE_SECONDS = 600  # the rate is measured over the last ten minutes
SAMPLE_RECORDS = 200  # and the size of a record over this many of the newest, per topic


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: what was looked at, whether it is well, what was seen, what to do if not."""

    name: str
    ok: bool
    seen: str
    todo: str = ""

    def line(self) -> str:
        """`OK   kafka  3 brokers` or `FAIL kafka  timed out -> start Kafka`; secrets masked."""
        todo = f" -> {self.todo}" if self.todo and not self.ok else ""
        return mask(
            " ".join(f"{'OK' if self.ok else 'FAIL':4} {self.name:10} {self.seen}{todo}".splitlines())
        )


def examine(disk: str, timeout: float, environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """The findings, in order; only one kind if a setting is wrong. `timeout`: seconds a server."""
    try:
        config = load_config(environ)
    except ConfigurationError as error:
        for problem in error.problems or (error,):
            yield Finding("settings", False, f"{problem.code}: {problem.detail()}", "correct the setting")
        return
    hide(config.secrets())
    yield Finding("settings", True, f"{','.join(config.exchanges)}; {','.join(config.symbols)}")
    yield _attempt(
        "kafka", lambda: _kafka(config, timeout), f"start Kafka at {config.kafka_bootstrap_servers}"
    )
    yield _attempt("database", lambda: _database(config, timeout), "start TimescaleDB, or correct DB_*")
    yield _attempt("redis", lambda: _redis(config, timeout), "start Redis, or correct REDIS_*")
    yield _attempt(
        "disk", lambda: _disk(config, disk, timeout), "mend Kafka first; --disk names a path on its disk"
    )


def _attempt(name: str, look: Callable[[], Finding], todo: str) -> Finding:
    """A check that raises has failed; the servers' own words say why."""
    try:
        return look()
    except (OSError, KafkaException, psycopg.Error, redis.RedisError) as error:
        # librdkafka's exceptions carry their KafkaError, whose own text is the readable one.
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        return Finding(name, False, reason.strip() or type(error).__name__, todo)


def _kafka(config: Config, timeout: float) -> Finding:
    quiet: dict[str, Any] = {
        "log_level": 0,
        "socket.connection.setup.timeout.ms": max(1_000, int(timeout * 1_000)),
    }
    errors: list[KafkaError] = []
    admin = AdminClient(config.kafka_client_settings() | quiet | {"error_cb": errors.append})
    try:
        cluster = admin.list_topics(timeout=timeout)
    except KafkaException as error:
        admin.poll(0)
        reasons = {seen.str() for seen in errors} or {str(error)}
        todo = f"start Kafka at {config.kafka_bootstrap_servers}, or correct KAFKA_*"
        return Finding("kafka", False, "; ".join(sorted(reasons)), todo)
    missing = sorted(set(all_topics(config.topic_prefix, config.exchanges)) - set(cluster.topics))
    seen = f"{len(cluster.brokers)} broker(s)"
    if missing:
        return Finding("kafka", False, f"{seen}, missing topics: {' '.join(missing)}", "coby topics apply")
    return Finding("kafka", True, f"{seen}, all topics there")


def _database(config: Config, timeout: float) -> Finding:
    wait = max(2, round(timeout))  # libpq takes whole seconds, 2 at least
    with psycopg.connect(config.get_database_url(), connect_timeout=wait, autocommit=True) as connection:
        server = connection.info.server_version // 10_000
        row = connection.execute(
            "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
        ).fetchone()
        if row is None:
            return Finding("database", False, f"PostgreSQL {server} without timescaledb", "coby db init")
        licence = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return Finding("database", True, f"PostgreSQL {server}, timescaledb {row[0]} ({licence and licence[0]})")


def _redis(config: Config, timeout: float) -> Finding:
    client = redis.Redis.from_url(
        config.get_redis_url(), socket_timeout=timeout, socket_connect_timeout=timeout, decode_responses=True
    )
    with client:
        client.ping()
        version = f"Redis {dict(client.info('server'))['redis_version']}"
        memory = dict(client.info("memory"))
    policy = str(memory.get("maxmemory_policy", ""))
    if policy.startswith("allkeys"):
        todo = "maxmemory-policy volatile-lru or noeviction: full, it would drop latest values without a word"
        return Finding("redis", False, f"{version}, {policy}", todo)
    return Finding("redis", True, version)


def _disk(config: Config, disk: str, timeout: float) -> Finding:
    """How long the free space lasts at the present rate of the raw topics (uncompressed: an upper bound)."""
    free_bytes = shutil.disk_usage(disk).free
    rate = sum(_bytes_per_second(config, exchange, timeout) for exchange in config.exchanges)
    gib = f"{free_bytes / 2**30:.1f} GiB free"
    if not rate:
        return Finding("disk", True, f"{gib}; no frames in the last {SAMPLE_SECONDS} s, so no days to tell")
    days = free_bytes / (rate * DAY_SECONDS)
    wanted = config.retention_raw / DAY_SECONDS
    seen = f"{gib}, {days:.1f} days of raw frames at {rate:,.0f} bytes/s"
    todo = f"more disk, or a RETENTION_RAW below {wanted:g} days"
    return Finding("disk", days >= wanted, seen, todo)


def _bytes_per_second(config: Config, exchange: str, timeout: float) -> float:
    """Records of the last minutes by offsets, times the mean size of the newest few."""
    settings = {"group.id": "coby-doctor", "enable.auto.commit": False, "log_level": 0}
    consumer = Consumer({**config.kafka_client_settings(), **settings})
    try:
        topic = topic_name(config.topic_prefix, "raw", exchange)
        found = consumer.list_topics(topic, timeout).topics[topic]
        since_ms = int((time.time() - SAMPLE_SECONDS) * 1_000)
        wanted = [TopicPartition(topic, partition, since_ms) for partition in found.partitions]
        spans = [_span(consumer, start, timeout) for start in consumer.offsets_for_times(wanted, timeout)]
        count = sum(high - low for _, low, high in spans)
        return count * _mean_bytes(consumer, spans, timeout) / SAMPLE_SECONDS if count else 0.0
    finally:
        consumer.close()


def _span(consumer: Consumer, start: TopicPartition, timeout: float) -> tuple[TopicPartition, int, int]:
    """(partition, first offset of the sample, end offset); equal where nothing came."""
    _, high = consumer.get_watermark_offsets(start, timeout)
    return start, start.offset if start.offset >= 0 else high, high


def _mean_bytes(consumer: Consumer, spans: list[tuple[TopicPartition, int, int]], timeout: float) -> float:
    each = max(1, SAMPLE_RECORDS // len(spans))
    filled = [(start, max(low, high - each)) for start, low, high in spans if high > low]
    consumer.assign([TopicPartition(start.topic, start.partition, offset) for start, offset in filled])
    records = consumer.consume(SAMPLE_RECORDS, timeout)
    sizes = [
        len(record.value() or b"") + len(record.key() or b"") for record in records if not record.error()
    ]
    return sum(sizes) / len(sizes) if sizes else 0.0
