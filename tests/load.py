"""`make load`: all exchanges at a steady rate, and what an onlooker outside of the pipeline sees of it.

Latencies are those of a reader: wall time when a record is there less the time that the record itself tells.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import click
import psutil
import psycopg
import redis
from confluent_kafka import OFFSET_END, Consumer, Message, TopicPartition

from COBY.codec import decode
from COBY.config import Config
from COBY.records import BookTick, TradeEvent
from COBY.runtime.kafka import client_settings
from COBY.runtime.redis import feed_key
from COBY.topics import all_topics, topic_name
from COBY.utils.intervals import parse_time
from deploy.local import fetch
from deploy.local.demo import Demo, start, summary
from deploy.local.stack import ROOT
from tests.faults.pipeline import MIB
from tests.faults.soak import FLAT, Memory, thirds

FOLDER = ROOT / ".local" / "load"
WARM_SECONDS = 30.0
"""Not counted: books come up, programs load what they need."""
LAG_SECONDS = 1.0
EVERY = 5
"""Of trades, one in so many is decoded: the onlooker must not be the load."""
POLL_SECONDS = 0.1
BATCH, BATCH_SECONDS = 200, 0.01
"""Records at once: a full batch is waited for, so a large one would be seen late."""

HOPS = {
    "receive": "exchange's time of a trade → received by the producer",
    "kafka": "received → in the raw topic",
    "normalize": "received → in the trade topic",
    "tick": "tick T → in the book topic",
    "aggregate": "tick T → in the heatmap topic",
    "redis": "tick T → in the heatmap's feed in Redis",
    "timescale": "received → newest trade committed in TimescaleDB (looked at each 0.1 s)",
}


class Latencies:
    """Seconds by hop, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._worst: dict[int, dict[str, float]] = defaultdict(dict)
        self.blind: list[str] = []
        """Books that a tick called blind."""

    def add(self, hop: str, seconds: float) -> None:
        """One observation."""
        second = int(time.monotonic() - self._began)
        with self._lock:
            self._seconds[hop].append(seconds)
            worst = self._worst[second]
            worst[hop] = max(seconds, worst.get(hop, 0.0))

    def seconds_csv(self) -> str:
        """The largest of each second and hop, milliseconds: shows what comes back at intervals."""
        lines = [",".join(["second", *HOPS])]
        for second, worst in sorted(self._worst.items()):
            lines.append(",".join([str(second), *(f"{1e3 * worst.get(hop, 0.0):.0f}" for hop in HOPS)]))
        return "\n".join(lines) + "\n"

    def table(self) -> Iterator[tuple[str, int, float, float, float]]:
        """(hop, observations, median, 99th percentile, largest), seconds, in the order of the hops."""
        for hop in HOPS:
            values = sorted(self._seconds[hop])
            if values:
                median, late, last = (values[int(share * (len(values) - 1))] for share in (0.5, 0.99, 1))
                yield hop, len(values), median, late, last


