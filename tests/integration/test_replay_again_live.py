"""Recomputing against what a stream worker itself wrote; settings that changed in between; what can't be recomputed."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from COBY.aggregate import AggregateTask
from COBY.config import load_config
from COBY.normalize import NormalizeTask
from COBY.runtime.kafka import apply_topics
from COBY.stage import StoredRecord, header
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import ReplayError
from replay.again import Again
from replay.log import Range
from tests.e2e.system import DERIVED, System
from tests.e2e.system import contents as in_topic
from tests.integration.replay_topics import Topics, contents, digest
from tests.integration.verify_run import RAW_PARTITION, SOURCE, SYMBOLS, frames, started_ns, told
from tests.raw import recording_log
from tests.replay_market import counts

RECORDING = "binance/hftbacktest_btcusdt_651s.jsonl.gz"
TRADES = 19_904
EVER = Range(0, 2**42)


@pytest.fixture
def topics(kafka, topic_prefix):
    """Topics of one exchange, with nothing in them."""
    env = {**kafka.env, "EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS), "TOPIC_PREFIX": topic_prefix}
    cfg = load_config(env)
    apply_topics(cfg)
    made = Topics(cfg)
    made.env, made.admin = env, AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    return made


@contextmanager
def worker(env):
    """`python -m streams`, until all is taken."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streams"], env={**os.environ, **env}, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def remove(topics, offset):
    """What retention does: records before an offset are gone."""
    place = TopicPartition(topic_name(topics.cfg.topic_prefix, "raw", "binance"), RAW_PARTITION, offset)
    for done in topics.admin.delete_records([place]).values():
        done.result(60)


# --- against a worker ---------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_recording_is_what_the_worker_wrote_though_its_topics_are_deleted(topics, frames_dir):
    env = {**topics.env, "SYMBOLS": "BTCUSDT", "SNAPSHOT_INTERVAL": "1", "LOG_FILE": "-"}
    cfg = load_config(env)
    log = recording_log(frames_dir / RECORDING)
    topics.raw("binance", RAW_PARTITION, log.records)
    system = System(cfg, None, "")
    with worker(env):
        system.all_taken()
    live = {
        (name, source, key): records
        for name in DERIVED
        for (source, key), records in in_topic(system.read(name)).items()
    }
    for done in topics.admin.delete_topics(
        [topic_name(cfg.topic_prefix, name) for name in DERIVED], operation_timeout=60
    ).values():
        done.result(60)
    found = contents(Again(cfg, EVER).since(0), cfg.topic_prefix)
    assert found == live
    assert digest(found) == digest(live)
    # A gap among them: after the recording's last frame only marks come.
    assert counts(found).keys() == set(DERIVED)
    assert counts(found)["trade"] == TRADES
    first_ms = log.records[0].timestamp + 200_000
    within = Range(first_ms, first_ms + 60_000)
    part = contents(Again(cfg, within).since(0), cfg.topic_prefix)
    cut = {group: [one for one in records if within.holds(one[2])] for group, records in live.items()}
    assert part == {group: records for group, records in cut.items() if records}
    assert counts(part)["heatmap"] == 120


# --- settings that changed ----------------------------------------------------------------------------------------


class Changed:
    """What a worker made of frames that was stopped before one of them, at rest, and went on under other settings."""

    def __init__(self, log, config, later, at, kept_at):
        """``kept_at``: of each task the state then; its offset in raw."""
        self.outputs, self.states, self.changes = [], [], []
        task, books = NormalizeTask(config, "binance", RAW_PARTITION), []
        tasks = {number: AggregateTask(config, number) for number in range(PARTITIONS)}
        ends = dict.fromkeys(tasks, 0)
        for record in log.records:
            if record.offset == kept_at:
                self.states = [(SOURCE, kept_at, task.save())]
                self.states += [
                    (f"book.v1/{number}", ends[number], one.save()) for number, one in tasks.items()
                ]
            if record.offset == at:
                self.changes = [(SOURCE, at), *((f"book.v1/{number}", end) for number, end in ends.items())]
                task = taken_up(task, NormalizeTask(later, "binance", RAW_PARTITION))
                tasks = {number: taken_up(one, AggregateTask(later, number)) for number, one in tasks.items()}
            outputs = task.process([record])
            books = [one for one in outputs if one.topic == "book"]
            for one in books:
                number = partition_of(one.key, PARTITIONS)
                book = StoredRecord(ends[number], one.timestamp_ms, one.key, one.value, one.headers)
                outputs += tasks[number].process([book])
                ends[number] += 1
            self.outputs += outputs

    def contents(self, within):
        found = {}
        for one in self.outputs:
            if one.topic in DERIVED and within.holds(one.timestamp_ms):
                group = one.topic, header(one.headers, "source"), one.key
                found.setdefault(group, []).append((one.value, one.key, one.timestamp_ms, tuple(one.headers)))
        return found


