"""A running COBY for the dashboard's tests in Chromium (dashboard/tests/e2e): `python -m tests.dashboard_world FOLDER`.

Two of them on the same servers: a live one, the pipeline on three simulated exchanges; and one of a fixed recording,
75 s that are over, whose books are in topics and tables, with a lost connection, a hole in what was stored, and a
symbol whose price is ten times as high after the loss. What the recording's cells are is computed beside it by
tests/reference, and is a part of what is told.

When all is there, FOLDER/world.json says where. Orders are POSTed to its `orders`: `{"do": "stop", "with": {"name":
"api"}}`, answered by `{}` or `{"error": …}`. At the end of its standard input everything is taken down.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from COBY.codec import encode
from COBY.config import Config
from COBY.records import Gap
from COBY.runtime.kafka import make_producer
from COBY.topics import topic_name
from deploy.local.ports import HOST, free_ports
from deploy.local.programs import api
from sinks.redis import RedisSink
from sinks.timescale import TimescaleSink
from tests.api_server import api_server
from tests.e2e.system import System, system
from tests.faults.proxy import FaultProxy
from tests.integration.replay_world import working
from tests.integration.sink_helpers import prepare, running, settings, settled, until
from tests.integration.verify_run import RAW_PARTITION, SYMBOLS, Made, Run, frames, started_ns, told
from tests.reference.run import compute
from tests.reference.settings import Settings
from tests.servers import Database, KafkaServer, RedisServer, servers

LIVE = ("clock", "streams", "sink-timescale", "sink-redis", "replay")
LIVE_EXCHANGES = "binance,kraken,okx"
RATE = "90"
STORED = ("trade", "book", "heatmap", "ohlcv", "gap", "quality", "continuity")
SECOND_US = 1_000_000
HOLE_SECONDS = (50, 55)
"""Of the recording: what was stored of these seconds is taken away."""
JUMPED = {"ETHUSDT": 30_000}
LOST_SECONDS = (19.5, 20.0)
"""Of the recording: the ticks without its connection, lost at 19.1 s and there again at 20.1 s (verify_run.frames)."""


class Recorded(NamedTuple):
    """What the tests are told of the recording; times in microseconds."""

    url: str
    begin_us: int
    end_us: int
    lost_us: tuple[int, int]
    hole_us: tuple[int, int]
    jump_us: int
    """From then on the prices of ETHUSDT are ten times as high."""
    heatmaps: list[dict[str, Any]]


class World(NamedTuple):
    """Where it is."""

    live: System
    live_url: str
    network: Network
    recorded: Recorded


class Network(NamedTuple):
    """Between a browser and the live API."""

    latency: FaultProxy
    rate: FaultProxy

    def order(self, state: str) -> None:
        """`good`: as if it were not there. `slow`: 100 kbit/s each way and connection, a second there and back.
        `asleep`: nothing goes through, and nobody is told.
        """
        latency, rate = {
            "good": ("pass", "pass"),
            "slow": ("delay", "rate"),
            "asleep": ("blackhole", "pass"),
        }[state]
        self.latency.set(latency, seconds=0.5)
        self.rate.set(rate, bytes_per_second=12_500)


@contextmanager
def live_part(folder: Path, env: dict[str, str]) -> Iterator[tuple[System, str]]:
    """The pipeline on simulated exchanges, and its API."""
    port, ws_port = free_ports(2)
    names = (*LIVE, *(f"producer-{name}" for name in LIVE_EXCHANGES.split(",")))
    env = {**env, "TOPIC_PREFIX": "live", "EXCHANGES": LIVE_EXCHANGES, "SYMBOLS": ",".join(SYMBOLS)}
    with system(
        folder, env, names=names, options=("--rate", RATE), more=[api(port, ws_port)]
    ) as running_system:
        yield running_system, f"http://{HOST}:{port}"


@contextmanager
def recorded_part(
    folder: Path, kafka: KafkaServer, database: Database, redis: RedisServer
) -> Iterator[Recorded]:
    """The recording in topics, tables and Redis, and an API that serves it."""
    more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS)}
    cfg = settings(kafka, database, redis, prefix="recorded", **more)
    prepare(cfg)
    log = frames(started_ns(), JUMPED)
    made = Made(log, cfg)
    Run(cfg, log, made.outputs, told(cfg))
    counts = Counter(one.topic for one in made.outputs)
    with running(TimescaleSink, cfg) as store, running(RedisSink, cfg):
        until(lambda: all(settled(database.dsn, name, counts[name]) for name in STORED), 120, store)
    begin_us = log.records[0].timestamp * 1_000
    hole = tuple(begin_us + second * SECOND_US for second in HOLE_SECONDS)
    with psycopg.connect(database.dsn, autocommit=True) as conn:
        for table in ("heatmap_data", "heatmap_ticks"):
            span = "timestamp >= to_timestamp(%s) AND timestamp < to_timestamp(%s)"
            conn.execute(f"DELETE FROM {table} WHERE {span}", [one / SECOND_US for one in hole])
    env = {**kafka.env, **database.env, **redis.env, **more, "TOPIC_PREFIX": "recorded", "API_RATE": "1000"}
    with working(cfg), api_server(env, folder) as served:
        lost = tuple(begin_us + round(second * SECOND_US) for second in LOST_SECONDS)
        end_us = log.records[-1].timestamp * 1_000
        jump_us = lost[1]
        yield Recorded(served.url, begin_us, end_us, lost, hole, jump_us, expected(log, cfg))  # type: ignore[arg-type]


def expected(log: Any, cfg: Config) -> list[dict[str, Any]]:
    """The heatmaps of the recording as tests/reference computes them from its frames alone."""
    rows = []
    for record in log.records:
        said = {name: value.decode() for name, value in record.headers}
        place = {"topic": "recorded.raw.binance.v1", "partition": RAW_PARTITION, "offset": record.offset}
        head = {"conn": said["conn"], "seq": int(said["seq"]), "kind": said["kind"]}
        rest = {"url": said.get("url"), "symbol": said.get("symbol")}
        values = {"key": record.key, "value": record.value, "received_ns": int(said["received_ns"])}
        rows.append({**place, **values, **head, **rest})
    sizes = {symbol: Decimal(str(cfg.get_bucket_size(symbol))) for symbol in SYMBOLS}
    return compute(rows, Settings(("binance",), tuple(SYMBOLS), sizes, cfg.heatmap_depth))["heatmap"]


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Both."""
    source = servers(folder)
    with ExitStack() as stack:
        kafka, timescale, redis = (
            stack.enter_context(part) for part in (source.kafka(), source.timescale(), source.redis())
        )
        databases = [stack.enter_context(timescale.database()) for _ in range(2)]
        env = {**kafka.env, **databases[0].env, **redis.env}
        migrated = settings(kafka, databases[0], redis, prefix="live", EXCHANGES=LIVE_EXCHANGES)
        prepare(migrated)
        live, url = stack.enter_context(live_part(folder / "live", env))
        recorded = stack.enter_context(recorded_part(folder, kafka, databases[1], redis))
        rate = stack.enter_context(FaultProxy((HOST, int(url.rpartition(":")[2]))))
        network = Network(stack.enter_context(FaultProxy((HOST, rate.port))), rate)
        yield World(live, url, network, recorded)


