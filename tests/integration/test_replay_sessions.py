"""Replay sessions on a real broker: what a consumer gets is what it would have got live, at the pace ordered."""

import time
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from confluent_kafka.admin import AdminClient

from COBY.runtime.kafka import apply_topics
from COBY.runtime.metrics import metrics
from COBY.utils.exceptions import CobyError
from tests.conftest import delete_topics
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
from tests.integration.sink_helpers import settings
from tests.integration.verify_run import DERIVED, SECONDS, SYMBOLS, Made, Run, frames, started_ns, told
from tests.servers import eventually

PREFIX = "treplaysession"


@pytest.fixture(scope="module")
def world(kafka):
    """A run of 75 s in the topics, a worker, a manager; (run, manager, first ms)."""
    more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS), "REPLAY_SESSIONS": "3"}
    cfg = settings(kafka, prefix=PREFIX, **more)
    apply_topics(cfg)
    log = frames(started_ns())
    run = Run(cfg, log, Made(log, cfg).outputs, told(cfg))
    with working(cfg), managing(cfg) as manager:
        yield run, manager, log.records[0].timestamp
    delete_topics(kafka.bootstrap_servers, PREFIX)


@pytest.fixture
def session(world):
    """Makes sessions over seconds of the run; all are deleted in the end."""
    _, manager, first_ms = world
    made = []

    def make(first=0.0, last=SECONDS, speed=0.0, **more):
        times = () if "offsets" in more else (at_ms(first_ms + 1000 * first), at_ms(first_ms + 1000 * last))
        made.append(manager.create_replay_session(*(times or (None, None)), speed, **more))
        return made[-1]

    yield make
    for one in made:
        if one in {status.id for status in manager.list_sessions()}:
            do(manager.delete(one))


@pytest.fixture(scope="module")
def live(world):
    """What lies in the derived topics."""
    return by_sequence(all_of(world[0].cfg.kafka_bootstrap_servers, *derived_topics(PREFIX)))


def view(world, session, seconds=1.0):
    run, manager, _ = world
    return without_repeats(all_of(run.cfg.kafka_bootstrap_servers, manager.topic(session), seconds=seconds))


def test_a_range_comes_as_it_was(world, session, live):
    _, manager, first_ms = world
    one = session(20, 50)
    do(manager.start_replay(one))
    status = until_ended(manager, one)
    assert (status.state, status.error, status.missing) == ("finished", None, ())
    got = view(world, one)
    expected = within(live, first_ms + 20_000, first_ms + 50_000)
    assert by_sequence(got) == expected
    assert digest(by_sequence(got)) == digest(expected)
    assert status.records == len(got) + len(scene(world, one))
    # One order over all: numbers without a hole, and times that no source of a topic takes back.
    assert [item.place[1] for item in got] == list(range(got[0].place[1], status.n + 1))
    assert {len(item.headers) - len(item.content[3]) for item in got} == {4}


def scene(world, session):
    run, manager, _ = world
    seen = all_of(run.cfg.kafka_bootstrap_servers, manager.topic(session), seconds=0.5)
    return [one for one in seen if one.header("prelude")]


def test_the_whole_range_with_what_comes_after_its_last_tick(world, session, live):
    _, manager, _ = world
    one = session(0, SECONDS + 5)
    do(manager.start_replay(one))
    assert until_ended(manager, one).missing[0].startswith("not come to the range's end: binance/")
    assert by_sequence(view(world, one)) == live


def test_symbols_channels_and_exchanges_can_be_chosen(world, session, live):
    _, manager, first_ms = world
    one = session(10, 60, symbols=["ETHUSDT"], channels=["trade", "heatmap"], exchanges=["binance"])
    do(manager.start_replay(one))
    until_ended(manager, one)
    chosen = {
        name: ones
        for name, ones in within(live, first_ms + 10_000, first_ms + 60_000).items()
        if name[1] == b"ETHUSDT" and name[0].split(".")[1] in ("trade", "heatmap")
    }
    assert by_sequence(view(world, one)) == chosen


def test_by_offsets_come_exactly_the_records_between_them(world, session):
    run, manager, _ = world
    topic = f"{PREFIX}.trade.v1"
    there = all_of(run.cfg.kafka_bootstrap_servers, topic)
    number = there[0].partition
    one = session(offsets={topic: {number: (10, 25)}})
    do(manager.start_replay(one))
    status = until_ended(manager, one)
    wanted = [item.content for item in there if item.partition == number and 10 <= item.offset < 25]
    assert [item.content for item in view(world, one)] == wanted
    assert (len(wanted), status.records) == (15, 15)


