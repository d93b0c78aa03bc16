"""Cases of the servers: Kafka, TimescaleDB and Redis gone, slow, full, emptied, or out of reach."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.faults.cases import Case
from tests.faults.pipeline import FaultError, Load, Pipeline
from tests.faults.proxied import ProxiedPipeline
from tests.faults.proxy import BLACKHOLE, DELAY, HALF_OPEN, PASS, RATE, RESET

GONE_SECONDS = 30.0
LOCKED_SECONDS = 20.0
TERMINATING_SECONDS = 10.0
TABLE_LOCKED = "trade_events"


class BrokerRestarted(Case):
    """Producers buffer meanwhile; beyond their bounds they drop, count it and write it down."""

    number = 5
    title = "broker restarted by TERM, then by KILL, under load"
    rounds = 4

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """TERM and KILL in turn; back on the same port and data."""
        lag, server = pipeline.require_lag(), pipeline.servers.kafka
        pipeline.pause(1.0)
        if round_ % 2:
            server.kill()
        else:
            server.stop()
        pipeline.watch(2.0)
        server.start()
        pipeline.fault_ended = time.monotonic()
        return f"{'SIGKILL' if round_ % 2 else 'SIGTERM'} to the broker, lag {lag}"


class DatabaseGone(Case):
    """The sink waits, lag grows and drains."""

    number = 6
    title = "TimescaleDB gone 30 s; its connections terminated in a loop; a table locked 20 s"
    rounds = 3

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """One of the three in turn."""
        deal = (self._gone, self._terminated, self._locked)[round_ % 3]
        lag = pipeline.require_lag()
        what = deal(pipeline)
        return f"{what}, lag {lag} before, {pipeline.lag()} after"

    def _gone(self, pipeline: Pipeline) -> str:
        pipeline.servers.postgres.kill()
        pipeline.watch(GONE_SECONDS)
        pipeline.servers.postgres.start()
        pipeline.fault_ended = time.monotonic()
        return f"database killed, back after {GONE_SECONDS:g} s"

    def _terminated(self, pipeline: Pipeline) -> str:
        ended, count = time.monotonic() + TERMINATING_SECONDS, 0
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        while time.monotonic() < ended:
            with pipeline.servers.postgres.as_superuser() as connection:
                row = connection.execute(query, [pipeline.servers.postgres.dbname]).fetchone()
            count += int(row[0]) if row else 0
            pipeline.trouble()
            time.sleep(pipeline.random.uniform(0.05, 0.3))
        pipeline.fault_ended = time.monotonic()
        return f"{count} connections terminated"

    def _locked(self, pipeline: Pipeline) -> str:
        with psycopg.connect(pipeline.servers.postgres.dsn) as connection:
            connection.execute(f"LOCK TABLE {TABLE_LOCKED} IN ACCESS EXCLUSIVE MODE")
            pipeline.watch(LOCKED_SECONDS)
        pipeline.fault_ended = time.monotonic()
        return f"{TABLE_LOCKED} locked {LOCKED_SECONDS:g} s"


class Onlooker(threading.Thread):
    """Asks Redis for every latest value again and again: none may ever be older than one it has shown."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(name="onlooker", daemon=True)
        self._pipeline = pipeline
        self._stop_asked = threading.Event()
        self._newest: dict[tuple[str, str], tuple[int, ...]] = {}
        self.problems: list[str] = []
        self.looks = 0

    def run(self) -> None:
        """Until `end`."""
        while not self._stop_asked.wait(0.05):
            with suppress(redis.RedisError, OSError), self._pipeline.cache() as cache:
                self._look(cache)

    def _look(self, cache: redis.Redis) -> None:
        keys: list[Any] = sorted(
            cache.scan_iter(f"{self._pipeline.config.topic_prefix}:latest:*", count=1_000)
        )
        values: list[Any] = list(cache.mget(keys)) if keys else []  # type: ignore[arg-type]  # not asynchronous
        self.looks += 1
        for key, value in zip(keys, values, strict=True):
            if value is None:
                continue
            found = json.loads(value)
            position = tuple(map(int, found["position"].split(":")))
            before = self._newest.setdefault((key, found["source"]), position)
            if position < before:
                self.problems.append(f"I6 {key}: {position} was shown after {before}")
            self._newest[key, found["source"]] = max(position, before)

    def end(self) -> list[str]:
        """Stop looking; what was seen, a few of it."""
        self._stop_asked.set()
        self.join()
        return self.problems[:5]


