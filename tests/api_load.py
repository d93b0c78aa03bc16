"""Many WebSocket clients on the heatmaps of an API process: how long a tick takes from its topic to each of them.

Servers of its own, one `python -m api`, a writer of heatmaps as full as real ones, and clients in other processes. All
clocks are the machine's one monotonic clock; a tick's time begins when the writer hands it to Kafka's client.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import psutil
from confluent_kafka import Producer
from websockets.asyncio.client import connect

from COBY.codec import encode
from COBY.records import Cell, Heatmap, Included
from COBY.runtime.database import connect as connect_database
from COBY.runtime.kafka import apply_topics
from sinks.schema import migrate
from tests.api_server import api_server
from tests.integration.sink_helpers import START_US, settings
from tests.servers import servers

SYMBOLS = ("BTCUSDT", "ETHUSDT")
TICK_SECONDS = 0.5
CELLS = 50
"""A side: HEATMAP_DEPTH."""
OPENED_AT_ONCE = 20
SETTLE_SECONDS = 3.0
REPORT_SECONDS = 5.0
PROCESSES = 2


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def heatmap(symbol: str, number: int) -> bytes:
    """The n-th of a symbol, every cell another volume than the tick before."""
    cells = [
        Cell(10**9 * (6_000 + index), 12_345_678 * (index + number % 97 + 1), 10**6 * (index + 1), side, 7)
        for side in ("bid", "ask")
        for index in range(CELLS)
    ]
    exchanges = [Included(name, 10**9, 10**13) for name in ("binance", "kraken", "okx", "bybit", "coinbase")]
    return encode(Heatmap(symbol, START_US + number * 500_000, 10**9, cells, 10**9, 10**13, exchanges, []))


class Writer(threading.Thread):
    """Both heatmaps twice a second, as aggregate writes them; ``sent``: when, by number."""

    def __init__(self, servers: str, prefix: str, ticks: int) -> None:
        super().__init__(name="writer", daemon=True)
        self._producer = Producer(
            {"bootstrap.servers": servers, "linger.ms": 0, "partitioner": "murmur2_random", "acks": "all"}
        )
        self._topic, self._ticks = f"{prefix}.heatmap.v1", ticks
        self.sent: dict[int, float] = {}

    def run(self) -> None:
        """All ticks, each at its time."""
        self._producer.list_topics(self._topic, timeout=10)  # connecting is no part of a tick
        begin = time.monotonic()
        for number in range(self._ticks):
            time.sleep(max(0.0, begin + number * TICK_SECONDS - time.monotonic()))
            values = [(symbol, heatmap(symbol, number)) for symbol in SYMBOLS]
            self.sent[number] = time.monotonic()
            for symbol, value in values:
                own = [("source", f"aggregate/{symbol}".encode()), ("position", b"%d:0" % number)]
                self._producer.produce(
                    self._topic, value, symbol.encode(), headers=[*own, ("settings", b"s")]
                )
            self._producer.flush(10)


class Client:
    """One connection: the newest number of each symbol, how many came and how many gave way."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.count = self.conflated = self.waiting_bytes = 0
        self.seqs: dict[str, int] = {}
        self.wrong = 0

    async def follow(self, url: str, ready: asyncio.Event, seen: list[tuple[int, float]]) -> None:
        """Until it is cancelled."""
        async with connect(f"{url}/v1/ws", proxy=None, compression=None) as socket:
            channels = [{"name": "heatmap", "symbols": list(SYMBOLS)}]
            await socket.send(json.dumps({"op": "subscribe", "id": 1, "channels": channels}))
            async for text in socket:
                now = time.monotonic()
                head = text[:200]
                if head.startswith('{"type":"update"'):
                    symbol = _between(head, '"symbol":"', '"')
                    number = int(_between(text[-300:], '"position":"', ":"))
                    seen.append((number, now))
                    self.take(
                        symbol,
                        number,
                        int(_between(head, '"seq":', ",")),
                        int(_between(head, '"conflated":', ",")),
                    )
                elif head.startswith('{"type":"snapshot"'):
                    self.seqs[_between(head, '"symbol":"', '"')] = int(_between(head, '"seq":', ","))
                    if len(self.seqs) == len(SYMBOLS):
                        ready.set()
                elif head.startswith('{"type":"error"'):
                    raise AssertionError(text)
                elif head.startswith('{"type":"heartbeat"'):
                    self.waiting_bytes = int(_between(head, '"waiting_bytes":', ","))

    def take(self, symbol: str, number: int, seq: int, conflated: int) -> None:
        """One update."""
        self.wrong += seq != self.seqs.get(symbol, 0) + 1
        self.seqs[symbol] = seq
        self.newest[symbol] = number
        self.count += 1
        self.conflated += conflated


def _between(text: str, begin: str, end: str) -> str:
    first = text.index(begin) + len(begin)
    return text[first : text.index(end, first)]


def follow(url: str, count: int, ready: object, stop: object, told: object) -> None:
    """A process of clients; puts (numbers and times, clients' ends) into ``told``."""
    asyncio.run(_follow(url, count, ready, stop, told))


