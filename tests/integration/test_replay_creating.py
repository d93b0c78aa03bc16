"""A worker looks whether a new session's range holds anything; whoever makes one waits for its answer."""

import asyncio
import threading
import time

import pytest
from confluent_kafka.admin import AdminClient

from COBY.codec import encode
from COBY.config import load_config
from COBY.records import Gap
from COBY.replays import manager as manager_module
from COBY.runtime.kafka import apply_topics, make_producer
from COBY.utils.exceptions import CobyError, StorageError
from replay import player
from tests.conftest import delete_topics
from tests.integration.replay_world import at_ms, do, managing, until_ended, working
from tests.servers import eventually

PREFIX = "treplaycreating"
FIRST_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def cfg(kafka):
    """One gap record lies in the topics."""
    cfg = load_config({"TOPIC_PREFIX": PREFIX, "EXCHANGES": "binance", "SYMBOLS": "BTCUSDT", **kafka.env})
    apply_topics(cfg)
    producer = make_producer(cfg, pytest.fail)
    gap = Gap("BTCUSDT", "binance", FIRST_MS * 1000, FIRST_MS * 1000, None, "checksum", "c", "")
    headers = [("source", b"raw.binance.v1/0"), ("position", b"1:0"), ("settings", b"00")]
    producer.produce(f"{PREFIX}.gap.v1", encode(gap), b"BTCUSDT", headers, timestamp_ms=FIRST_MS)
    assert producer.flush(30) == 0
    yield cfg
    delete_topics(kafka.bootstrap_servers, PREFIX)


def make(manager, seconds=10, **more):
    return manager.create_replay_session(at_ms(FIRST_MS - 1000), at_ms(FIRST_MS + 1000 * seconds), 0, **more)


def topics_of_sessions(cfg):
    client = AdminClient({"bootstrap.servers": cfg.kafka_bootstrap_servers, "log_level": 0})
    return [name for name in client.list_topics(timeout=10).topics if name.startswith(f"{PREFIX}.replay.")]


def test_without_a_worker_nothing_is_made(cfg, monkeypatch):
    monkeypatch.setattr(manager_module, "PLACE_SECONDS", 1.0)
    with managing(cfg) as manager:
        with pytest.raises(CobyError) as caught:
            make(manager)
        assert caught.value.code == "replay.no_worker"
        assert manager.list_sessions() == []
        eventually(lambda: not topics_of_sessions(cfg))


def test_a_slow_look_holds_nobody_up(cfg, monkeypatch):
    """The database of one session answers when it likes; meanwhile another is made, played and deleted."""
    asked, answered = threading.Event(), threading.Event()
    look = player.require_records

    def slow(config, session):
        if session.origin == "topics":
            asked.set()
            assert answered.wait(60)
        look(config, session)

    monkeypatch.setattr(player, "require_records", slow)
    refusals = []

    def make_slowly(manager):
        with pytest.raises(CobyError) as caught:
            make(manager, source="topics")
        refusals.append(caught.value.code)

    with working(cfg), managing(cfg) as manager:
        maker = threading.Thread(target=make_slowly, args=(manager,))
        maker.start()
        assert asked.wait(30)
        began = time.monotonic()
        other = make(manager)
        do(manager.start_replay(other))
        assert until_ended(manager, other).records == 1
        do(manager.delete(other))
        assert (refusals, manager.list_sessions()[0].state) == ([], "created")
        # One that is looking is given up without waiting for it: its worker would stand still.
        do(asyncio.wait_for(manager.delete(manager.list_sessions()[0].id), 10))
        maker.join(10)
        assert time.monotonic() - began < 25
        assert refusals == ["replay.unknown_session"], "its maker learns that somebody has deleted it"
        answered.set()
        assert manager.list_sessions() == []


def test_what_the_worker_meets_is_raised_here_as_there(cfg, monkeypatch):
    def unreachable(_config, _session):
        raise StorageError("db.unreachable", "no answer", where="db:5432", allowed="a database")

    monkeypatch.setattr(player, "require_records", unreachable)
    with working(cfg), managing(cfg) as manager:
        with pytest.raises(StorageError) as caught:
            make(manager)
        error = caught.value
        assert (error.code, error.message, error.where, error.allowed) == (
            "db.unreachable", "no answer", "db:5432", "a database",
        )  # fmt: skip
        assert manager.list_sessions() == []
