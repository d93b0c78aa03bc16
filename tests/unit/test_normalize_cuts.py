"""THE property: cut anywhere, saved, loaded, continued, the output is the same bytes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.records import TradeEvent
from tests.normalize_log import (
    CONFIG,
    ONE,
    POISON,
    Log,
    at,
    of,
    run,
    started,
    task,
    ticks,
)
from tests.raw import GRID_NS, depth, recording_log, trade


def busy_log(seed, steps=120):
    """All kinds of records in a seeded order: two connections, gaps, broken frames, silence, jumps."""
    pick, log, now = random.Random(seed), Log(), 0.0
    sequence, number = {"c1": 10, "c2": 10}, 0
    for conn in ("c1", "c2"):
        log.live(conn)
    for _ in range(steps):
        now += pick.choice([0.0, 0.05, 0.2, 0.4])
        conn = pick.choice(["c1", "c1", "c2"])
        what = pick.choice(
            ["depth"] * 8 + ["trade"] * 5 + ["body", "gap", "poison", "event", "skip", "mark", "jump", "null"]
        )
        if what == "depth":
            sequence[conn] += 1
            price = str(pick.randint(90, 110))
            log.ws(now, depth(sequence[conn], sequence[conn], [[price, str(pick.randint(0, 3))]], []), conn)
        elif what == "trade":
            number += pick.choice([0, 1, 1])
            log.ws(now, trade(number, str(pick.randint(90, 120)), "0.1", round(at(now - 1) / 10**6)), conn)
        elif what == "body":
            log.body(now, sequence[conn] - pick.randint(-2, 2), conn=conn, asks=[["150", "1"]])
        elif what == "gap":
            sequence[conn] += 5
        elif what == "poison":
            log.ws(now, pick.choice(POISON[:6]), conn)
        elif what == "event":
            log.event(at(now), pick.choice(["alive", "disconnected", "dropped", "connected"]), conn)
        elif what == "skip":
            log.skip_seq(conn)
        elif what == "null":
            log.ws(now, None, conn)
        elif what == "jump":
            now += pick.choice([1.0, 3.0])
        while log.passed + 0.5 <= now:
            log.passed += 0.5
            log.mark(at(log.passed))
    return log


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 140), max_size=4))
def test_cut_anywhere_saved_loaded_and_continued_the_output_is_the_same_bytes(seed, cuts):
    log = busy_log(seed)
    whole = task(CONFIG)
    expected = whole.process(log.records)
    assert task(CONFIG).process(log.records) == expected, "a pure function"
    outputs, one, start = [], task(CONFIG), 0
    for cut in [*sorted(cuts), len(log.records)]:
        outputs += one.process(log.records[start:cut])
        saved, one = one.save(), task(CONFIG)
        one.load(saved)
        assert one.save() == saved
        start = max(start, cut)
    assert outputs == expected
    assert one.save() == whole.save()


def test_cut_after_every_record_the_output_is_the_same_bytes():
    log = busy_log(4711, 250)
    expected, outputs, one = task(CONFIG).process(log.records), [], task(CONFIG)
    for record in log.records:
        outputs += one.process([record])
        saved, one = one.save(), task(CONFIG)
        one.load(saved)
    assert outputs == expected
    assert {output.topic for output in outputs} >= {"book", "trade", "gap", "control", "dlq"}


def test_records_already_taken_are_cut_off():
    log = busy_log(5)
    one = task(CONFIG)
    first = one.process(log.records[:60])
    assert first + one.process(log.records[30:]) == task(CONFIG).process(log.records)


def test_loading_replaces_the_whole_state():
    log = busy_log(6)
    one, used = task(CONFIG), task(CONFIG)
    one.process(log.records[:40])
    used.process(busy_log(7).records)
    used.load(one.save())
    assert used.save() == one.save()


def test_a_state_under_other_settings_keeps_what_is_still_configured_and_starts_the_rest_blind():
    log = started()
    log.ws(0.2, trade(1, "1", "1", at(0.2) // 10**6))
    one = task(ONE)
    one.process(log.records)
    more = task(CONFIG)
    more.load(one.save())
    log.ws(0.3, trade(1, "1", "1", at(0.3) // 10**6))
    log.beat(0.5)
    found = run(log, one=more)
    assert ticks(found, "BTCUSDT") == {0.5: (True, None)}
    assert ticks(found, "ETHUSDT") == {0.5: (False, "never_connected")}
    assert of(found, TradeEvent) == []


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_the_recording_in_any_chunks_gives_the_same_bytes(frames_dir, chunk):
    log = recording_log(
        frames_dir / "binance" / "hftbacktest_btcusdt_651s.jsonl.gz", 2_500 if chunk == 1 else 6_000
    )
    expected, outputs, one = task().process(log.records), [], task()
    for start in range(0, len(log.records), chunk):
        outputs += one.process(log.records[start : start + chunk])
        if start % (chunk * 50) == 0:
            saved, one = one.save(), task()
            one.load(saved)
    assert outputs == expected
    assert ONE.update_frequency_us * 1000 == GRID_NS
