"""The largest pages of the REST API: seconds, memory, and how long they hold up everyone else of their process.

A TimescaleDB of its own with as many rows as the largest pages are made of, one `python -m api`, and a prober in
another process that asks `/health/live` all the time: what it waits longer than without a page is what WebSocket
clients and other requests would wait.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx
import psutil
import psycopg

from api.formats import ARROW, CSV, JSON
from COBY.runtime.database import connect
from sinks.schema import migrate
from tests.api_data import START, moment
from tests.api_server import ApiServer, api_server
from tests.integration.sink_helpers import settings
from tests.servers import servers

EXCHANGES = ("binance", "kraken", "okx", "bybit", "coinbase", "kucoin", "gateio", "huobi", "mexc", "bitfinex")
ROWS = 20_000
TICKS = 7_500
"""Of 100 cells each, as HEATMAP_DEPTH is 50: 750,000 rows."""
PROBE_SECONDS = 0.002
SAMPLE_SECONDS = 0.005
MIB = 2**20

_SIDE = "(SELECT jsonb_agg(jsonb_build_array(({sign} level * 0.01 + 60000)::numeric(20,8)::text, \
(level * 0.1234567)::numeric(30,8)::text)) FROM generate_series(1, 50) AS level)"
FILL = (
    """INSERT INTO trade_events (symbol, exchange, timestamp, price, size, side, trade_id, received_at, position)
    SELECT 'BTCUSDT', (%(exchanges)s::text[])[1 + n %% 10], %(start)s + n * interval '50 milliseconds',
        60000 + n * 0.01, n * 0.00012345, 'buy', n::text, %(start)s + n * interval '51 milliseconds', n || ':0'
    FROM generate_series(1, %(rows)s) AS n""",
    """INSERT INTO ohlcv_data SELECT 'BTCUSDT', %(start)s + n * interval '1 second', '1s', 1, 4, 0.5, 2,
        n * 1.2345678, 3, %(start)s, n || ':0', 1, true FROM generate_series(0, %(rows)s) AS n""",
    f"""INSERT INTO order_book_snapshots (symbol, exchange, timestamp, bids, asks, mid_price, spread, bid_volume,
        ask_volume, received_at, position)
    SELECT 'BTCUSDT', 'binance', %(start)s + n * interval '1 second', bids, asks, 60000, 0.02, 157.4, 157.4, %(start)s,
        n || ':0'
    FROM generate_series(0, %(rows)s) AS n,
        (SELECT {_SIDE.format(sign="-")} AS bids, {_SIDE.format(sign="+")} AS asks) AS book""",
    """INSERT INTO heatmap_ticks SELECT 'BTCUSDT', %(start)s + n * interval '1 second', 10,
        (SELECT jsonb_agg(jsonb_build_object('exchange', one, 'covered_low', (50000 + n * 0.01)::numeric(20,8)::text,
            'covered_high', (70000 + n * 0.01)::numeric(20,8)::text)) FROM unnest(%(exchanges)s::text[]) AS one),
        '{}', 50000, 70000 FROM generate_series(0, %(ticks)s) AS n""",
    """INSERT INTO heatmap_data SELECT 'BTCUSDT', %(start)s + n * interval '1 second', 10, 59500 + 10 * cell,
        (n + cell) * 0.1234567, CASE WHEN cell < 50 THEN 'bid' ELSE 'ask' END, 7
    FROM generate_series(0, %(ticks)s) AS n, generate_series(0, 99) AS cell""",
    "ANALYZE",
)


class Page(NamedTuple):
    """A request, and what its answer was over several rounds: the median of seconds, the largest of all else."""

    name: str
    path: str
    query: dict[str, Any]
    form: str


def pages() -> Iterator[Page]:
    """The largest of each kind."""
    books = {"from": moment(0), "to": moment(86_400), "limit": 10_000}
    day = books | {"symbol": "BTCUSDT"}
    yield Page("a small page of trades", "/v1/trades", day | {"limit": 10}, JSON)
    for form in (JSON, CSV, ARROW):
        yield Page("10,000 trades", "/v1/trades", day, form)
    yield Page("10,000 candles", "/v1/ohlcv", day | {"timeframe": "1s"}, JSON)
    yield Page("10,000 figures of books", "/v1/metrics/binance/BTCUSDT", books, JSON)
    heatmap = {"from": moment(0), "to": moment(TICKS), "limit": 10_000, "symbol": "BTCUSDT"}
    for form in (JSON, CSV, ARROW):
        yield Page("heatmap of each tick", "/v1/heatmap", heatmap, form)
    for resolution in ("10s", "1m", "1h"):
        yield Page(f"heatmap of {resolution}", "/v1/heatmap", heatmap | {"resolution": resolution}, JSON)
    yield Page("heatmap of each tick, floats", "/v1/heatmap", heatmap | {"numbers": "float"}, ARROW)


def fill(dsn: str) -> None:
    """The rows."""
    values = {"start": START, "rows": ROWS, "ticks": TICKS, "exchanges": list(EXCHANGES)}
    with psycopg.connect(dsn, autocommit=True) as conn:
        for text in FILL:
            conn.execute(text, values if "%(" in text else None)


def probe(port: int, ready: Any, stop: Any, told: Any) -> None:
    """In a process: (when, how long the answer took) of each question, in seconds."""
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    found = []
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not stop.is_set():
            began = time.monotonic()
            one.sendall(request)
            answer = one.recv(65_536)
            while b"true}" not in answer:
                answer += one.recv(65_536)
            found.append((began, time.monotonic() - began))
            ready.set()
            time.sleep(PROBE_SECONDS)
    told.put(found)


@contextmanager
def probing(port: int) -> Iterator[list[tuple[float, float]]]:
    """What the prober saw, once the block is over."""
    context = multiprocessing.get_context("spawn")
    ready, stop, told = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=probe, args=(port, ready, stop, told), daemon=True)
    process.start()
    found: list[tuple[float, float]] = []
    assert ready.wait(60)
    try:
        yield found
    finally:
        stop.set()
        found += told.get(timeout=30)
        process.join()


class Memory(threading.Thread):
    """The most that a process held while this ran, in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._stop_asked = threading.Event()
        self.most = 0

    def run(self) -> None:
        """Until `end`."""
        while not self._stop_asked.wait(SAMPLE_SECONDS):
            self.most = max(self.most, self._process.memory_info().rss)

    def end(self) -> int:
        """The most."""
        self._stop_asked.set()
        self.join()
        return self.most


