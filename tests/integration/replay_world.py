"""What the tests of replays share: a worker in a thread, a consumer's view of topics, and what it should be."""

import asyncio
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from COBY.replays.manager import KafkaReplayManager
from COBY.runtime.offsets import offsets_at
from replay.livelag import LiveLag
from replay.worker import Worker
from tests.integration.verify_run import DERIVED

OURS = ("topic", "session", "run", "n", "prelude")


class Seen(NamedTuple):
    """A record of a topic as any consumer sees it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    arrived: float

    def header(self, name):
        """The text of a header, None without it."""
        return next((value.decode() for key, value in self.headers if key == name), None)

    @property
    def content(self):
        """All that must be equal: without what a replay adds."""
        own = [(name, value) for name, value in self.headers if name not in OURS]
        return self.key, self.value, self.timestamp_ms, own

    @property
    def place(self):
        """(run, n)."""
        return int(self.header("run")), int(self.header("n"))


class Reader:
    """Reads topics from their beginnings, on and on."""

    def __init__(self, servers, *topics):
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "replay-test",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        found = self._consumer.list_topics(timeout=30).topics
        self._consumer.assign(
            [TopicPartition(name, number, 0) for name in topics for number in found[name].partitions]
        )
        self._admin = AdminClient({"bootstrap.servers": servers})
        self.seen = []

    def read(self, seconds=0.3, enough=lambda seen: False):
        """What comes until nothing has come for so long, or it is enough; all there is so far."""
        heard = time.monotonic()
        while time.monotonic() < heard + seconds and not enough(self.seen):
            for message in self._consumer.consume(1000, 0.05):
                assert message.error() is None, message.error()
                self.seen.append(seen_of(message))
                heard = time.monotonic()
        return self.seen

    def read_all(self, seconds):
        """All there is when this is asked, however slowly it comes, and then what comes until it is silent."""
        places = self._consumer.assignment()
        named = [(place.topic, place.partition) for place in places]
        # On a connection of its own: on the consumer's each question waits behind a long fetch.
        first, end = (
            offsets_at(self._admin, named, spec) for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        )

        def has_come(_seen):
            at = self._consumer.position(places)
            return all(
                place.offset >= end[one] or first[one] == end[one]
                for place, one in zip(at, named, strict=True)
            )

        self.read(60.0, has_come)
        assert has_come(self.seen), (self._consumer.position(places), end)
        return self.read(seconds)

    def close(self):
        self._consumer.close()


def seen_of(message):
    """A message that a consumer gave."""
    return Seen(
        message.topic(), message.partition(), message.offset(), message.timestamp()[1],
        message.key(), message.value(), message.headers() or [], time.monotonic(),
    )  # fmt: skip


def all_of(servers, *topics, seconds=1.0):
    """All records of topics, and what comes until they are silent for so long."""
    reader = Reader(servers, *topics)
    try:
        return reader.read_all(seconds)
    finally:
        reader.close()


def derived_topics(prefix):
    return [f"{prefix}.{name}.v1" for name in DERIVED]


def without_repeats(seen):
    """A consumer's view: what is not newer than the last (run, n) is dropped; without what sets the scene."""
    view, last = [], (-1, -1)
    for one in seen:
        if one.place > last:
            last = one.place
            view.append(one)
    return [one for one in view if one.header("prelude") is None]


def by_sequence(seen, origin=lambda one: one.header("topic") or one.topic):
    """Contents in order by (topic, key, source), repeats of the source dropped."""
    found, last = defaultdict(list), {}
    for one in seen:
        name = (origin(one), one.key, one.header("source"))
        first, _, index = one.header("position").partition(":")
        at = (int(first), int(index))
        if at > last.get(name, (-1, -1)):
            last[name] = at
            found[name].append(one.content)
    return dict(found)


def digest(sequences):
    """One SHA-256 over all of it."""
    whole = sha256()
    for name in sorted(sequences, key=repr):
        whole.update(repr((name, sequences[name])).encode())
    return whole.hexdigest()


def within(sequences, from_ms, to_ms):
    """Those of a range of stream time; without empty sequences."""
    cut = {name: [one for one in ones if from_ms <= one[2] < to_ms] for name, ones in sequences.items()}
    return {name: ones for name, ones in cut.items() if ones}


@contextmanager
def working(cfg):
    """A replay worker in a thread of this process."""
    stop, errors = threading.Event(), []
    live = LiveLag(cfg)

    def serve():
        worker = Worker(cfg, live)
        try:
            while not stop.is_set():
                worker.turn()
        except BaseException as error:
            errors.append(error)
        finally:
            worker.close()

    thread = threading.Thread(target=serve)
    live.start()
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        live.end()
    assert errors == []


@contextmanager
def managing(cfg):
    """A manager."""
    manager = KafkaReplayManager(cfg)
    try:
        yield manager
    finally:
        manager.close()


def until_ended(manager, session, seconds=60.0, meanwhile=lambda: None):
    """Wait for the end of a session; its status."""
    end = time.monotonic() + seconds
    while (status := manager.get_replay_status(session)).state not in ("finished", "stopped", "failed"):
        assert time.monotonic() < end, status
        meanwhile()
        time.sleep(0.1)
    return status


def do(coroutine):
    """Its result."""
    return asyncio.run(coroutine)


def at_ms(time_ms):
    """As a datetime."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)