class Onlooker(threading.Thread):
    """Calls ``look`` again and again until `end`."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__(name=getattr(look, "__qualname__", "onlooker"), daemon=True)
        self._look = look
        self._stop_asked = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Until `end`, or an error, which is kept."""
        try:
            while not self._stop_asked.is_set():
                self._look()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Stop looking; what went wrong in the thread is raised here."""
        self._stop_asked.set()
        self.join()
        if self.error is not None:
            raise self.error


class Topics:
    """Reads raw and derived topics from their ends."""

    def __init__(self, config: Config, latencies: Latencies) -> None:
        self._latencies = latencies
        settings = client_settings(config) | {"group.id": "load-onlooker", "enable.auto.commit": False}
        self._consumer = Consumer(settings)
        self._counted = 0
        self._stages = {
            topic_name(config.topic_prefix, name): name for name in ("trade", "book", "heatmap")
        } | {topic_name(config.topic_prefix, "raw", exchange): "raw" for exchange in config.exchanges}
        counts = all_topics(config.topic_prefix, config.exchanges)
        self._consumer.assign(
            [
                TopicPartition(topic, number, OFFSET_END)
                for topic in self._stages
                for number in range(counts[topic].partitions)
            ]
        )

    def look(self) -> None:
        """A batch of records."""
        for message in self._consumer.consume(BATCH, BATCH_SECONDS):
            if message.error() is None:
                self._take(message, time.time())

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _take(self, message: Message, now: float) -> None:
        stage = self._stages[message.topic() or ""]
        age = now - message.timestamp()[1] / 1e3
        if stage == "raw":
            self._latencies.add("kafka", age)
        elif stage == "trade":
            self._latencies.add("normalize", age)
            self._counted += 1
            if self._counted % EVERY == 0:
                trade = decode(message.value())
                assert isinstance(trade, TradeEvent)
                self._latencies.add("receive", (trade.received_at - trade.timestamp) / 1e6)
        elif stage == "heatmap":
            self._latencies.add("aggregate", age)
        else:
            self._latencies.add("tick", age)
            tick = decode(message.value())
            assert isinstance(tick, BookTick)
            if not tick.live:
                self._latencies.blind.append(f"{tick.exchange}/{tick.symbol}: {tick.reason}")


class Cache:
    """Waits for heatmaps at the feeds in Redis."""

    def __init__(self, config: Config, latencies: Latencies) -> None:
        self._latencies = latencies
        self._redis = redis.Redis.from_url(config.get_redis_url(), socket_timeout=5, decode_responses=True)
        self._places = {feed_key(config.topic_prefix, "heatmap", name): "$" for name in config.symbols}

    def look(self) -> None:
        """What comes next."""
        answers: list[tuple[str, list[tuple[str, dict[str, str]]]]]
        answers = self._redis.xread(dict(self._places), block=100) or []  # type: ignore[assignment, arg-type]
        now = time.time()
        for feed, entries in answers:
            for place, fields in entries:
                self._places[feed] = place
                self._latencies.add("redis", now - parse_time(json.loads(fields["value"])["timestamp"]) / 1e6)

    def close(self) -> None:
        """Leave."""
        self._redis.close()


class Database:
    """Asks for the newest trade."""

    def __init__(self, config: Config, latencies: Latencies) -> None:
        self._latencies = latencies
        self._connection = psycopg.connect(config.get_database_url(), autocommit=True)

    def look(self) -> None:
        """Its age."""
        time.sleep(POLL_SECONDS)
        row = self._connection.execute(
            "SELECT extract(epoch FROM clock_timestamp() - max(received_at)) FROM trade_events "
            "WHERE received_at > now() - interval '1 minute'"
        ).fetchone()
        if row is not None and row[0] is not None:
            self._latencies.add("timescale", float(row[0]))

    def close(self) -> None:
        """Leave."""
        self._connection.close()


def cpu_seconds(demo: Demo) -> dict[str, float]:
    """Program or server -> seconds of CPU it has used so far; the onlooker is ``load``."""
    names = {state.pid: name for name, state in demo.programs.status().items()}
    found: dict[str, float] = defaultdict(float)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            name = names.get(process.pid) or ("load" if process.pid == os.getpid() else process.name())
            if process.pid in names or name in ("load", "java", "postgres", "redis-server"):
                spent = process.cpu_times()
                found[name] += spent.user + spent.system
    return found


def measure(demo: Demo, seconds: float, memory: Path) -> tuple[Latencies, list[str]]:
    """Look on for so long: latencies and blind ticks, lines of memory samples."""
    latencies = Latencies()
    sampler = Memory(demo.programs, memory)
    sampler.start()
    with ExitStack() as stack:
        eyes = [kind(demo.config, latencies) for kind in (Topics, Cache, Database)]
        for eye in eyes:
            stack.callback(eye.close)
            onlooker = Onlooker(eye.look)
            onlooker.start()
            stack.callback(onlooker.end)
        before, began = cpu_seconds(demo), time.monotonic()
        _wait(demo, seconds)
        passed, after = time.monotonic() - began, cpu_seconds(demo)
    sampler.end()
    memory.with_name("latencies.csv").write_text(latencies.seconds_csv())
    shares = {name: (spent - before.get(name, 0.0)) / passed for name, spent in after.items()}
    click.echo("cores: " + ", ".join(f"{name} {share:.2f}" for name, share in sorted(shares.items())))
    click.echo(f"cores in all: {sum(shares.values()):.2f} of {psutil.cpu_count()}")
    return latencies, memory.read_text().splitlines()


def _wait(demo: Demo, seconds: float) -> None:
    """Let time pass, with a line each ten seconds."""
    began, at, frames = time.monotonic(), time.monotonic(), demo.frames()
    while (passed := time.monotonic() - began) < seconds:
        time.sleep(min(10.0, seconds - passed))
        now, count = time.monotonic(), demo.frames()
        click.echo(f"{now - began:4.0f} s {(count - frames) / (now - at):6.0f} frames/s")
        at, frames = now, count


def judge(latencies: Latencies, samples: list[str]) -> bool:
    """Print what was seen; whether nothing was blind, late or growing."""
    rows, held = list(latencies.table()), True
    click.echo("| hop | what | observations | median ms | p99 ms | largest ms |\n|---|---|---|---|---|---|")
    for hop, count, *figures in rows:
        click.echo(
            f"| {hop} | {HOPS[hop]} | {count:,} | {' | '.join(f'{1e3 * one:.0f}' for one in figures)} |"
        )
    missing = HOPS.keys() - {row[0] for row in rows}
    late = [hop for hop, _, _, p99, _ in rows if p99 > LAG_SECONDS]
    grown = []
    for name, sizes in sorted(thirds(samples).items()):
        click.echo(
            f"memory of {name}: {', '.join(f'{size // MIB} MiB' for size in sizes)} at most in the thirds of the time"
        )
        grown += [name] if sizes[2] > FLAT * sizes[1] else []
    for name, wrong in (
        ("no hop unseen", sorted(missing)),
        ("no tick blind", latencies.blind[:5]),
        (f"99 of 100 records of each hop within {LAG_SECONDS:g} s", late),
        ("memory flat", grown),
    ):
        held &= not wrong
        click.echo(f"{'FAIL' if wrong else 'ok  '} {name}: {', '.join(wrong) or 'holds'}")
    return held


@click.command()
@click.option("--rate", default=2_000, show_default=True, help="Frames a second over all exchanges.")
@click.option("--minutes", default=10.0, show_default=True, help="How long it is looked at.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=FOLDER, help="Data and logs (emptied first)."
)
def main(rate: int, minutes: float, folder: Path) -> None:
    """All exchanges at a steady rate: nothing lost or blind, latency of each hop, memory.

    \b
    Example:
      python -m tests.load --rate 2000 --minutes 10
    """
    fetch.fetch()
    with ExitStack() as stack:
        demo = start(stack, folder.resolve(), live=False, rate=rate)
        _wait(demo, WARM_SECONDS)
        held = judge(*measure(demo, 60 * minutes, folder / "memory.jsonl"))
        held &= summary(demo)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main(prog_name="python -m tests.load")
