"""The session topic as managers see it, outside of any group: all sessions, and orders to them."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from COBY.codec import encode
from COBY.config import Config
from COBY.records import Place, Session
from COBY.runtime.kafka import ANSWER_SECONDS, broker_error, make_consumer, make_producer
from COBY.runtime.offsets import Offsets, Partition
from COBY.topics import PARTITIONS, topic_name
from COBY.utils.exceptions import BrokerError, ProcessingError, ReplayError
from COBY.utils.logging import get_logger
from replay.sessions import Known, Sessions, session_key, session_partition

FETCH_SECONDS = 0.05
LOOK_SECONDS = 0.05
SESSION_MS = 6_000
"""The least that brokers allow."""
PLACE_SECONDS = 30.0
"""A worker takes an order up well within this; where none does, there is none, or it hangs."""

log = get_logger(__name__)


class Board:
    """All sessions. One thread uses it. BrokerError `kafka.unreachable`, `.refused`, `.silent`, `.delivery`."""

    def __init__(self, cfg: Config) -> None:
        """Reads from the beginning when first asked."""
        self.sessions = Sessions()
        self._topic = topic_name(cfg.topic_prefix, "session")
        self._errors: list[BrokerError] = []
        self._producer = make_producer(cfg, self._errors.append, client_id="coby-replay", linger_ms=0)
        shortly = {"fetch_wait_max_ms": 20, "topic_metadata_refresh_fast_interval_ms": 10}
        self._consumer = make_consumer(cfg, f"{cfg.topic_prefix}.board", enable_partition_eof=True, **shortly)
        self._offsets = Offsets(cfg)
        self._next: dict[int, int] = {}

    def close(self) -> None:
        """End its clients."""
        self._consumer.close()
        self._producer.flush(ANSWER_SECONDS)

    def refresh(self) -> Sessions:
        """Read what has come since the last time."""
        if not self._next:
            self._next = self._asked(self._offsets.oldest)
            self._consumer.assign([TopicPartition(self._topic, *place) for place in self._next.items()])
        self._read(self._asked(self._offsets.ends))
        return self.sessions

    def _asked(self, ask: Callable[[list[Partition]], dict[Partition, int]]) -> dict[int, int]:
        try:
            found = ask([(self._topic, number) for number in range(PARTITIONS)])
        except KafkaException as error:
            raise broker_error("kafka.refused", error, where=self._topic) from error
        except TimeoutError as error:
            raise BrokerError("kafka.silent", "a broker does not answer", where=self._topic) from error
        return {number: offset for (_, number), offset in found.items()}

    def _read(self, ends: dict[int, int]) -> None:
        until = monotonic() + ANSWER_SECONDS
        while any(self._next[number] < end for number, end in ends.items()):
            for message in self._consumer.consume(500, FETCH_SECONDS):
                take(self.sessions, message)
                number, offset = message.partition(), message.offset()
                assert number is not None
                assert offset is not None
                # The end is told too: compaction takes records away also there.
                self._next[number] = offset + (message.error() is None)
                until = monotonic() + ANSWER_SECONDS
            if monotonic() > until:
                raise BrokerError("kafka.silent", "the sessions can't be read", where=self._topic)

    def find(self, name: str) -> Known:
        """ReplayError `replay.unknown_session`."""
        return self.refresh().find(name)

    def order(self, session: Session) -> None:
        """Write an order; delivered when this returns."""
        self._put(session.id, session_key(session.id), encode(session))
        self.sessions.sessions[session.id] = session

    def gone(self, name: str, seconds: float = PLACE_SECONDS) -> None:
        """Wait until its worker has taken a deleted session away. ReplayError `replay.no_worker`."""
        until = monotonic() + seconds
        while name in self.refresh().sessions:
            if monotonic() > until:
                raise _no_worker(name, seconds)
            sleep(LOOK_SECONDS)

    def obeyed(self, session: Session, seconds: float = PLACE_SECONDS) -> Place:
        """Wait until its worker has carried the order out. ReplayError `replay.no_worker`."""
        until = monotonic() + seconds
        while monotonic() < until:
            place = self.refresh().places.get(session.id)
            if place is not None and place.obeyed >= session.number:
                return place
            sleep(LOOK_SECONDS)
        raise _no_worker(session.id, seconds)

    def _put(self, name: str, key: bytes, value: bytes | None) -> None:
        self._producer.produce(self._topic, value, key, partition=session_partition(name))
        if self._producer.flush(ANSWER_SECONDS) or self._errors:
            raise (self._errors or [BrokerError("kafka.unreachable", "not delivered", where=self._topic)])[0]


def _no_worker(name: str, seconds: float) -> ReplayError:
    message = f"no worker has carried the order out within {seconds:g} s"
    return ReplayError("replay.no_worker", message, where=name, allowed="a running `python -m replay`")


def take(sessions: Sessions, message: Message) -> str | None:
    """One consumed record into the sessions: the id it concerns. What can't be read is told and passed over."""
    error: Any = message.error()
    if error is not None:
        if error.code() == KafkaError._PARTITION_EOF:
            return None
        raise broker_error("kafka.refused", error, where=message.topic())
    key, value = message.key(), message.value()
    try:
        return sessions.take(
            key if isinstance(key, bytes) else None, value if isinstance(value, bytes) else None
        )
    except ProcessingError as problem:
        log.error("session_unreadable", offset=message.offset(), error=str(problem))
        return None


def make_reader(cfg: Config, group: str) -> Consumer:
    """The consumer of workers, which share the partitions of the session topic. A dead one is replaced soon."""
    more = {"session_timeout_ms": SESSION_MS, "enable_partition_eof": True}
    return make_consumer(cfg, group, fetch_wait_max_ms=20, **more)