class Orders:
    """What a test may ask of it."""

    def __init__(self, place: World) -> None:
        self._live = place.live
        self._orders: dict[str, Callable[..., object]] = {
            "stop": self._live.programs.stop,
            "start": self._live.programs.start,
            "kill": self._live.programs.kill,
            "network": place.network.order,
            "gap": self.gap,
        }

    def carry_out(self, line: bytes) -> dict[str, Any]:
        """What became of it."""
        order = json.loads(line)
        try:
            self._orders[order["do"]](**order.get("with", {}))
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        return {}

    def gap(self, reason: str, symbol: str, time_us: int) -> None:
        """A gap record with any words in the live gap topic, as if a task had written it."""
        cfg, errors = self._live.config, list[object]()
        record = Gap(symbol, cfg.exchanges[0], time_us, time_us, None, reason, None, reason)
        producer = make_producer(cfg, errors.append)
        headers = [("source", b"test/0"), ("position", b"%d:0" % time_us), ("settings", b"test")]
        topic = topic_name(cfg.topic_prefix, "gap")
        producer.produce(topic, encode(record), symbol.encode(), headers, timestamp_ms=time_us // 1_000)
        if producer.flush(10) or errors:
            raise RuntimeError(f"the gap was not written: {errors}")


@contextmanager
def listening(orders: Orders) -> Iterator[str]:
    """Where orders are taken, one after another."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = json.dumps(orders.carry_out(body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Until standard input ends, or SIGTERM: all is taken down then, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(sys.argv[1]).resolve()
    with world(folder) as place, listening(Orders(place)) as orders:
        told_once = {
            "live": place.live_url,
            "far": f"http://{HOST}:{place.network.latency.port}",
            "simulator": place.live.simulator_url,
            "orders": orders,
            "recorded": place.recorded._asdict(),
        }
        new = folder / "world.new"
        new.write_text(json.dumps(told_once, default=str))
        new.rename(folder / "world.json")
        sys.stdin.read()


if __name__ == "__main__":
    main()