async def _follow(url: str, count: int, ready, stop, told) -> None:
    clients, seen = [Client() for _ in range(count)], []
    async with asyncio.TaskGroup() as group:
        tasks = []
        for first in range(0, count, OPENED_AT_ONCE):
            events = []
            for client in clients[first : first + OPENED_AT_ONCE]:
                events.append(asyncio.Event())
                tasks.append(group.create_task(client.follow(url, events[-1], seen)))
            await asyncio.gather(*(event.wait() for event in events))
        await asyncio.sleep(SETTLE_SECONDS)
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(REPORT_SECONDS / 10)
            part, seen[:] = list(seen), []
            told.put((part, None))
        for task in tasks:
            task.cancel()
    told.put(
        (
            list(seen),
            [(one.newest, one.count, one.conflated, one.wrong, one.waiting_bytes) for one in clients],
        )
    )


def share(values: list[float], part: float) -> float:
    """A percentile of sorted values."""
    return values[int(part * (len(values) - 1))]


def measure(url: str, pid: int, writer: Writer, clients: int, seconds: float) -> bool:
    """Clients, then ticks; whether every client was up to date at the end."""
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue(maxsize=10_000)
    readies = [context.Event() for _ in range(PROCESSES)]
    counts = [clients // PROCESSES + (number < clients % PROCESSES) for number in range(PROCESSES)]
    processes = [
        context.Process(target=follow, args=(url, count, ready, stop, told), daemon=True)
        for count, ready in zip(counts, readies, strict=True)
    ]
    for process in processes:
        process.start()
    for ready in readies:
        assert ready.wait(120), "the clients are not connected"
    say(f"{clients} clients are there; {seconds:g} s of both heatmaps at {1 / TICK_SECONDS:g} Hz follow")
    api = psutil.Process(pid)
    api.cpu_percent()
    latencies: list[float] = []
    ends: list[tuple[dict[str, int], int, int, int, int]] = []
    done, reported, stopped_at = 0, time.monotonic(), None
    writer.start()
    while done < PROCESSES:
        try:
            part, end = told.get(timeout=1.0)
        except Exception:
            part, end = [], None
        latencies += [at - writer.sent[number] for number, at in part]
        if end is not None:
            ends += end
            done += 1
        if not writer.is_alive() and stopped_at is None:
            stopped_at = time.monotonic()
        if stopped_at is not None and time.monotonic() > stopped_at + SETTLE_SECONDS:
            stop.set()
        if time.monotonic() > reported + REPORT_SECONDS and latencies:
            reported = time.monotonic()
            recent = sorted(latencies[-clients * 20 :])
            say(
                f"{len(latencies)} messages, lately p50 {1e3 * share(recent, 0.5):.0f} ms, p99 "
                f"{1e3 * share(recent, 0.99):.0f} ms; API {api.memory_info().rss / 2**20:.0f} MiB, "
                f"{api.cpu_percent():.0f} % of a processor"
            )
    for process in processes:
        process.join(10)
    return report(latencies, ends, len(writer.sent), clients)


def report(latencies: list[float], ends: list, ticks: int, clients: int) -> bool:
    """The figures; whether all is well."""
    ordered = sorted(latencies)
    conflated, wrong = sum(end[2] for end in ends), sum(end[3] for end in ends)
    behind = [end for end in ends if set(end[0].values()) != {ticks - 1} or len(end[0]) != len(SYMBOLS)]
    wanted = clients * ticks * len(SYMBOLS)
    say(f"messages {len(ordered)} of {wanted}, conflated {conflated}, wrong numbers {wrong}")
    for part in (0.5, 0.9, 0.99, 0.999):
        say(f"p{100 * part:g} {1e3 * share(ordered, part):.1f} ms")
    say(f"max {1e3 * ordered[-1]:.1f} ms")
    say(
        f"clients not at the newest tick {SETTLE_SECONDS:g} s after the last one: {len(behind)} of {len(ends)}"
    )
    return len(ordered) + conflated == wanted and not wrong and not behind


@click.command()
@click.option("--clients", default=500, show_default=True, help="WebSocket clients, each on both heatmaps.")
@click.option("--seconds", default=60.0, show_default=True, help="How long heatmaps are written.")
def main(clients: int, seconds: float) -> None:
    """Measure how long a tick takes from its topic to each of many WebSocket clients.

    Exit code 1 if a message is missing, or a client is not at the newest tick in the end.

    \b
    Example:
      python -m tests.api_load --clients 500 --seconds 60
    """
    with tempfile.TemporaryDirectory(prefix="coby-api-load-") as name:
        folder = Path(name)
        source = servers(folder)
        say("starting Kafka, TimescaleDB, Redis")
        with (
            source.kafka() as kafka,
            source.timescale() as server,
            source.redis() as redis,
            server.database() as tables,
        ):
            prefix = "tapiload"
            cfg = settings(kafka, tables, redis, prefix=prefix)
            apply_topics(cfg)
            with connect_database(cfg) as conn:
                migrate(conn)
            env = {**kafka.env, **tables.env, **redis.env, "TOPIC_PREFIX": prefix}
            env |= {"WS_CONNECTIONS": str(clients + 1), "API_RATE": "100000"}
            with api_server(env, folder) as api:
                say(f"the API is up: {api.ws_url}")
                writer = Writer(kafka.bootstrap_servers, prefix, int(seconds / TICK_SECONDS))
                is_well = measure(api.ws_url, api.process.pid, writer, clients, seconds)
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
