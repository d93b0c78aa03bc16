"""Books of which the exchange keeps only the best levels, against a book of dicts that is cut after each message.

Prices are also finer than the 1e-8 that keys are made of, and sizes also smaller: the window is of the exact ones.
"""

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.book import Book, BookState
from COBY.exchanges.base import Delta, Snapshot
from COBY.records import Level
from COBY.side import MAX_NAMES, Side
from tests.naive_book import NaiveBook

BUCKET = 20  # units
COARSE = st.integers(1, 40).map(lambda tick: f"{Decimal(tick).scaleb(-8):.10f}")
FINE = st.integers(60, 400).map(lambda tick: f"{Decimal(tick).scaleb(-10):.10f}")
"""Up to a hundred of them round to one unit."""
SIZES = st.sampled_from(["0", "0.0", "1.5", "0.25", "3", "1e-3", "0.00000001"])
TINY = st.one_of(SIZES, st.sampled_from(["0.000000004", "0.000000001", "2.000000015"]))
DEPTHS = st.integers(1, 7)


def messages(prices, sizes):
    levels = st.lists(st.tuples(prices, sizes), max_size=10)
    step = st.tuples(
        levels, levels, st.sampled_from(["update", "update", "update", "snapshot"]), st.booleans()
    )
    return st.lists(step, min_size=1, max_size=12)


def units(number):
    return int((Decimal(number) * 10**8).to_integral_value(ROUND_HALF_EVEN))


def snapshot(bids, asks, depth):
    return Snapshot("BTCUSD", bids, asks, None, None, depth=depth)


def delta(bids, asks):
    return Delta("BTCUSD", bids, asks, None, None, None)


def fed(steps, depth, look=lambda _: None):
    """A book and the naive one after these messages; ``look`` is called where the book is looked at."""
    book, naive, fresh = Book(BUCKET), NaiveBook(depth), True
    for bids, asks, kind, looked in steps:
        fresh = fresh or kind == "snapshot"
        (book.snapshot(snapshot(bids, asks, depth)) if fresh else book.delta(delta(bids, asks)))
        # Of several sizes of a price in one message the last counts: the same in both.
        naive.take(bids, asks, fresh)
        fresh = False
        if looked:
            book.flush()
            look((book, naive))
    book.flush()
    look((book, naive))
    return book, naive


def exact(levels):
    return [(Decimal(price), Decimal(size)) for price, size in levels]


def merged(levels):
    """Levels by their price in units, in order; what rounds to nothing is none."""
    sums = {}
    for price, size in levels:
        sums[units(price)] = sums.get(units(price), 0) + units(size)
    return [Level(price, size) for price, size in sums.items() if size]


def same_levels(pair):
    book, naive = pair
    for side, name in ((book.bids, "bids"), (book.asks, "asks")):
        levels = naive.levels(name)
        assert sorted(exact(side.texts.items())) == sorted(levels)
        for count in (1, 2, 3, 25):
            assert exact(side.best_texts(count)) == levels[:count]
        sign = 1 if name == "bids" else -1
        assert [Level(sign * key, side.sizes[key]) for key in side.best_keys(99)] == merged(levels)
        worst = merged(levels)[-1].price if merged(levels) else None
        assert side.worst() == (None if worst is None else sign * worst)
        buckets = {}
        for level in merged(levels):
            buckets[level.price // BUCKET] = buckets.get(level.price // BUCKET, 0) + level.size
        assert side.buckets == buckets


@settings(max_examples=80, deadline=None)
@given(messages(COARSE, SIZES), DEPTHS)
def test_a_window_holds_the_best_levels_of_each_moment(steps, depth):
    fed(steps, depth, same_levels)


@settings(max_examples=80, deadline=None)
@given(messages(FINE, SIZES), DEPTHS)
def test_prices_that_share_a_key_are_levels_of_their_own(steps, depth):
    fed(steps, depth, same_levels)


@settings(max_examples=80, deadline=None)
@given(messages(st.one_of(COARSE, FINE), TINY), DEPTHS)
def test_sizes_that_round_to_nothing_are_levels_too(steps, depth):
    fed(steps, depth, same_levels)


@settings(max_examples=60, deadline=None)
@given(messages(st.one_of(COARSE, FINE), TINY), messages(st.one_of(COARSE, FINE), TINY), DEPTHS)
def test_a_window_saved_and_loaded_goes_on_as_if_nothing_was(before, after, depth):
    book, naive = fed(before, depth)
    packed = msgspec.msgpack.encode(book.save())
    other = Book(BUCKET)
    other.load(msgspec.msgpack.decode(packed, type=BookState))
    assert msgspec.msgpack.encode(other.save()) == packed
    for bids, asks, _, _ in after:
        for one in (book, other):
            one.delta(delta(bids, asks))
            one.flush()
        naive.take(bids, asks, False)
        same_levels((other, naive))
        assert other.coverage() == book.coverage()
        assert msgspec.msgpack.encode(other.save()) == msgspec.msgpack.encode(book.save())


LOW = st.integers(1, 100).map(lambda tick: f"{Decimal(tick).scaleb(-8):.8f}")
HIGH = st.integers(101, 200).map(lambda tick: f"{Decimal(tick).scaleb(-8):.8f}")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.tuples(LOW, SIZES)), st.lists(st.tuples(HIGH, SIZES))), min_size=1), DEPTHS
)
def test_a_full_window_states_nothing_beyond_its_worst_level_and_another_knows_all(steps, depth):
    filled = {"bids": False, "asks": False}

    def covered(pair):
        book, naive = pair
        low, high = book.coverage()
        for name, edge in (("bids", low), ("asks", high)):
            levels = naive.levels(name)
            filled[name] = filled[name] or len(levels) == depth
            assert edge == (units(levels[-1][0]) if filled[name] and levels else None)
        assert book.bids.top(99) == merged(naive.levels("bids"))
        assert book.asks.top(99) == merged(naive.levels("asks"))
        assert not book.near_edge(), "a window moves along by itself"

    fed([(bids, asks, "update", True) for bids, asks in steps], depth, covered)


