"""The session topic as managers see it, outside of any group: all sessions, and orders to them."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from COBY.codec import encode
from COBY.config import Config
from COBY.records import Place, Session
from COBY.replays.sessions import Known, Sessions, place_key, session_key, session_partition
from COBY.runtime.kafka import ANSWER_SECONDS, broker_error, make_consumer, make_producer
from COBY.runtime.offsets import MOVING, Offsets, Partition
from COBY.topics import PARTITIONS, topic_name
from COBY.utils.exceptions import BrokerError, ProcessingError
from COBY.utils.logging import get_logger

FETCH_SECONDS = 0.05
MOVING_SECONDS = 0.2
SESSION_MS = 6_000
"""The least that brokers allow."""

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
        until = monotonic() + ANSWER_SECONDS
        while True:
            try:
                found = ask([(self._topic, number) for number in range(PARTITIONS)])
                return {number: offset for (_, number), offset in found.items()}
            except KafkaException as error:
                if error.args[0].code() not in MOVING or monotonic() > until:
                    raise broker_error("kafka.refused", error, where=self._topic) from error
            except TimeoutError as error:
                raise BrokerError("kafka.silent", "a broker does not answer", where=self._topic) from error
            sleep(MOVING_SECONDS)

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

    def forget(self, name: str) -> None:
        """Take a session away that has no worker; one that comes up later has nothing to do with it."""
        for key in (session_key(name), place_key(name)):
            self._put(name, key, None)
        self.sessions.sessions.pop(name, None)

    def is_gone(self, name: str) -> bool:
        """Whether its worker has taken a deleted session away."""
        return name not in self.refresh().sessions

    def obeyed(self, session: Session) -> Place | None:
        """The place of a session whose worker has carried this order out; None until then.

        ReplayError `replay.unknown_session`: somebody has deleted it meanwhile.
        """
        place = self.find(session.id).place
        return place if place is not None and place.obeyed >= session.number else None

    def _put(self, name: str, key: bytes, value: bytes | None) -> None:
        self._producer.produce(self._topic, value, key, partition=session_partition(name))
        if self._producer.flush(ANSWER_SECONDS) or self._errors:
            raise (self._errors or [BrokerError("kafka.unreachable", "not delivered", where=self._topic)])[0]


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
