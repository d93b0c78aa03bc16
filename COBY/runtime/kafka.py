"""Kafka clients made from Config, on confluent-kafka: one producer that loses nothing, consumers, the admin client.

Every client speaks murmur2 (librdkafka's own default is another hash) and takes records up to 32 MiB. Topics are
made and checked by topics_admin.py, whose `apply_topics` and `check_topics` may be imported from here too.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from COBY.config import Config
from COBY.topics import MAX_MESSAGE_BYTES
from COBY.utils.exceptions import BrokerError
from COBY.utils.logging import get_logger

__all__ = [
    "GaplessProducer",
    "admin",
    "apply_topics",
    "broker_error",
    "check_topics",
    "client_settings",
    "make_consumer",
    "make_producer",
    "require_broker",
]

ANSWER_SECONDS = 10.0
HOSTNAME = "@hostname"
"""How long a broker may take to answer a question at start."""
FULL_WAIT_SECONDS = 0.1
MAX_LINGER_MS = 40
"""Brokers work by the request: a record waits so long for others at most."""
SESSION_SECONDS = 20
"""Longer than brokers need to give a dead coordinator's groups to another one (some twelve seconds, nine of them to
believe it): a member whose session ends meanwhile has to join anew, and that takes longer than the whole change."""
ANY_PARTITION = -1  # the partitioner's choice, by key
NOW = 0  # has librdkafka stamp a record

Headers = Sequence[tuple[str, str | bytes | None]]
Delivered = Callable[[KafkaError | None, Message], None]

log = get_logger(__name__)
_librdkafka = logging.getLogger("librdkafka")
# Said at every start of a producer; that it is experimental was weighed (DESIGN.md, Recovery 5).
_librdkafka.addFilter(lambda record: "enable.gapless.guarantee is experimental" not in record.getMessage())


def client_settings(cfg: Config, **more: Any) -> dict[str, Any]:
    """librdkafka's settings of any client of ours; ``more`` in its names with ``_`` for ``.`` comes last."""
    settings: dict[str, Any] = {
        **cfg.kafka_client_settings(),
        "client.id": "coby",
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2_000,
        "logger": _librdkafka,
    }
    return settings | _dotted(more)


def make_producer(cfg: Config, on_error: Callable[[BrokerError], None], **more: Any) -> GaplessProducer:
    """The one kind of producer we use: idempotent, without gaps, never giving a record up.

    ``on_error`` is told (from within poll, produce or flush) that a record can't be delivered any more: the
    process has to end, because what follows would leave a hole (DESIGN.md, Recovery 5). The queue holds
    DATA_BUFFER_SIZE records and at most a quarter of MAX_MEMORY_USAGE.
    """
    return GaplessProducer(Producer(producer_settings(cfg, on_error) | _dotted(more)), on_error)


def producer_settings(cfg: Config, on_error: Callable[[BrokerError], None]) -> dict[str, Any]:
    """librdkafka's settings of that producer."""

    def failed(error: KafkaError) -> None:
        if error.fatal():
            on_error(broker_error("kafka.fatal", error))
        else:
            log.warning("kafka_trouble", error=error.str())

    return client_settings(cfg) | {
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "message.timeout.ms": 0,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": MAX_LINGER_MS,
        "queue.buffering.max.messages": cfg.data_buffer_size,
        "queue.buffering.max.kbytes": cfg.max_memory_usage * 1024 // 4,
        "error_cb": failed,
    }


