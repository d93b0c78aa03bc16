"""`coby verify` on a real Kafka: every change to a topic is found; where it starts, and under which settings."""

import msgspec
import pytest

from COBY.codec import decode, encode
from COBY.config import load_config
from COBY.records import Heatmap, TradeEvent
from COBY.runtime.kafka import apply_topics
from COBY.topics import topic_name
from tests.integration.verify_run import (
    ALONE,
    RAW_PARTITION,
    RAW_TASK,
    SECONDS,
    SOURCE,
    SYMBOLS,
    Made,
    Run,
    changed,
    different,
    frames,
    started_ns,
    told,
)


@pytest.fixture
def topics(kafka, topic_prefix):
    """A maker of runs that lie in topics alone."""
    env = {**kafka.env, "EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS), "TOPIC_PREFIX": topic_prefix}
    cfg = load_config(env)
    apply_topics(cfg)
    log = frames(started_ns())

    def make(outputs=None, settings_told=None):
        run = Run(
            cfg, log, Made(log, cfg).outputs if outputs is None else outputs, settings_told or told(cfg)
        )
        run.env = env
        return run

    make.cfg, make.log, make.env = cfg, log, env
    return make


# --- topics -------------------------------------------------------------------------------------------------------


def flip(one):
    """One digit of one cell."""
    record = decode(one.value)
    assert isinstance(record, Heatmap)
    cell = record.data[3]
    data = [*record.data[:3], msgspec.structs.replace(cell, volume=cell.volume + 1), *record.data[4:]]
    return [one._replace(value=encode(msgspec.structs.replace(record, data=data)))]


def again_elsewhere(one):
    """The same trade under the next position, which no other record has."""
    assert isinstance(decode(one.value), TradeEvent)
    place = dict(one.headers)["position"].split(b":")[0] + b":900"
    headers = [(name, place if name == "position" else value) for name, value in one.headers]
    return [one, one._replace(headers=headers)]


CHANGES = [
    ("heatmap", flip, "data[3].volume"),
    ("trade", again_elsewhere, "should not be there"),
    ("trade", lambda one: [], "is missing"),
    ("ohlcv", lambda one: [one._replace(timestamp_ms=one.timestamp_ms + 1)], "timestamp"),
    ("gap", lambda one: [one._replace(headers=[*one.headers, ("x", b"")])], "headers"),
    ("consolidated", lambda one: [one, one._replace(value=one.value[:-1])], "another content"),
]


@pytest.mark.parametrize(
    ("topic", "change", "shown"),
    [*CHANGES[:2], *[pytest.param(*one, marks=pytest.mark.long) for one in CHANGES[2:]]],
)
def test_one_changed_record_of_a_topic_is_found(topics, topic, change, shown):
    made = Made(topics.log, topics.cfg).outputs
    run = topics(changed(made, topic, 1, change))
    code, found, output = run.verify(run.env, *ALONE)
    assert code == 1, output
    assert different(found) == {f"{topic}.v1"}
    assert shown in output
    assert output.endswith("DIFFERENT: 1 difference\n")


@pytest.mark.long
def test_a_frame_that_a_worker_passed_over_is_found(topics):
    frame = next(one for one in topics.log.records[200:] if b"@trade" in (one.value or b""))
    run = topics(Made(topics.log, topics.cfg, skip=frame.offset).outputs)
    code, found, output = run.verify(run.env, *ALONE)
    assert code == 1, output
    assert {"trade.v1", "book.v1"} <= different(found)
    assert f"{SOURCE} {frame.offset}:0: is missing" in output


@pytest.mark.long
def test_a_frame_missing_from_the_raw_topic_without_a_word_is_found(topics):
    kept = [one for one in topics.log.records if one.offset != 300]
    topics.log.records[:] = [one._replace(offset=place) for place, one in enumerate(kept)]
    run = topics(Made(topics.log, topics.cfg).outputs)
    code, found, output = run.verify(run.env, *ALONE)
    assert code == 1, output
    assert different(found) == {"raw.binance.v1"}
    assert "are missing, and no `dropped` event says so" in output


@pytest.mark.long
def test_repeats_are_dropped_and_what_streams_has_not_made_yet_is_behind(topics):
    made = Made(topics.log, topics.cfg).outputs
    run = topics([*made[:200], *made[100:200]])
    code, found, output = run.verify(run.env, *ALONE)
    assert code == 2, output
    assert different(found) == set()
    run.write(made[150:])
    code, _, output = run.verify(run.env, *ALONE)
    assert code == 0, output


# --- where it starts, and under which settings ----------------------------------------------------------------------


@pytest.mark.long
def test_it_starts_at_the_newest_usable_checkpoint_before_the_range(topics):
    cfg = topics.cfg
    made = [Made(topics.log, cfg, at=at) for at in (200, 300, 400)]
    run = topics(made[0].outputs)
    for number, one in enumerate(made):
        for source, (at, state) in one.states.items():
            run.checkpoint(source, at, state, number)
    run.checkpoint(SOURCE, 410, b"no state", 3)
    run.put(
        topic_name(cfg.topic_prefix, "checkpoint.normalize"),
        b"broken",
        f"normalize|{RAW_TASK}|{RAW_PARTITION}|0".encode(),
    )
    first = (topics.log.records[420].timestamp - topics.log.records[0].timestamp) / 1000
    code, table, output = run.verify(run.env, *ALONE, first=first)
    assert code == 0, output
    assert f"{SOURCE}: from offset 400 " in output
    assert output.count("passed over") == 2
    assert 0 < table["trade.v1"][0] < 2 * 2 * SECONDS
    code, _, output = run.verify(run.env, *ALONE, first=first - 15)
    assert code == 0, output
    assert f"{SOURCE}: from offset 200 " in output


@pytest.mark.long
def test_each_record_is_recomputed_under_the_settings_of_its_time(topics):
    """HEATMAP_DEPTH changed in between; verify itself runs under a third one."""
    later = load_config({**topics.env, "HEATMAP_DEPTH": "20", "BTC_BUCKET_SIZE": "5"})
    made = Made(topics.log, topics.cfg, later, at=400)
    changes = [(source, at, later) for source, (at, _) in made.states.items()]
    run = topics(made.outputs, [*told(topics.cfg), *changes])
    env = {**run.env, "HEATMAP_DEPTH": "7", "ETH_BUCKET_SIZE": "2"}
    code, _, output = run.verify(env, *ALONE)
    assert code == 0, output


@pytest.mark.long
def test_without_settings_or_records_it_says_that_it_could_not(topics):
    run = topics([], [(SOURCE, 0, topics.cfg)])
    code, _, output = run.verify(run.env, *ALONE, first=7200, last=7300)
    assert (code, "replay.empty" in output) == (2, True)
    code, _, output = run.verify(run.env, *ALONE, first=5, last=5)
    assert (code, "replay.range" in output) == (2, True)
