"""A tiny exchange on localhost, its session, and a producer around them; raw topics read back by a plain consumer."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec
from prometheus_client import CollectorRegistry
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from COBY.config import Config, load_config
from COBY.exchanges.base import (
    Acknowledged,
    Command,
    Connect,
    Decoder,
    Endpoints,
    Farewell,
    Fetch,
    Refused,
    Send,
    Slot,
)
from COBY.limits import Limits
from COBY.runtime.kafka import admin, apply_topics, check_topics
from COBY.runtime.metrics import Metrics
from COBY.utils.exceptions import BrokerError
from COBY.utils.timing import WallClock
from producers.backoff import Backoff
from producers.backoff import Limits as BackoffLimits
from producers.connector import SlotConnector
from producers.control import Control
from producers.publisher import Publisher
from producers.rest import Rest
from producers.supervisor import Supervisor
from tests.waiting import until

SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUICK = BackoffLimits(
    base_seconds=0.02,
    cap_seconds=0.2,
    stable_seconds=60.0,
    breaker_failures=50,
    open_seconds=1.0,
    handover_seconds=0.3,
)
SLOT = Slot("binance-0", "binance", {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"})


class TinySession:
    """A session of a made-up protocol: `ok` acknowledges, `bye` says farewell, `no` refuses one symbol."""

    def __init__(self, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        self.symbols, self.endpoints = symbols, endpoints

    def connect(self) -> Connect:
        return Connect(self.endpoints.ws_url)

    def opened(self, now: float) -> list[Command]:
        return [Send("subscribe " + " ".join(self.symbols))]

    def received(self, frame: bytes, now: float) -> list[Command]:
        if frame == b"ok":
            symbols = tuple(self.symbols.values())
            return [Acknowledged(symbols, ("book", "trade")), *map(self._fetch, symbols)]
        if frame == b"bye":
            return [Farewell("bye")]
        return [Refused("ETHUSDT", "no such market", not_listed=True)] if frame == b"no" else []

    def timer(self, now: float) -> list[Command]:
        return [Send("ping")]

    def heard(self, frame: bytes) -> None:
        """Nothing tells."""

    def again(self, symbol: str, channel: str, now: float) -> list[Command]:
        raise AssertionError("no channel is ever heard, so none is silent")

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0) -> list[Command]:
        return [self._fetch(symbol)]

    def _fetch(self, symbol: str) -> Fetch:
        return Fetch(f"{self.endpoints.rest_url}/depth?symbol={symbol}", symbol)


class TinyExchange:
    name = "binance"
    symbols_per_slot = 10
    silence_seconds = 60.0
    checksum = None
    limits = Limits()

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    def exchange_symbol(self, symbol: str) -> str:
        return symbol

    def session(self, symbols: Mapping[str, str], endpoints: Endpoints) -> TinySession:
        return TinySession(symbols, endpoints)

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        raise AssertionError("a producer never decodes")


@dataclass
class TinyServer:
    """The exchange's side: what clients sent, and their sockets, the newest last."""

    endpoints: Endpoints = field(default_factory=lambda: Endpoints("", ""))
    sockets: list[ServerConnection] = field(default_factory=list)
    opened: int = 0
    texts: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answers: bool = True
    body: bytes = b'{"bids":[],"asks":[]}'

    async def handle(self, socket: ServerConnection) -> None:
        self.opened += 1
        self.sockets.append(socket)
        try:
            async for text in socket:
                self.texts.append(str(text))
                if str(text).startswith("subscribe") and self.answers:
                    await socket.send("ok")
        except ConnectionClosed:
            pass
        finally:
            self.sockets.remove(socket)

    async def depth(self, request: web.Request) -> web.Response:
        self.requests.append(request.query["symbol"])
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(body=self.body, status=status)

    async def send(self, *frames: bytes) -> None:
        """As text messages, valid UTF-8 or not."""
        for frame in frames:
            await self.sockets[-1].send(frame, text=True)


