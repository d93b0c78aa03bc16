"""Book ticks of several exchanges in, heatmaps, consolidated books and candles out."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.config import Config
from COBY.records import Candle, Consolidated, Heatmap, Missing
from COBY.stage import header
from tests.aggregate_topic import (
    CONFIG,
    GRID,
    NAMES,
    START,
    Topic,
    U,
    numbers,
    task,
    tick,
    values,
)


def test_a_tick_closes_only_when_every_configured_exchange_has_it_or_a_later_one():
    topic, one = Topic(), task()
    steps = [
        ("a", 1, []),
        ("a", 2, []),
        ("b", 1, []),
        ("c", 1, [1]),
        ("c", 3, []),
        ("b", 2, [2]),
        ("b", 9, []),
        ("a", 3, [3]),
    ]
    for exchange, number, closed in steps:
        topic.add(tick(exchange, number))
        assert numbers(one.process(topic.records[-1:])) == closed


def test_an_exchange_without_the_record_of_a_tick_is_missing_from_it():
    topic = Topic()
    for exchange, number in [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("a", 3), ("b", 3), ("c", 3)]:
        topic.add(tick(exchange, number, live=exchange != "b" or number == 1))
    outputs = task().process(topic.records)
    assert numbers(outputs) == [1, 2, 3]
    assert [one.missing for one in values(outputs)] == [
        [],
        [Missing("b", "no_tick"), Missing("c", "no_tick")],
        [Missing("b", "disconnected")],
    ]
    assert [[one.exchange for one in frame.exchanges] for frame in values(outputs)] == [
        ["a", "b", "c"],
        ["a"],
        ["a", "c"],
    ]
    assert [one.exchanges for one in values(outputs, Consolidated)] == [["a", "b", "c"], ["a"], ["a", "c"]]


def test_nothing_closes_before_every_exchange_was_heard_once():
    topic = Topic()
    for number in range(1, 50):
        topic.add(tick("a", number))
        topic.add(tick("b", number))
    assert task().process(topic.records) == []


def test_symbols_do_not_wait_for_each_other():
    topic = Topic()
    for exchange in NAMES:
        topic.add(tick(exchange, 1, "ETHUSDT"))
    outputs = task().process(topic.records)
    assert len(values(outputs, Heatmap, "ETHUSDT")) == 1
    assert values(outputs) == []
    assert {one.key for one in outputs} == {b"ETHUSDT"}


def merged_in_some_order(seed, ticks=40):
    """All exchanges' records, each in its own order, mixed by the seed."""
    pick, topic, todo = random.Random(seed), Topic(), dict.fromkeys(NAMES, 1)
    skipped = random.Random(99)
    gone = {(name, number) for name in NAMES for number in range(2, ticks) if skipped.random() < 0.1}
    blind = {(name, number) for name in NAMES for number in range(1, ticks + 1) if skipped.random() < 0.2}
    while todo:
        name = pick.choice(sorted(todo))
        number = todo[name]
        if (name, number) not in gone:
            topic.add(tick(name, number, live=(name, number) not in blind))
        todo[name] += 1
        if number == ticks:
            del todo[name]
    return topic


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_arrival_across_exchanges_decides_nothing(seed):
    one, other = task(), task()
    assert one.process(merged_in_some_order(seed).records) == other.process(merged_in_some_order(0).records)
    assert one.save() == other.save(), "equal states give equal bytes"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 130), max_size=4))
def test_cut_anywhere_saved_loaded_and_continued_the_output_is_the_same_bytes(seed, cuts):
    records = merged_in_some_order(seed).records
    whole = task()
    expected = whole.process(records)
    assert task().process(records) == expected
    outputs, one, start = [], task(), 0
    for cut in [*sorted(cuts), len(records)]:
        outputs += one.process(records[start:cut])
        saved, one = one.save(), task()
        one.load(saved)
        assert one.save() == saved
        start = max(start, cut)
    assert outputs == expected
    assert one.save() == whole.save()
    assert expected


def test_repeats_by_position_are_dropped_and_counted():
    topic, one = Topic(), task()
    for exchange in NAMES:
        topic.add(tick(exchange, 1), 10)
    expected = one.process(topic.records)
    again = Topic()
    for exchange in NAMES:
        again.add(tick(exchange, 1), 10)
        again.add(tick(exchange, 0), 9)
    again.records = [record._replace(offset=record.offset + 3) for record in again.records]
    assert one.process(again.records) == []
    assert one.counters()["repeats",] == 6
    assert len(expected) == 2


def test_repeats_of_a_second_writer_change_no_candle():
    plain, doubled = Topic(), Topic()
    for number in range(1, 20):
        for exchange in NAMES:
            plain.add(tick(exchange, number))
            doubled.add(tick(exchange, number))
            if number > 3:
                doubled.add(tick(exchange, number - 2), number - 3)
    assert task().process(plain.records) == task().process(doubled.records)


def test_candles_are_over_all_exchanges():
    topic = Topic()
    for number in range(1, 10):
        for exchange in NAMES:
            topic.add(tick(exchange, number))
    candles = [one for one in values(task().process(topic.records), Candle) if one.timeframe == "1s"]
    first = candles[0]
    assert (first.timestamp, first.volume, first.trade_count) == (START, 2 * (1 + 2 + 3) * U, 6)
    assert (first.open, first.close, first.received_at) == (101 * U, 102 * U, START + 6 * GRID)


def test_headers_name_the_symbol_as_source_and_t_as_position():
    topic = Topic()
    for exchange in NAMES:
        topic.add(tick(exchange, 1))
    outputs = task().process(topic.records)
    assert [(one.topic, header(one.headers, "position")) for one in outputs] == [
        ("heatmap", b"%d:0" % (START + GRID)),
        ("consolidated", b"%d:1" % (START + GRID)),
    ]
    assert {header(one.headers, "source") for one in outputs} == {b"aggregate/BTCUSDT"}
    assert {one.timestamp_ms for one in outputs} == {(START + GRID) // 1000}
    assert {header(one.headers, "settings") for one in outputs} == {CONFIG.settings_hash.encode()}


def test_a_book_with_buckets_of_another_size_is_not_added_up_but_its_trades_count():
    """As after a change of settings: its records were written before."""
    topic = Topic()
    for number in range(1, 10):
        for exchange in NAMES:
            topic.add(tick(exchange, number, size=U if exchange == "b" else None))
    outputs = task().process(topic.records)
    assert {tuple(one.missing) for one in values(outputs)} == {(Missing("b", "no_tick"),)}
    assert {one.bucket_size for one in values(outputs)} == {10 * U}
    candle = next(one for one in values(outputs, Candle) if one.timeframe == "1s")
    assert candle.volume == 2 * (1 + 2 + 3) * U


def test_a_state_under_other_settings_drops_what_is_gone_and_waits_for_what_is_new():
    topic, one = Topic(), task()
    for exchange in ("a", "b"):
        topic.add(tick(exchange, 1))
    one.process(topic.records)
    fewer, more = (
        task(Config(exchanges=("a", "b"), symbols=("BTCUSDT",))),
        task(Config(exchanges=(*NAMES, "d"))),
    )
    fewer.load(one.save())
    more.load(one.save())
    topic.add(tick("a", 2))
    topic.add(tick("b", 2))
    assert numbers(fewer.process(topic.records)) == [1, 2]
    topic.add(tick("c", 2))
    assert numbers(more.process(topic.records)) == []
    topic.add(tick("d", 1))
    assert numbers(more.process(topic.records[-1:])) == [1]
