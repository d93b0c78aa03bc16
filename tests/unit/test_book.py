"""A book against a plain dict of Decimals that is told the same."""

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.book import Book, BookState
from COBY.exchanges.base import Delta, Snapshot
from COBY.records import Bucket, Level

UNIT = Decimal(10) ** 8
SIZE = 10 * 10**8
PRICES = st.integers(1, 12_000).map(lambda cents: f"{Decimal(cents) / 100:.8f}")
SIZES = st.sampled_from(
    ["0", "0.00000000", "1.5", "0.25", "3", "0.00000001", "0.000000004", "1e-3", "2.000000015"]
)
LEVELS = st.lists(st.tuples(PRICES, SIZES), max_size=12)


def units(text: str) -> int:
    return int((Decimal(text) * UNIT).to_integral_value(ROUND_HALF_EVEN))


def snapshot(bids, asks, limited=False, number=1):
    return Snapshot("BTCUSDT", bids, asks, number, None, limited, limited)


def delta(bids, asks, number=2):
    return Delta("BTCUSDT", bids, asks, number, number, 5)


def levels(*pairs):
    return [Level(units(price), units(size)) for price, size in pairs]


class Plain:
    """The second implementation: one dict, asked anew each time."""

    def __init__(self):
        self.sizes: dict[str, Decimal] = {}

    def take(self, changes):
        for price, size in changes:
            self.sizes.pop(price, None)
            if Decimal(size):
                self.sizes[price] = Decimal(size)

    def by_units(self) -> dict[int, int]:
        sums: dict[int, int] = {}
        for price, size in self.sizes.items():
            sums[units(price)] = sums.get(units(price), 0) + units(f"{size:f}")
        return {price: size for price, size in sums.items() if size}

    def top(self, count, best_first):
        return [Level(*item) for item in sorted(self.by_units().items(), reverse=best_first)[:count]]

    def buckets(self) -> dict[int, int]:
        sums: dict[int, int] = {}
        for price, size in self.by_units().items():
            sums[price // SIZE] = sums.get(price // SIZE, 0) + size
        return sums


@settings(max_examples=150, deadline=None)
@given(LEVELS, LEVELS, st.lists(st.tuples(LEVELS, LEVELS, st.booleans()), max_size=8))
def test_a_book_fed_deltas_equals_a_dict_of_decimals_whenever_it_is_looked_at(bids, asks, changes):
    book, plain_bids, plain_asks = Book(SIZE), Plain(), Plain()
    book.snapshot(snapshot(bids, asks))
    plain_bids.take(bids)
    plain_asks.take(asks)
    for more_bids, more_asks, look in changes:
        book.delta(delta(more_bids, more_asks))
        plain_bids.take(more_bids)
        plain_asks.take(more_asks)
        if look:
            book.flush()
    book.flush()
    assert book.bids.top(5) == plain_bids.top(5, True)
    assert book.asks.top(10**6) == plain_asks.top(10**6, False)
    assert book.bids.buckets == plain_bids.buckets()
    assert book.asks.buckets == plain_asks.buckets()
    every = book.bids.top(10**6)
    assert sum(book.bids.buckets.values()) == sum(level.size for level in every), "buckets add up to the book"
    best_bid, best_ask = plain_bids.top(1, True), plain_asks.top(1, False)
    crossed = bool(best_bid and best_ask) and best_bid[0].price >= best_ask[0].price
    assert book.crossed() == crossed


@settings(max_examples=60, deadline=None)
@given(LEVELS, LEVELS, LEVELS, st.booleans())
def test_a_book_saved_and_loaded_is_the_same_and_saves_the_same_bytes(bids, asks, more, limited):
    book = Book(SIZE)
    book.snapshot(snapshot(bids, asks, limited))
    book.delta(delta(more, more))
    packed = msgspec.msgpack.encode(book.save())
    other = Book(SIZE)
    other.load(msgspec.msgpack.decode(packed, type=BookState))
    assert msgspec.msgpack.encode(other.save()) == packed
    for one, two in ((book.bids, other.bids), (book.asks, other.asks)):
        assert one.best_keys(10**6) == two.best_keys(10**6)
        assert (one.sizes, one.buckets, one.edge, one.far) == (two.sizes, two.buckets, two.edge, two.far)
    assert (book.reason, book.ranges, book.coverage()) == (other.reason, other.ranges, other.coverage())


def test_books_that_came_about_differently_save_the_same_bytes():
    first, second = Book(SIZE), Book(SIZE)
    first.snapshot(snapshot([("1", "1"), ("2", "2")], []))
    second.snapshot(snapshot([("2", "9")], []))
    second.delta(delta([("1", "1"), ("2", "2")], [], 1))
    second.time_us = first.time_us
    assert msgspec.msgpack.encode(first.save()) == msgspec.msgpack.encode(second.save())


def test_prices_that_come_and_go_leave_no_trace():
    """More of them than the book keeps places for."""
    book, plain = Book(SIZE), Plain()
    book.snapshot(snapshot([("1", "1")], []))
    plain.take([("1", "1")])
    for number in range(900):
        changes = [(str(100 + number), "1"), (str(100 + number - number % 7), "0")]
        book.delta(delta(changes, []))
        plain.take(changes)
        book.flush()
        assert book.bids.top(3) == plain.top(3, True)
        assert book.bids.best() == plain.top(1, True)[0].price
    assert book.bids.top(10**6) == plain.top(10**6, True)


def test_several_changes_of_one_price_in_one_message_count_in_their_order():
    book = Book(SIZE)
    book.snapshot(snapshot([("100", "1")], []))
    book.delta(delta([("100", "0"), ("100", "7"), ("101", "1"), ("101", "0")], []))
    book.flush()
    assert book.bids.top(9) == levels(("100", "7"))


def test_removing_what_is_not_there_is_no_error():
    book = Book(SIZE)
    book.snapshot(snapshot([("100", "1")], []))
    book.delta(delta([("55", "0.00000000")], [("60", "0")]))
    book.flush()
    assert (book.bids.top(9), book.asks.top(9)) == (levels(("100", "1")), [])


def test_a_limited_book_states_nothing_beyond_its_edges():
    book = Book(SIZE)
    bids, asks = [("99", "1"), ("95", "2"), ("85", "3")], [("101", "1"), ("109", "2"), ("125", "3")]
    book.snapshot(snapshot(bids, asks, limited=True))
    book.delta(delta([("70", "5"), ("84.99", "5")], [("130", "5")]))
    book.flush()
    assert book.coverage() == (units("85"), units("125"))
    assert book.bids.top(9) == levels(*bids)
    assert book.asks.top(9) == levels(*asks)
    # 80..90 and 120..130 are covered in part only.
    assert book.bids.top_buckets(50) == [Bucket(units("90"), units("3"))]
    assert book.asks.top_buckets(50) == [Bucket(units("100"), units("3"))]


def test_a_bucket_that_ends_exactly_at_the_edge_is_covered():
    book = Book(SIZE)
    book.snapshot(snapshot([("99", "1"), ("80", "2")], [("101", "1"), ("119.99999999", "2")], limited=True))
    assert [bucket.price for bucket in book.bids.top_buckets(9)] == [units("90"), units("80")]
    assert [bucket.price for bucket in book.asks.top_buckets(9)] == [units("100"), units("110")]


def test_an_unlimited_book_knows_all():
    book = Book(SIZE)
    book.snapshot(snapshot([("99", "1"), ("5", "2")], [("101", "1")]))
    assert book.coverage() == (None, None)
    assert book.bids.top_buckets(10) == [Bucket(units("90"), units("1")), Bucket(0, units("2"))]
    assert book.bids.top_buckets(9) == [Bucket(units("90"), units("1"))], (
        "nine contiguous ones: 90 down to 10"
    )


def test_a_best_price_beyond_the_other_edge_leaves_nothing_covered():
    """Else the bids inside the range, which are not shown, would be taken for zero."""
    book = Book(SIZE)
    book.snapshot(snapshot([("99", "1"), ("85", "2")], [("101", "1"), ("109", "2")], limited=True))
    book.delta(delta([("115", "1")], [("101", "0"), ("109", "0"), ("116", "4")]))
    book.flush()
    assert (book.bids.top(9), book.asks.top(9)) == ([], [])
    assert book.coverage() == (units("109"), units("109"))
    assert book.near_edge()


def test_a_side_eaten_up_to_its_edge_is_truly_empty_inside_the_range():
    book = Book(SIZE)
    book.snapshot(snapshot([("99", "1"), ("85", "2")], [("101", "1"), ("109", "2")], limited=True))
    book.delta(delta([("99", "0"), ("85", "0"), ("60", "1")], []))
    book.flush()
    assert book.bids.top(9) == []
    assert book.coverage() == (units("85"), units("109"))


@pytest.mark.parametrize(("best", "near"), [("100", False), ("84.01", False), ("83.99", True), ("79", True)])
def test_the_last_fifth_of_the_covered_range_is_near_the_edge(best, near):
    """Range 100 down to 80: a fifth of it is 4."""
    book = Book(SIZE)
    book.snapshot(snapshot([("100", "1"), ("80", "1")], [("101", "1"), ("200", "1")], limited=True))
    book.delta(delta([("100", "0"), (best, "1")], []))
    if best == "79":
        book.delta(delta([("80", "0")], []))
    book.flush()
    assert book.near_edge() == near


@pytest.mark.parametrize(("reason", "healed"), [("producer_lost", True), ("stale", True), ("crossed", False),
                                                ("sequence_gap", False), ("not_listed", False)])  # fmt: skip
def test_a_delta_ends_only_silence(reason, healed):
    book = Book(SIZE)
    book.snapshot(snapshot([("100", "1")], []))
    book.reason = reason
    book.delta(delta([("100", "2")], []))
    assert book.reason == (None if healed else reason)
    book.snapshot(snapshot([("100", "1")], []))
    assert book.reason is None


def test_equal_best_prices_are_crossed():
    book = Book(SIZE)
    book.snapshot(snapshot([("100", "1")], [("100.0", "1")]))
    assert book.crossed()


def test_a_window_that_was_full_has_edges_and_they_move_along():
    book = Book(SIZE)
    book.snapshot(Snapshot("BTCUSDT", [("99", "1"), ("85", "2")], [("101", "1")], None, None, depth=2))
    assert book.coverage() == (units("85"), None)
    book.delta(delta([("98", "1")], [("125", "3")]))
    book.flush()
    assert book.coverage() == (units("98"), units("125"))
    assert book.bids.top(9) == levels(("99", "1"), ("98", "1"))
    book.delta(delta([("99", "0")], []))
    book.flush()
    assert book.coverage() == (units("98"), units("125")), "what came into the window for it is not told yet"
    assert not book.near_edge()


def test_a_window_becomes_an_unlimited_book_when_the_snapshot_says_so():
    book = Book(SIZE)
    book.snapshot(Snapshot("BTCUSDT", [("99", "1")], [("101", "1")], None, None, depth=1))
    book.snapshot(snapshot([("99", "1"), ("98", "1")], [("101", "1")]))
    book.delta(delta([("97", "1")], []))
    book.flush()
    assert book.coverage() == (None, None)
    assert book.bids.top(9) == levels(("99", "1"), ("98", "1"), ("97", "1"))