@asynccontextmanager
async def tiny_server() -> AsyncIterator[TinyServer]:
    tiny = TinyServer()
    app = web.Application()
    app.router.add_get("/depth", tiny.depth)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Server
    try:
        async with serve(tiny.handle, "127.0.0.1", 0, max_size=None, close_timeout=1) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            rest_port = runner.addresses[0][1]
            tiny.endpoints = Endpoints(f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{rest_port}")
            yield tiny
    finally:
        await runner.cleanup()


def configured(kafka_env: Mapping[str, str], prefix: str, **settings: str) -> Config:
    """The settings of a test, and its topics made."""
    own = {"TOPIC_PREFIX": prefix, "EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS), "LOG_FILE": "-"}
    cfg = load_config({**kafka_env, **own, **settings})
    apply_topics(cfg)
    for _ in range(600):  # a broker knows of a new topic a moment after the controller
        with suppress(BrokerError, KafkaException):
            check_topics(cfg)
            require_leaders(cfg)
            return cfg
        time.sleep(0.1)
    raise AssertionError("the topics made are not there")


def require_leaders(cfg: Config) -> None:
    """KafkaException while a partition of ours has no leader that answers: a client that met it would wait long."""
    client, specs = admin(cfg), OffsetSpec.latest()
    topics = client.list_topics(timeout=30).topics.items()
    ours = [(name, topic) for name, topic in topics if name.startswith(f"{cfg.topic_prefix}.")]
    asked = {TopicPartition(name, number): specs for name, topic in ours for number in topic.partitions}
    for answer in client.list_offsets(asked, request_timeout=30).values():
        answer.result(60)


@dataclass
class Producer:
    """A producer of one slot that runs within the test's loop."""

    connector: SlotConnector
    publisher: Publisher
    metrics: Metrics


@asynccontextmanager
async def connectors(
    cfg: Config, endpoints: Endpoints, slot: Slot = SLOT, exchange: Any = None
) -> AsyncIterator[Producer]:
    """A connector that nothing drives: the user's form."""
    metrics = Metrics(CollectorRegistry())
    publisher = Publisher(cfg, "binance", metrics, WallClock())
    async with aiohttp.ClientSession() as http:
        rest = Rest(http, lambda: 0.01)
        connector = SlotConnector(slot, exchange or TinyExchange(endpoints), endpoints, publisher, rest)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(publisher.run())
            yield Producer(connector, publisher, metrics)
            await connector.disconnect()
            serving.cancel()
    await publisher.flush(60)


class Seen(list[Any]):
    """What a connector has published so far, as its user's callback gets it: in Kafka once it is flushed."""

    def __init__(self, producer: Producer) -> None:
        super().__init__()
        producer.connector.add_data_callback(self.append)

    async def until(self, count: int, kind: str) -> None:
        """Wait until so many records of that kind are there."""
        await until(lambda: sum(record.kind == kind for record in self) >= count)

    async def until_value(self, value: bytes) -> None:
        """Wait until a record with that value is there."""
        await until(lambda: any(record.value == value for record in self))


@asynccontextmanager
async def supervised(
    cfg: Config, endpoints: Endpoints, limits: BackoffLimits = QUICK
) -> AsyncIterator[Producer]:
    """The same with its supervisor and control: the pipeline's form."""
    stop = asyncio.Event()
    async with connectors(cfg, endpoints) as producer:
        backoff = Backoff(random.Random(1).random, limits)
        supervisor = Supervisor(producer.connector, producer.publisher, backoff, producer.metrics)
        control = Control(cfg, "binance", {SLOT.name: producer.connector}, producer.metrics)
        async with asyncio.TaskGroup() as group:
            group.create_task(supervisor.run(stop))
            group.create_task(control.run(stop))
            try:
                yield producer
            finally:
                stop.set()


@dataclass(frozen=True)
class Raw:
    """A record as it lies in Kafka."""

    partition: int
    offset: int
    key: bytes
    timestamp_ms: int
    value: bytes | None
    headers: list[tuple[str, str]]

    @property
    def kind(self) -> str:
        return dict(self.headers)["kind"]

    @property
    def conn(self) -> str:
        return dict(self.headers)["conn"]

    @property
    def seq(self) -> int:
        return int(dict(self.headers)["seq"])

    @property
    def received_ns(self) -> int:
        return int(dict(self.headers)["received_ns"])

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.value) if self.kind == "event" else {"event": None}


def read_topic(bootstrap_servers: str, topic: str) -> list[Raw]:
    """All records there are now, partition by partition."""
    settings = {"bootstrap.servers": bootstrap_servers, "group.id": "reader", "enable.auto.commit": False}
    consumer = Consumer({**settings, "log_level": 0, "fetch.message.max.bytes": 40 * 2**20})
    records: list[Raw] = []
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        for number in sorted(partitions):
            low, high = _bounds(consumer, TopicPartition(topic, number))
            consumer.assign([TopicPartition(topic, number, low)])
            while low < high:
                for message in consumer.consume(high - low, 10):
                    assert message.error() is None
                    headers = [(name, (value or b"").decode()) for name, value in message.headers() or []]
                    records.append(
                        Raw(
                            number,
                            message.offset(),
                            message.key(),
                            message.timestamp()[1],
                            message.value(),
                            headers,
                        )
                    )
                    low = message.offset() + 1
    finally:
        consumer.close()
    return records


def _bounds(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    for _ in range(600):  # a partition just made has no leader yet
        try:
            return consumer.get_watermark_offsets(partition, 10)
        except KafkaException:
            time.sleep(0.1)
    raise AssertionError(f"no leader of {partition}")


def without_alive(records: Iterable[Raw]) -> list[Raw]:
    return [record for record in records if record.event["event"] != "alive"]