class CacheLost(Case):
    """Redis is a cache: flushed, killed, full; rebuilt from topics."""

    number = 7
    title = "Redis flushed, killed, full"
    rounds = 6
    # A flush is mended within a second.
    is_seen = False

    def begin(self, pipeline: Pipeline) -> None:
        """Somebody looks all the time."""
        self._onlooker = Onlooker(pipeline)
        self._onlooker.start()

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """One of the three in turn."""
        pipeline.pause(1.0)
        lag = pipeline.require_lag()
        what = (self._flushed, self._killed, self._full)[round_ % 3](pipeline)
        pipeline.fault_ended = time.monotonic()
        return f"{what}, lag {lag}"

    def _flushed(self, pipeline: Pipeline) -> str:
        with pipeline.cache() as cache:
            cache.flushall()
        return "flushed"

    def _killed(self, pipeline: Pipeline) -> str:
        pipeline.servers.redis.kill()
        pipeline.watch(3.0)
        pipeline.servers.redis.start()
        return "killed, back after 3 s"

    def _full(self, pipeline: Pipeline) -> str:
        with pipeline.cache() as cache:
            before = cache.config_get("maxmemory*")
            cache.config_set("maxmemory-policy", "noeviction")
            cache.config_set("maxmemory", "1mb")
            pipeline.watch(5.0)
            for name in ("maxmemory", "maxmemory-policy"):
                cache.config_set(name, before[name])  # type: ignore[index]  # not asynchronous
        return "full for 5 s"

    def end(self, pipeline: Pipeline) -> list[str]:
        """What the onlooker saw."""
        problems = self._onlooker.end()
        return problems if self._onlooker.looks else ["I6: nobody could look"]


class NetworkBroken(Case):
    """Between the programs and each of the three servers, and between producers and exchanges, in turn."""

    number = 8
    title = "network to each server and to the exchanges: blackhole 20 s, reset, 300 ms delay, 1 Mbit/s, half-open"
    rounds = 20
    # A reset, a delay of 300 ms and a slow line may be borne without anything to be seen.
    is_seen = False
    load = Load(rate=100)

    LINKS = ("database", "redis", "kafka", "exchange")
    MODES = (
        (BLACKHOLE, 20.0, {}),
        (RESET, 3.0, {}),
        (DELAY, 10.0, {"seconds": 0.3}),
        (RATE, 10.0, {"bytes_per_second": 125_000}),
        (HALF_OPEN, 10.0, {}),
    )

    def make_pipeline(self, folder: Path, seed: int, session: int) -> Pipeline:
        """Every program meets the servers through proxies."""
        return ProxiedPipeline(folder, self.load, seed, session)

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The next mode; after all of them the next link."""
        assert isinstance(pipeline, ProxiedPipeline)
        name = self.LINKS[round_ // len(self.MODES) % len(self.LINKS)]
        mode, seconds, more = self.MODES[round_ % len(self.MODES)]
        proxy = pipeline.proxies[name]
        lag = pipeline.require_lag()
        if not proxy.open_links:
            raise FaultError(f"nobody is connected to {name} through its proxy")
        proxy.set(mode, **more)
        try:
            pipeline.watch(seconds)
        finally:
            proxy.set(PASS)
        pipeline.fault_ended = time.monotonic()
        return f"{mode} {seconds:g} s to {name}, lag {lag}"


class AnswerLost(Case):
    """Whether the transaction counts is asked of sink_progress, not guessed."""

    number = 19
    title = "commit acknowledged by PostgreSQL but the answer lost"
    rounds = 5
    # The next attempt succeeds within a fraction of a second.
    is_seen = False

    def make_pipeline(self, folder: Path, seed: int, session: int) -> Pipeline:
        """The sink meets the database through a proxy."""
        return ProxiedPipeline(folder, self.load, seed, session)

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The next COMMIT reaches the server; its answer is swallowed and the connection reset."""
        assert isinstance(pipeline, ProxiedPipeline)
        lag, proxy = pipeline.require_lag(), pipeline.proxies["database"]
        before = proxy.answers_lost
        proxy.lose_answer(b"COMMIT")
        pipeline.until(lambda: proxy.answers_lost > before, 20, "a COMMIT on its way")
        pipeline.fault_ended = time.monotonic()
        log = pipeline.programs.log("sink-timescale")
        pipeline.until(lambda: log.read_text().count("write_failed") > round_, 20, "the sink told of it")
        return f"answer to a COMMIT lost, lag {lag}"
