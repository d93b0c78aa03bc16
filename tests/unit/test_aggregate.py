"""Book ticks of several exchanges in, heatmaps, consolidated books and candles out."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.aggregate import AggregateTask
from COBY.book import Book
from COBY.codec import decode, encode
from COBY.config import Config
from COBY.exchanges.base import Snapshot
from COBY.processing import blind_tick, book_tick
from COBY.records import Bar, Candle, Consolidated, Heatmap, Missing, TradeEvent
from COBY.stage import StoredRecord, header

U = 10**8
GRID = 500_000
START = 1_700_000_000_000_000
NAMES = ("a", "b", "c")
CONFIG = Config(exchanges=("c", "a", "b"), symbols=("BTCUSDT", "ETHUSDT"), heatmap_depth=5)


def task(config=CONFIG):
    return AggregateTask(config, 0)


def bars(exchange, number):
    """One trade in each tick, its size telling whose it is."""
    at = START + (number - 1) * GRID + 100
    price, size = (100 + number) * U, (ord(exchange) - 96) * U
    return [Bar(at // 10**6 * 10**6, price, price, price, price, size, 1, at, number, at, number)]


def tick(exchange, number, symbol="BTCUSDT", live=True, size=None):
    """Number n is the tick START + n * GRID."""
    bucket = size or CONFIG.bucket_size_units(symbol)
    at = START + number * GRID
    if not live:
        return blind_tick(symbol, exchange, at, bucket, "disconnected", bars(exchange, number))
    book, step = Book(bucket), ord(exchange) - 97
    bids = [(str(1000 - step - number % 3), "1"), (str(985 - step), "2")]
    book.snapshot(Snapshot(symbol, bids, [(str(1001 + step), "3")], number, None))
    return book_tick(symbol, exchange, at, 5, bucket, book, "c1", bars(exchange, number))


class Topic:
    """A partition of the book topic: offsets 0, 1, 2 …, each exchange a source with positions of its own."""

    def __init__(self):
        self.records = []
        self._next = {}

    def add(self, record, place=None, **headers):
        source = f"raw.{record.exchange}.v1/0"
        place = self._next.setdefault(source, 0) if place is None else place
        self._next[source] = max(self._next[source], place + 1) if source in self._next else place + 1
        named = {"source": source, "position": f"{place}:0"} | headers
        self.raw(encode(record), [(name, text.encode()) for name, text in named.items()], record.symbol.encode())

    def raw(self, value, headers=(), key=b"BTCUSDT"):
        self.records.append(StoredRecord(len(self.records), START // 1000, key, value, list(headers)))


def values(outputs, kind=Heatmap, symbol="BTCUSDT"):
    found = [decode(one.value) for one in outputs if one.topic != "dlq"]
    return [record for record in found if isinstance(record, kind) and record.symbol == symbol]


def numbers(outputs):
    return [(one.timestamp - START) // GRID for one in values(outputs)]


def codes(outputs):
    return [header(one.headers, "code").decode() for one in outputs if one.topic == "dlq"]


def test_a_tick_closes_only_when_every_configured_exchange_has_it_or_a_later_one():
    topic, one = Topic(), task()
    steps = [("a", 1, []), ("a", 2, []), ("b", 1, []), ("c", 1, [1]), ("c", 3, []), ("b", 2, [2]), ("b", 9, []), ("a", 3, [3])]
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
    assert [[one.exchange for one in frame.exchanges] for frame in values(outputs)] == [["a", "b", "c"], ["a"], ["a", "c"]]
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
    pick, topic, todo = random.Random(seed), Topic(), {name: 1 for name in NAMES}
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


TRADE = TradeEvent("BTCUSDT", "a", START, START, U, U, "buy", "1")


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (None, (), "codec.null"),
        (b"", (), "codec.format"),
        (b"{}xxxxx", (), "codec.format"),
        (b"\0\0\0\xff\xff", (), "codec.unknown_schema"),
        (encode(tick("a", 1))[:-3], (), "codec.broken"),
        (encode(tick("a", 1)) + b"\0", (), "codec.broken"),
        (encode(TRADE), (), "record.schema"),
        (encode(tick("z", 1)), (), "record.not_configured"),
        (encode(tick("a", 1, "ETHUSDT")).replace(b"ETHUSDT", b"DOGUSDT"), (), "record.not_configured"),
        (encode(tick("a", 1)), [("source", b"x"), ("position", b"x")], "record.headers"),
        (encode(tick("a", 1)), [("source", b"x"), ("position", b"1:2:3")], "record.headers"),
        (encode(tick("a", 1)), [("source", b"\xff"), ("position", b"1:2")], "record.headers"),
        (encode(tick("a", 1)), [("source", b"x"), ("position", b"9" * 30 + b":0")], "record.headers"),
        (encode(tick("a", 1)), [("source", b"x"), ("position", b"9" * 5000 + b":0")], "record.headers"),
    ],
)
def test_what_can_not_be_used_is_a_dead_letter_and_stops_nothing(value, headers, code):
    topic, one = Topic(), task()
    topic.raw(value, headers)
    for exchange in NAMES:
        topic.add(tick(exchange, 1))
    outputs = one.process(topic.records)
    assert codes(outputs) == [code]
    assert outputs[0].value == (value or b"")
    assert one.counters()["rejected", code] == 1
    assert numbers(outputs) == [1]
    assert one.next_offset == 4
    assert one.save()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: b"\0\0\0\0\2" + tail)),
            st.lists(st.tuples(st.sampled_from(["source", "position"]), st.sampled_from([None, b"", b"1:1", b"\xff"]))),
        ),
        max_size=10,
    )
)
def test_no_bytes_at_all_make_the_task_raise(rows):
    topic, one = Topic(), task()
    for value, headers in rows:
        topic.raw(value, headers)
    one.process(topic.records)
    assert one.save()


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
    fewer, more = task(Config(exchanges=("a", "b"), symbols=("BTCUSDT",))), task(Config(exchanges=(*NAMES, "d")))
    fewer.load(one.save())
    more.load(one.save())
    topic.add(tick("a", 2))
    topic.add(tick("b", 2))
    assert numbers(fewer.process(topic.records)) == [1, 2]
    topic.add(tick("c", 2))
    assert numbers(more.process(topic.records)) == []
    topic.add(tick("d", 1))
    assert numbers(more.process(topic.records[-1:])) == [1]