def some(reader):
    """Wait until records of the range itself have come."""
    assert without_repeats(reader.read(30, without_repeats))


def test_nothing_comes_after_a_pause_and_all_of_it_after_resuming(world, session, live):
    run, manager, first_ms = world
    one = session(0, 60, speed=2)
    reader = Reader(run.cfg.kafka_bootstrap_servers, manager.topic(one))
    do(manager.start_replay(one))
    some(reader)
    do(manager.pause_replay(one))
    paused = manager.get_replay_status(one)
    at_pause = len(reader.read(0.3))
    assert paused.state == "paused"
    assert paused.records == at_pause > 0
    assert len(reader.read(1.5)) == at_pause, "nothing is released after the confirmation"
    do(manager.set_speed(one, 100))
    do(manager.resume(one))
    until_ended(manager, one)
    got = without_repeats(reader.read())
    reader.close()
    assert by_sequence(got) == within(live, first_ms, first_ms + 60_000)


def test_after_a_seek_the_first_record_at_or_after_the_time_comes_next(world, session, live):
    run, manager, first_ms = world
    one = session(0, 60, speed=1)
    reader = Reader(run.cfg.kafka_bootstrap_servers, manager.topic(one))
    do(manager.start_replay(one))
    some(reader)
    position_ms = first_ms + 40_250
    do(manager.seek(one, at_ms(position_ms)))
    do(manager.set_speed(one, 0))
    status = until_ended(manager, one)
    got = without_repeats(reader.read())
    reader.close()
    later = [item for item in got if item.place[0] == 1]
    assert {item.place[0] for item in got} == {0, 1}
    assert later[0].place == (1, 1)
    assert by_sequence(later) == within(live, position_ms, first_ms + 60_000)
    assert later[0].timestamp_ms == min(item.timestamp_ms for item in later)
    assert (status.run, status.n) == (1, len(later))
    do(manager.seek(one, at_ms(first_ms + 59_000)))
    assert until_ended(manager, one).run == 2, "a finished session runs again"


def test_recomputed_from_raw_it_is_the_same(world, session, live):
    _, manager, first_ms = world
    one = session(0, SECONDS + 5, source="recompute")
    do(manager.start_replay(one))
    assert until_ended(manager, one).error is None
    got = by_sequence(view(world, one))
    assert digest(got) == digest(live)
    part = session(30, 50, 4, source="recompute", symbols=["ETHUSDT"], channels=["heatmap", "trade"])
    do(manager.start_replay(part))
    do(manager.pause_replay(part))
    do(manager.resume(part))
    until_ended(manager, part)
    cut = within(live, first_ms + 30_000, first_ms + 50_000)
    assert by_sequence(view(world, part)) == {
        name: ones
        for name, ones in cut.items()
        if name[1] == b"ETHUSDT" and name[0].split(".")[1] in ("heatmap", "trade")
    }


def test_recomputed_under_other_settings_it_is_what_a_worker_would_have_made_under_them(world, session):
    run, manager, _ = world
    changes = {"BTC_BUCKET_SIZE": "5", "HEATMAP_DEPTH": "7"}
    one = session(0, SECONDS + 5, source="recompute", settings=changes)
    do(manager.start_replay(one))
    until_ended(manager, one)
    other = replace(run.cfg, bucket_sizes={"BTCUSDT": 5.0}, heatmap_depth=7)
    expected = {}
    for made in Made(run.log, other).outputs:
        if made.topic in DERIVED:
            source = dict(made.headers)["source"].decode()
            name = (f"{PREFIX}.{made.topic}.v1", made.key, source)
            content = (made.key, made.value, made.timestamp_ms, made.headers)
            expected.setdefault(name, []).append(content)
    assert by_sequence(view(world, one)) == expected


def test_a_paced_replay_counts_how_late_each_record_of_its_range_was(world, session):
    def counted():
        return metrics().registry.get_sample_value("coby_replay_late_seconds_count")

    _, manager, _ = world
    paced, full = session(20, 50, speed=100), session(20, 50, speed=0)
    before = counted()
    do(manager.start_replay(paced))
    until_ended(manager, paced)
    assert counted() - before == len(view(world, paced)) > 0
    do(manager.start_replay(full))
    until_ended(manager, full)
    assert counted() - before == len(view(world, paced)), "at full speed nothing is late"


