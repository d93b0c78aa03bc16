"""Whole runs replayed by sessions: the Binance recording as a stream worker made it, and the ten-exchange market. First
from the topics, then, with the derived topics deleted, recomputed: each record as it was live, by SHA-256."""

from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient

from COBY.config import load_config
from COBY.runtime.kafka import apply_topics
from COBY.topics import PARTITIONS, partition_of, topic_name
from tests.conftest import delete_topics
from tests.e2e.system import DERIVED, System
from tests.integration.replay_topics import Topics, sources
from tests.integration.replay_world import (
    Reader,
    all_of,
    at_ms,
    by_sequence,
    derived_topics,
    digest,
    do,
    managing,
    until_ended,
    within,
    without_repeats,
    working,
)
from tests.integration.test_replay_again_live import RECORDING, TRADES, worker
from tests.integration.verify_run import RAW_PARTITION
from tests.raw import recording_log
from tests.replay_market import NAMES, SYMBOLS, Worker, market

SECONDS = 50

pytestmark = pytest.mark.long


@contextmanager
def topics_of(kafka, prefix, exchanges, symbols):
    """A system's topics with nothing in them: (settings as an environment, Topics)."""
    env = {**kafka.env, "EXCHANGES": ",".join(exchanges), "SYMBOLS": ",".join(symbols), "LOG_FILE": "-"}
    env |= {"TOPIC_PREFIX": prefix, "SNAPSHOT_INTERVAL": "1"}
    made = Topics(load_config(env))
    apply_topics(made.cfg)
    yield env, made
    delete_topics(kafka.bootstrap_servers, prefix)


def played(cfg, manager, source, first_ms, end_ms):
    """A consumer's view of a session over the whole, as sequences."""
    one = manager.create_replay_session(at_ms(first_ms), at_ms(end_ms), 0, source=source)
    do(manager.start_replay(one))
    status = until_ended(manager, one, 240)
    assert (status.state, status.error, status.missing) == ("finished", None, ())
    reader = Reader(cfg.kafka_bootstrap_servers, manager.topic(one))
    view = without_repeats(reader.read(2.0))
    reader.close()
    do(manager.delete(one))
    assert status.n == view[-1].place[1]
    return by_sequence(view)


def is_played_as_it_was(cfg):
    """Compare all up to the last tick, as nothing proves that what comes after it is all; the records by topic."""
    servers, names = cfg.kafka_bootstrap_servers, derived_topics(cfg.topic_prefix)
    records = all_of(servers, *names, seconds=2.0)
    first_ms = min(one.timestamp_ms for one in records)
    end_ms = max(one.timestamp_ms for one in records if one.topic == topic_name(cfg.topic_prefix, "book"))
    live = within(by_sequence(records), first_ms, end_ms)
    with working(cfg), managing(cfg) as manager:
        found = played(cfg, manager, "topics", first_ms, end_ms)
        assert found == live
        assert digest(found) == digest(live)
        admin = AdminClient({"bootstrap.servers": servers})
        for done in admin.delete_topics(names, operation_timeout=60).values():
            done.result(60)
        again = played(cfg, manager, "recompute", first_ms, end_ms)
        assert again == live
        assert digest(again) == digest(live)
    counts = dict.fromkeys(names, 0)
    for (topic, *_), ones in live.items():
        counts[topic] += len(ones)
    return counts


def test_the_recording_is_played_as_the_worker_wrote_it(kafka, frames_dir):
    with topics_of(kafka, "twholerecording", ("binance",), ("BTCUSDT",)) as (env, made):
        log = recording_log(frames_dir / RECORDING)
        made.raw("binance", RAW_PARTITION, log.records)
        system = System(made.cfg, None, "")
        with worker(env):
            system.all_taken()
        counts = is_played_as_it_was(made.cfg)
    assert counts[topic_name("twholerecording", "trade")] == TRADES
    assert all(count > 0 for count in counts.values()), counts


def test_the_market_of_ten_exchanges_is_played_as_it_was_made(kafka):
    raw = market(SECONDS, drop_at=38)
    with topics_of(kafka, "twholemarket", NAMES, SYMBOLS) as (_, made):
        live = Worker(raw, made.cfg)
        for exchange, found in raw.items():
            for number, records in found.items():
                made.raw(exchange, number, records)
        made.settings(made.cfg, sources(raw))
        for one in live.outputs:
            name, number = topic_name("twholemarket", one.topic), partition_of(one.key, PARTITIONS)
            made.put(
                name, one.value, one.key, list(one.headers), timestamp_ms=one.timestamp_ms, partition=number
            )
        made.flush()
        counts = is_played_as_it_was(made.cfg)
    assert all(count > 0 for count in counts.values()), counts
    end_ms = max(one.timestamp_ms for one in live.outputs if one.topic == "book")
    assert sum(counts.values()) == sum(
        one.topic in DERIVED and one.timestamp_ms < end_ms for one in live.outputs
    )
