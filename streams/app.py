"""The Faust app: one agent per topic, each of a few lines, around one Worker."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.streams import Stream
from faust.types import AppT, EventT, StreamT
from faust.types.tuples import Message
from mode.supervisors import CrashingSupervisor

from COBY.config import Config
from COBY.runtime.kafka import group_instance_id
from COBY.stage import Task
from COBY.topics import topic_name
from streams.saving import Source
from streams.transport import Positions, Transport
from streams.worker import Worker

NORMALIZE, AGGREGATE, ALL = "normalize", "aggregate", "all"
STAGES = (NORMALIZE, AGGREGATE, ALL)

FETCH_BYTES = 8 * 1024 * 1024

NormalizeFactory = Callable[[str, int], Task]
AggregateFactory = Callable[[int], Task]


class ChunkSchema(faust.Schema[Any, Any]):
    """Hands a chunk on as it is: the codecs are for bytes, and Faust's own look for its models within lists."""

    def compile(self, app: AppT, **_handlers: Any) -> Any:
        """The function that turns a message into an event."""

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:  # noqa: ARG001  # Faust passes it
            return app.create_event(message.key, message.value, {}, message)

        return decode


class App(faust.App):
    """An app whose transports are ours whatever its URL, which tells its consumer where to read on."""

    positions: Positions

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """None: they are for tables."""


def sources(
    cfg: Config, stage: str, normalize_factory: NormalizeFactory, aggregate_factory: AggregateFactory
) -> dict[str, Source]:
    """Topic -> what reads it, for a stage or all."""
    found: dict[str, Source] = {}
    if stage != AGGREGATE:
        for exchange in cfg.exchanges:
            topic = topic_name(cfg.topic_prefix, "raw", exchange)
            found[topic] = Source(NORMALIZE, exchange, _of(normalize_factory, exchange))
    if stage != NORMALIZE:
        found[topic_name(cfg.topic_prefix, "book")] = Source(AGGREGATE, None, aggregate_factory)
    return found


def _of(factory: NormalizeFactory, exchange: str) -> AggregateFactory:
    return lambda partition: factory(exchange, partition)


def make_app(cfg: Config, worker: Worker, topics: list[str]) -> App:
    """The app, not started; needs a running event loop."""
    servers = cfg.kafka_bootstrap_servers.split(",")
    app = App(
        id=f"{cfg.topic_prefix}-streams",
        broker=[f"coby://{server.strip()}" for server in servers],
        broker_client_id="coby-streams",
        broker_credentials=_credentials(cfg),
        consumer_group_instance_id=group_instance_id(cfg) or "",
        broker_max_poll_records=2_000,
        broker_commit_interval=1.0,
        # A dead worker is replaced after ten seconds; tasks take milliseconds, so a slow one is not taken for dead.
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        # A rebalance waits so long for a member that vanished in the midst of it; to join again takes two or three.
        broker_rebalance_timeout=15.0,
        consumer_auto_offset_reset="earliest",
        # aiokafka fetches a partition anew only when it has handed on all it has: a megabyte (the default) is some
        # 1,500 frames, and the worker would wait for each. Larger records come all the same, one by one.
        consumer_max_fetch_size=FETCH_BYTES,
        stream_buffer_maxsize=2,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        autodiscover=False,
        agent_supervisor=CrashingSupervisor,
    )
    app.positions = worker
    for topic in topics:
        _add_agent(app, worker, topic)
    return app


def _add_agent(app: App, worker: Worker, topic: str) -> None:
    async def agent(stream: StreamT[Any]) -> None:
        async for event in cast(Stream[Any], stream).noack().events():
            await worker.take(event)

    app.agent(app.topic(topic, schema=ChunkSchema()), name=topic, concurrency=1)(agent)


def _credentials(cfg: Config) -> SASLCredentials | SSLCredentials | None:
    """KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* and KAFKA_SSL_* as Faust takes them."""
    protocol = cfg.kafka_security_protocol
    context = _ssl_context(cfg) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL"):
        return SASLCredentials(
            username=cfg.kafka_sasl_username,
            password=cfg.kafka_sasl_password,
            ssl_context=context,
            mechanism=cfg.kafka_sasl_mechanism,
        )
    return SSLCredentials(context) if context is not None else None


def _ssl_context(cfg: Config) -> ssl.SSLContext:
    authority = cfg.kafka_ssl_ca_location
    is_folder = authority is not None and Path(authority).is_dir()
    context = ssl.create_default_context(
        cafile=None if is_folder else authority, capath=authority if is_folder else None
    )
    if cfg.kafka_ssl_certificate_location:
        context.load_cert_chain(
            cfg.kafka_ssl_certificate_location, cfg.kafka_ssl_key_location, cfg.kafka_ssl_key_password
        )
    return context
