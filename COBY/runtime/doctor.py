"""`coby doctor`: is everything there that a program needs? One finding per check, with what to do."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

import psycopg
import redis
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from COBY.config import Config, load_config
from COBY.forecast import days_left, still_needed_bytes
from COBY.runtime import growth
from COBY.runtime.database import connect
from COBY.topics import all_topics
from COBY.utils.exceptions import ConfigurationError, StorageError
from COBY.utils.logging import hide, mask

GIB = 2**30
ENOUGH_DAYS = 7.0
"""A disk that is full sooner is none to leave alone over a weekend."""


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
        "disk",
        lambda: _disk(config, disk, timeout),
        "mend Kafka and the database first; --disk names a path on their disk",
    )


def _attempt(name: str, look: Callable[[], Finding], todo: str) -> Finding:
    """A check that raises has failed; the servers' own words say why."""
    try:
        return look()
    except (OSError, KafkaException, psycopg.Error, redis.RedisError, StorageError) as error:
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
    """How long the free space lasts if topics and tables both lie there and go on growing as they do now."""
    free_bytes = shutil.disk_usage(disk).free
    growths = growth.of_topics(config, timeout)
    with connect(config) as conn:
        growths += growth.of_tables(conn, config)
    gib = f"{free_bytes / GIB:.1f} GiB free"
    rate = sum(each.bytes_per_second for each in growths)
    if not rate:
        return Finding("disk", True, f"{gib}; nothing was written of late, so no days to tell")
    days, needed = days_left(free_bytes, growths), still_needed_bytes(growths)
    most = ", ".join(islice(growth.lines(growths), 2))
    endless = ", ".join(each.name for each in growths if each.bytes_per_second and not each.keep_seconds)
    lasts = "which suffices" if days == inf else f"full in {days:.1f} days"
    wants = f"{needed / GIB:.1f} GiB more until retention keeps pace" + (endless and f", {endless} for ever")
    seen = f"{gib}, {lasts}: {rate:,.0f} bytes/s come ({most}), {wants}"
    return Finding(
        "disk", days >= ENOUGH_DAYS, seen, "more disk, or a shorter RETENTION_RAW, RETENTION_TABLES"
    )
