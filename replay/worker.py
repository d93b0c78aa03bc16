"""A replay worker: `python -m replay`. Any number may run; they share the partitions of the session topic.

A worker reads its partitions from their beginnings (compacted), knows all their sessions when it has reached the ends,
and plays those that are to run from where their places say. What a dead one released after its last place comes again,
identical, under the same run and n.
"""

from __future__ import annotations

import os
import socket
import threading
from time import monotonic, time_ns

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from COBY.config import Config
from COBY.replays.board import make_reader, take
from COBY.replays.sessions import Known, Sessions, place_key, session_key, session_partition
from COBY.replays.topic_admin import delete_topic
from COBY.runtime.health import serve_health
from COBY.runtime.kafka import admin, broker_error, check_topics, make_producer
from COBY.runtime.metrics import metrics
from COBY.topics import topic_name
from COBY.utils.exceptions import BrokerError
from COBY.utils.logging import get_logger
from replay.livelag import LiveLag
from replay.player import STAGE, Player

POLL_SECONDS = 0.05
EXPIRE_SECONDS = 5.0
END_SECONDS = 15.0

log = get_logger(__name__)


def work(cfg: Config, stop: threading.Event) -> None:
    """Serve sessions until ``stop``. BrokerError `topics.…`, `kafka.…`."""
    check_topics(cfg)
    metrics().init_stage(STAGE, [STAGE])
    live = LiveLag(cfg)
    worker = Worker(cfg, live)
    health = serve_health(cfg.metrics_port, {"assignment": worker.health})
    live.start()
    try:
        while not stop.is_set():
            worker.turn()
    finally:
        worker.close()
        live.end()
        if health is not None:
            health.close()


class Worker:
    """The sessions of this member's partitions. One thread uses it."""

    def __init__(self, cfg: Config, live: LiveLag) -> None:
        """Joins the group with the first turn."""
        self._cfg = cfg
        self._live = live
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._topic = topic_name(cfg.topic_prefix, "session")
        self._sessions = Sessions()
        self._players: dict[str, Player] = {}
        self._loading: set[int] = set()
        self._dealt: set[int] | None = None
        self._expired = monotonic()
        self._admin = admin(cfg)
        self._errors: list[BrokerError] = []
        self._producer = make_producer(cfg, self._errors.append, client_id="coby-replay")
        self._consumer = make_reader(cfg, f"{cfg.topic_prefix}-replay")
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def turn(self) -> None:
        """Take what has come, see to the sessions that it concerns."""
        try:
            messages = self._consumer.consume(100, POLL_SECONDS)
        except KafkaException as error:
            raise broker_error("kafka.fatal", error) from error
        touched = {name for message in messages if (name := self._take(message)) is not None}
        for name in touched:
            if session_partition(name) not in self._loading:
                self._tend(name)
        if monotonic() - self._expired > EXPIRE_SECONDS:
            self._expired = monotonic()
            self._expire()
        self._producer.poll(0)
        if self._errors:
            raise self._errors[0]

    def health(self) -> tuple[bool, str]:
        """Whether it is a member and knows its sessions."""
        if self._dealt is None or self._loading:
            return False, "no assignment yet" if self._dealt is None else "reading the sessions"
        return True, f"{len(self._dealt)} partitions, {len(self._players)} sessions played"

    def close(self) -> None:
        """Give all sessions up and leave the group."""
        self._give_up(list(self._players))
        self._consumer.close()
        self._producer.flush(END_SECONDS)

    # --- partitions ------------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._dealt = {place.partition for place in partitions}
        self._loading = set(self._dealt)
        consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in self._dealt])
        log.info("assigned", partitions=sorted(self._dealt))

    def _revoked(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._give_up(list(self._players))
        self._sessions, self._dealt, self._loading = Sessions(), None, set()
        consumer.unassign()

    def _take(self, message: Message) -> str | None:
        error = message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            self._loaded(message.partition() or 0)
            return None
        if error is not None and error.fatal():
            raise broker_error("kafka.fatal", error)
        return take(self._sessions, message)

    def _loaded(self, number: int) -> None:
        """The end of a partition was reached: its sessions are known as they are."""
        if number not in self._loading:
            return
        self._loading.discard(number)
        for name in [*self._sessions.sessions, *self._sessions.places]:
            if session_partition(name) == number:
                self._tend(name)

    # --- sessions --------------------------------------------------------------------------------------------------

    def _tend(self, name: str) -> None:
        """See that a session is as it was ordered."""
        session, place = self._sessions.sessions.get(name), self._sessions.places.get(name)
        player = self._players.get(name)
        if player is not None and not player.is_alive():
            del self._players[name]
            player = None
        if session is None:
            self._give_up([name])
            if place is not None:  # left by a worker that did not know
                self._forget(name, place_key(name))
        elif session.state == "deleted":
            self._delete(name)
        elif player is not None:
            player.order(session)
        elif place is None or place.obeyed < session.number or place.state == "running":
            self._players[name] = player = Player(self._cfg, Known(session, place), self._live, self._name)
            player.start()

    def _delete(self, name: str) -> None:
        self._give_up([name])
        delete_topic(self._cfg, self._admin, name)
        self._forget(name, place_key(name), session_key(name))
        log.info("deleted", session=name)

    def _forget(self, name: str, *keys: bytes) -> None:
        """Take keys of a session away."""
        for key in keys:
            self._producer.produce(self._topic, None, key, partition=session_partition(name))

    def _give_up(self, names: list[str]) -> None:
        players = [self._players.pop(name) for name in names if name in self._players]
        for player in players:
            player.give_up()
        until = monotonic() + END_SECONDS
        # One that is still looking whether there is anything may take long, and ends without a word.
        for player in [one for one in players if not one.is_new]:
            player.join(max(0.0, until - monotonic()))

    def _expire(self) -> None:
        """Delete what nobody has used for its time to live."""
        now_us = time_ns() // 1000
        for session, place in self._sessions.all():
            if session_partition(session.id) in self._loading or (
                place is not None and place.state == "running"
            ):
                continue
            used_us = max(session.ordered_at, place.observed_at if place is not None else 0)
            if now_us - used_us > session.ttl_seconds * 1_000_000:
                log.info("expired", session=session.id)
                self._delete(session.id)