def taken_up(task, other):
    other.load(task.save())
    return other


@pytest.mark.parametrize("kept_at", [300, 500])
def test_each_record_is_made_under_the_settings_of_its_time(topics, kept_at):
    """The checkpoint lies before the change, and after it."""
    log, cfg = frames(started_ns()), topics.cfg
    later = load_config({**topics.env, "HEATMAP_DEPTH": "20", "BTC_BUCKET_SIZE": "5"})
    live = Changed(log, cfg, later, at=400, kept_at=kept_at)
    topics.raw("binance", RAW_PARTITION, log.records)
    topics.settings(cfg, [source for source, _, _ in told(cfg)])
    for source, offset in live.changes:
        topics.settings(later, [source], offset)
    assert contents(Again(cfg, EVER).since(0), cfg.topic_prefix) == live.contents(EVER)
    for source, offset, state in live.states:
        if offset:
            topics.checkpoint(later if kept_at > 400 else cfg, source, offset, state)
    within = Range(log.records[kept_at + 20].timestamp, log.records[-1].timestamp)
    lines = []
    found = contents(Again(cfg, within, tell=lines.append).since(0), cfg.topic_prefix)
    assert found == live.contents(within)
    assert f"{SOURCE}: from offset {kept_at} to {len(log.records)} at most" in lines
    hashes = {dict(headers)["settings"] for records in found.values() for *_, headers in records}
    assert len(hashes) == (2 if kept_at < 400 else 1)


# --- what can't be ------------------------------------------------------------------------------------------------


def refused(cfg, within=EVER, **how):
    with pytest.raises(ReplayError) as caught:
        list(Again(cfg, within, **how).since(0))
    return caught.value


def test_it_says_what_it_lacks(topics):
    log, cfg = frames(started_ns()), topics.cfg
    assert refused(cfg).code == "replay.settings"
    topics.settings(cfg, [source for source, _, _ in told(cfg)])
    assert refused(cfg).code == "replay.empty"
    topics.raw("binance", RAW_PARTITION, log.records)
    wrong = refused(cfg, overrides={"UPDATE_FREQUENCY": "0.7"})
    assert (wrong.code, "a multiple of 0.5" in wrong.detail()) == ("replay.override", True)
    assert refused(cfg, overrides={"SYMBOLS": "BTCUSDT"}).code == "replay.override"
    assert refused(cfg, overrides={"BUCKET_SIZE_SOLUSDT": "1"}).code == "replay.override"
    again = Again(cfg, EVER)
    remove(topics, 100)
    with pytest.raises(ReplayError) as caught:
        list(again.since(0))
    assert caught.value.code == "replay.no_start"
    assert refused(cfg).code == "replay.no_start"


def test_a_checkpoint_that_is_none_is_passed_over_and_one_that_is_late_does_not_do(topics):
    log, cfg = frames(started_ns()), topics.cfg
    topics.settings(cfg, [source for source, _, _ in told(cfg)])
    topics.raw("binance", RAW_PARTITION, log.records)
    whole = contents(Again(cfg, EVER).since(0), cfg.topic_prefix)
    live = Changed(log, cfg, cfg, at=400, kept_at=300)
    for source, offset, state in live.states:
        if offset:
            topics.checkpoint(cfg, source, offset, state)
            topics.checkpoint(cfg, source, offset + 1, b"no state", 1)
    remove(topics, 200)
    assert refused(cfg, Range(log.records[280].timestamp, EVER.to_ms)).code == "replay.no_start"
    within, lines = Range(log.records[330].timestamp, EVER.to_ms), []
    found = contents(Again(cfg, within, tell=lines.append).since(0), cfg.topic_prefix)
    cut = {group: [one for one in records if within.holds(one[2])] for group, records in whole.items()}
    assert found == {group: records for group, records in cut.items() if records}
    assert sum("passed over" in line for line in lines) >= 2