def measure(api: ApiServer, page: Page, rounds: int) -> dict[str, Any]:
    """The figures of one page."""
    process = psutil.Process(api.process.pid)
    api.get("/health/live")
    before, times = process.memory_info().rss, process.cpu_times()
    memory, spans, answer = Memory(api.process.pid), [], None
    memory.start()
    with probing(api.port) as probes:
        for _ in range(rounds):
            time.sleep(0.5)
            began = time.monotonic()
            answer = api.get(page.path, params=page.query, headers={"Accept": page.form}, timeout=120)
            spans.append((began, time.monotonic()))
            answer.raise_for_status()
    assert answer is not None
    used = process.cpu_times()
    quiet: list[float] = []
    delays: list[float] = []
    for at, took in probes:
        is_beside = any(at <= end and at + took >= begin for begin, end in spans)
        (delays if is_beside else quiet).append(took)
    delays.sort()
    quiet.sort()
    seconds = sorted(end - begin for begin, end in spans)
    return {
        "page": page.name,
        "form": page.form.rsplit(".", 1)[-1].rsplit("/", 1)[-1],
        "MiB": round(len(answer.content) / MIB, 1),
        "seconds": round(seconds[len(seconds) // 2], 2),
        "cpu": round((used.user + used.system - times.user - times.system) / rounds, 2),
        "memory": round((memory.end() - before) / MIB),
        "p50": round(1e3 * delays[len(delays) // 2], 1),
        "p99": round(1e3 * delays[int(0.99 * (len(delays) - 1))], 1),
        "worst": round(1e3 * delays[-1]),
        "idle": round(1e3 * quiet[int(0.99 * (len(quiet) - 1))], 1),
    }


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each page is asked for.")
def main(rounds: int) -> None:
    """Measure the largest pages of the API; a line of JSON each.

    seconds: median of a page; cpu: the process's seconds a page; memory: MiB more than before, at most; p50, p99,
    worst: milliseconds that /health/live took meanwhile; idle: its p99 without a page.

    \b
    Example:
      python -m tests.pages_load --rounds 5
    """
    with tempfile.TemporaryDirectory(prefix="coby-pages-load-") as name:
        folder = Path(name)
        with servers(folder).timescale() as server, server.database() as database:
            with connect(settings(database, prefix="unused")) as conn:
                migrate(conn)
            fill(database.dsn)
            away = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_PORT": "1", "API_RATE": "10000"}
            with api_server({**database.env, **away}, folder) as api:
                for page in pages():
                    try:
                        print(json.dumps(measure(api, page, rounds)), flush=True)
                    except httpx.HTTPStatusError as error:
                        print(page.name, error.response.text, flush=True)
                        sys.exit(1)


if __name__ == "__main__":
    main()
