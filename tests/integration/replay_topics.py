"""Topics for tests of recomputing: raw records, settings and checkpoints as workers leave them, and nothing derived."""

from collections import defaultdict
from hashlib import sha256

import pytest

from COBY.codec import encode
from COBY.records import Settings
from COBY.runtime.kafka import make_producer
from COBY.snapshots import Snapshot, key, pack
from COBY.topics import PARTITIONS, topic_name


class Topics:
    """A prefix; topics are there."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.producer = make_producer(cfg, pytest.fail)

    def raw(self, exchange, number, records):
        topic = topic_name(self.cfg.topic_prefix, "raw", exchange)
        for one in records:
            self.put(topic, one.value, one.key, one.headers, timestamp_ms=one.timestamp, partition=number)
        self.flush()

    def settings(self, config, sources, offset=0):
        for source in sources:
            value = encode(Settings(config.settings_hash, config.shaping_settings(), source, offset))
            self.put(topic_name(self.cfg.topic_prefix, "settings"), value, f"{source}@{offset}".encode())
        self.flush()

    def checkpoint(self, config, source, at, state, number=0):
        topic, _, partition = source.rpartition("/")
        stage = "aggregate" if topic == "book.v1" else "normalize"
        snapshot = Snapshot(stage, topic, int(partition), number, at, config.settings_hash, state)
        self.put(topic_name(self.cfg.topic_prefix, f"checkpoint.{stage}"), pack(snapshot), key(snapshot))
        self.flush()

    def put(self, *args, **more):
        self.producer.produce(*args, **more)
        self.producer.poll(0)

    def flush(self):
        assert self.producer.flush(60) == 0


def sources(raw):
    """Of a whole system with these raw topics."""
    normalize = [f"raw.{exchange}.v1/{number}" for exchange, found in raw.items() for number in found]
    return [*normalize, *(f"book.v1/{number}" for number in range(PARTITIONS))]


def contents(items, prefix):
    """Items as `Worker.contents` has them."""
    found = defaultdict(list)
    for one in items:
        topic = one.topic.removeprefix(f"{prefix}.").removesuffix(".v1")
        group = topic, dict(one.headers)["source"], one.key
        found[group].append((one.value, one.key, one.time_ms, tuple(one.headers)))
    return dict(found)


def digest(found):
    """SHA-256 over all groups by name, each record with all that it has."""
    whole = sha256()
    for group in sorted(found):
        for record in found[group]:
            whole.update(repr((group, record)).encode())
    return whole.hexdigest()