def test_a_deleted_session_leaves_nothing(world, session):
    run, manager, _ = world
    one = session(0, 10)
    topic = manager.topic(one)
    admin = AdminClient({"bootstrap.servers": run.cfg.kafka_bootstrap_servers, "log_level": 0})
    assert topic in admin.list_topics(timeout=10).topics
    do(manager.start_replay(one))
    do(manager.delete(one))
    assert one not in {status.id for status in manager.list_sessions()}
    end = time.monotonic() + 20
    while topic in admin.list_topics(timeout=10).topics:
        assert time.monotonic() < end
        time.sleep(0.1)
    with pytest.raises(CobyError, match="unknown_session"):
        manager.get_replay_status(one)


def test_what_nobody_uses_goes_after_its_time_to_live(world, session):
    _, manager, _ = world
    one = session(0, 5, ttl_seconds=1)
    end = time.monotonic() + 30
    while one in {status.id for status in manager.list_sessions()}:
        assert time.monotonic() < end
        time.sleep(0.2)


def refused(code, call):
    with pytest.raises(CobyError) as caught:
        call()
    assert caught.value.code == code, caught.value
    assert caught.value.allowed
    return caught.value


def test_what_can_not_be_is_refused_with_a_code(world, session):
    _, manager, first_ms = world
    start, end = at_ms(first_ms), at_ms(first_ms + 10_000)
    make = manager.create_replay_session
    refused("replay.range", lambda: make(end, start, 1))
    refused("replay.range", lambda: make(start, start, 1))
    refused("replay.range", lambda: make(start, end, 1, offsets={f"{PREFIX}.trade.v1": {0: (0, 1)}}))
    refused("replay.future", lambda: make(start, end + timedelta(days=1), 1))
    refused("time.naive", lambda: make(datetime(2026, 1, 1), end, 1))  # noqa: DTZ001  # that is the point
    for speed in (0.0004, 0.09996, 0.05, 1000.0004, 1001, -1, float("nan"), float("inf")):
        refused("replay.speed", lambda speed=speed: make(start, end, speed))
    refused("replay.channel", lambda: make(start, end, 1, channels=["books"]))
    refused("replay.source", lambda: make(start, end, 1, source="kafka"))
    refused("replay.settings", lambda: make(start, end, 1, settings={"HEATMAP_DEPTH": "5"}))
    odd = {"source": "recompute", "settings": {"EXCHANGES": "okx"}}
    refused("replay.override", lambda: make(start, end, 1, **odd))
    refused("config.unknown_symbol", lambda: make(start, end, 1, symbols=["XRPUSDT"]))
    refused("config.unknown_exchange", lambda: make(start, end, 1, exchanges=["nyse"]))
    refused("replay.offsets", lambda: make(None, None, 1, offsets={f"{PREFIX}.nothing.v1": {0: (0, 1)}}))
    refused("replay.offsets", lambda: make(None, None, 1, offsets={f"{PREFIX}.trade.v1": {0: (5, 5)}}))
    refused("replay.empty", lambda: make(start - timedelta(2), end - timedelta(2), 1, source="topics"))
    refused("replay.unknown_session", lambda: manager.get_replay_status("nobody"))
    assert manager.list_sessions() == [], "nothing was made"
    admin = AdminClient({"bootstrap.servers": world[0].cfg.kafka_bootstrap_servers, "log_level": 0})
    eventually(
        lambda: (
            not [
                name for name in admin.list_topics(timeout=10).topics if name.startswith(f"{PREFIX}.replay.")
            ]
        )
    )


def test_orders_that_do_not_fit_are_refused(world, session):
    _, manager, first_ms = world
    one = session(0, 60, speed=1)
    refused("replay.state", lambda: do(manager.pause_replay(one)))
    refused("replay.state", lambda: do(manager.resume(one)))
    do(manager.start_replay(one))
    refused("replay.state", lambda: do(manager.start_replay(one)))
    refused("replay.seek", lambda: do(manager.seek(one, at_ms(first_ms - 1))))
    refused("replay.seek", lambda: do(manager.seek(one, at_ms(first_ms + 60_000))))
    refused("replay.speed", lambda: do(manager.set_speed(one, 5000)))
    do(manager.stop_replay(one))
    assert manager.get_replay_status(one).state == "stopped"
    refused("replay.state", lambda: do(manager.resume(one)))
    for _ in range(2):
        session(0, 60)
    refused("replay.too_many", lambda: session(0, 60))