class GaplessProducer:
    """A Producer whose full queue waits (`produce`) or says so (`offer`), and whose delivery errors are told."""

    def __init__(self, producer: Producer, on_error: Callable[[BrokerError], None]) -> None:
        """Made by make_producer."""
        self._producer = producer
        self._on_error = on_error

    def offer(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        *,
        timestamp_ms: int | None = None,
        partition: int | None = None,
        on_delivery: Delivered | None = None,
        reported: bool = True,
    ) -> bool:
        """Put one record into the queue; False when the queue is full, and nothing happened.

        ``timestamp_ms``: None lets librdkafka stamp it with now. ``on_delivery`` is called from within poll,
        produce or flush; an error has then been given to on_error already. ``reported`` False: neither is called
        for this record, and its caller learns of it from a later one of the same topic and key.

        BrokerError `kafka.too_large` for a record of more than 32 MiB: it was not taken and leaves no hole, so
        on_error is not told.
        """
        try:
            self._producer.produce(
                topic,
                value,
                key,
                partition=ANY_PARTITION if partition is None else partition,
                on_delivery=self._delivery(on_delivery) if reported else None,
                timestamp=timestamp_ms or NOW,
                headers=headers if isinstance(headers, list) else list(headers),
            )
        except BufferError:
            return False
        except KafkaException as error:
            if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise broker_error("kafka.too_large", error, where=topic) from error
            problem = broker_error("kafka.produce", error, where=topic)
            self._on_error(problem)
            raise problem from error
        return True

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        *,
        timestamp_ms: int | None = None,
        partition: int | None = None,
        on_delivery: Delivered | None = None,
    ) -> None:
        """Put one record into the queue, waiting while it is full. BrokerError `kafka.produce` if refused."""
        options: Any = {"timestamp_ms": timestamp_ms, "partition": partition, "on_delivery": on_delivery}
        while not self.offer(topic, value, key, headers, **options):
            self._producer.poll(FULL_WAIT_SECONDS)
        self._producer.poll(0)

    def poll(self, seconds: float = 0) -> int:
        """Serve delivery callbacks; returns how many events were served."""
        return self._producer.poll(seconds)

    def flush(self, seconds: float = -1) -> int:
        """Wait until everything is delivered (-1: for ever); returns how many records are not."""
        return self._producer.flush(seconds)

    def __len__(self) -> int:
        """Records not yet confirmed."""
        return len(self._producer)

    def _delivery(self, then: Delivered | None) -> Delivered:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._on_error(broker_error("kafka.delivery", error, where=message.topic()))
            if then is not None:
                then(error, message)

        return delivered


def group_instance_id(cfg: Config) -> str | None:
    """The name under which a killed process takes its own place in its group again at once (KIP-345).

    None: its partitions wait for the session timeout of ten seconds of the member that has died.
    """
    name = cfg.kafka_group_instance_id
    return socket.gethostname() if name == HOSTNAME else name


def make_consumer(cfg: Config, group: str, **more: Any) -> Consumer:
    """A consumer that commits only when told to and starts, where nothing else is said, at the oldest record.

    ``group`` is the full name of the consumer group. A dead member is replaced after SESSION_SECONDS.
    """
    settings = {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "session.timeout.ms": 1000 * SESSION_SECONDS,
        "heartbeat.interval.ms": 2_000,
        "partition.assignment.strategy": "range",
        # What is fetched ahead is memory: a quarter of what the process may have, as for every buffer.
        "queued.max.messages.kbytes": min(65_536, cfg.max_memory_usage * 1024 // 4),
        "error_cb": _trouble,
    }
    return Consumer(client_settings(cfg) | settings | _dotted(more))


def admin(cfg: Config) -> AdminClient:
    """The admin client."""
    return AdminClient(client_settings(cfg))


def require_broker(cfg: Config, client: AdminClient | None = None) -> Any:
    """The cluster's metadata; BrokerError `kafka.unreachable` if no broker answers within ten seconds."""
    try:
        return (client or admin(cfg)).list_topics(timeout=ANSWER_SECONDS)
    except KafkaException as error:
        raise broker_error(
            "kafka.unreachable",
            error,
            where=cfg.kafka_bootstrap_servers,
            allowed="brokers that answer (KAFKA_BOOTSTRAP_SERVERS)",
        ) from error


def broker_error(
    code: str, error: KafkaError | KafkaException, *, where: str | None = None, allowed: str | None = None
) -> BrokerError:
    """A BrokerError that says what Kafka said."""
    reason = error.args[0] if isinstance(error, KafkaException) else error
    text = reason.str() if isinstance(reason, KafkaError) else str(reason)
    return BrokerError(code, text, where=where, allowed=allowed)


def _dotted(more: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in more.items()}


def _trouble(error: KafkaError) -> None:
    log.warning("kafka_trouble", error=error.str())


def apply_topics(cfg: Config) -> list[str]:
    """Make Kafka's topics follow the table; a line per change. See topics_admin.py."""
    from COBY.runtime import topics_admin  # it imports this file

    return topics_admin.apply_topics(cfg)


def check_topics(cfg: Config) -> None:
    """BrokerError topics.missing | topics.partitions | topics.config on drift. See topics_admin.py."""
    from COBY.runtime import topics_admin  # it imports this file

    topics_admin.check_topics(cfg)