def test_the_bucket_at_the_edge_is_shown_only_if_covered_as_a_whole():
    book = Book(10 * 10**8)
    book.snapshot(snapshot([("99", "1"), ("91", "2"), ("85", "3"), ("70", "9")], [("101", "1")], 3))
    assert book.coverage() == (units(85), None)
    assert [(bucket.price, bucket.volume) for bucket in book.bids.top_buckets(9)] == [(units(90), units(3))]
    assert [bucket.price for bucket in book.asks.top_buckets(9)] == [units(100)]


def test_a_snapshot_larger_than_the_window_is_cut():
    book = Book(BUCKET)
    book.snapshot(snapshot([("1", "1"), ("3", "1"), ("2", "1")], [("7", "1"), ("9", "1"), ("8", "1")], 2))
    assert book.bids.best_texts(9) == [("3", "1"), ("2", "1")]
    assert book.asks.best_texts(9) == [("7", "1"), ("8", "1")]


def test_what_fell_out_is_not_there_again_when_the_levels_before_it_leave():
    book = Book(BUCKET)
    book.snapshot(snapshot([("3", "1"), ("2", "1")], [], 2))
    book.delta(delta([("4", "1")], []))
    book.delta(delta([("4", "0")], []))
    book.flush()
    assert book.bids.best_texts(9) == [("3", "1")]


def test_a_level_added_and_one_removed_in_one_message_push_nothing_out():
    book = Book(BUCKET)
    book.snapshot(snapshot([("3", "1"), ("2", "1")], [], 2))
    book.delta(delta([("4", "1"), ("3", "0")], []))
    book.flush()
    assert book.bids.best_texts(9) == [("4", "1"), ("2", "1")]


@pytest.mark.parametrize("count", [1, 10])
def test_a_book_without_a_window_is_not_cut(count):
    book = Book(BUCKET)
    book.snapshot(Snapshot("BTCUSD", [(str(price), "1") for price in range(1, count + 1)], [], None, None))
    book.delta(delta([("100", "1")], []))
    book.flush()
    assert len(book.bids.texts) == count + 1
    assert book.coverage() == (None, None)


def test_names_of_prices_that_came_and_went_are_forgotten():
    side = Side(1, BUCKET)
    side.replace([("1", "1")], False, True)
    for price in range(2, 3 * MAX_NAMES):
        side.pending.update({str(price): "1", str(price - 1): "0"})
        side.flush()
    assert side.names is not None
    assert len(side.names) <= MAX_NAMES + 1
    assert side.best_texts(9) == [(str(3 * MAX_NAMES - 1), "1")]


@pytest.mark.parametrize("sign", [1, -1])
def test_trim_does_nothing_while_there_is_room_and_counts_what_is_not_merged_yet(sign):
    side = Side(sign, BUCKET)
    side.replace([("1", "1"), ("2", "1")], False, True)
    side.trim(3)
    assert (side.texts, side.filled) == ({}, False), "nothing to do: not even merged"
    side.trim(2)
    assert side.filled
    side.pending.update({"3": "1", "2": "0"})
    side.trim(2)
    assert set(side.texts) == {"1", "3"}
    side.pending["5"] = "1"
    side.trim(2)
    assert set(side.texts) == ({"3", "5"} if sign == 1 else {"1", "3"})
    side.trim(0)
    assert (side.texts, side.worst(), side.best_texts(3)) == ({}, None, [])
