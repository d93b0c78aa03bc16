"""Heatmaps and consolidated books: arithmetic by hand, and properties over seeded books."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.book import Book
from COBY.exchanges.base import Snapshot
from COBY.merging import cells_imbalance, consolidated, heatmap, merge, split
from COBY.records import Bucket, Cell, Included, Level, MergedLevel, Missing
from COBY.ticks import blind_tick, book_tick

U = 10**8
T = 1_700_000_000_500_000
PRICE = st.integers(1, 40_000)
SIDES = st.tuples(st.lists(st.tuples(PRICE, st.integers(1, 500)), max_size=30), st.booleans())
BUCKETS = st.sampled_from([U // 100, U, 10 * U, 250 * U // 100])


def tick(exchange, bids, asks, size=10 * U, depth=3, limited=False):
    """bids, asks: (price, size) in whole numbers of 0.01."""
    book = Book(size)
    sides = [[(f"{price / 100:.2f}", str(amount)) for price, amount in side] for side in (bids, asks)]
    book.snapshot(Snapshot("BTCUSDT", *sides, 1, None, limited, limited))
    return book_tick("BTCUSDT", exchange, T, depth, size, book, "c1", [])


def blind(exchange, reason="disconnected"):
    return blind_tick("BTCUSDT", exchange, T, 10 * U, reason, [])


A = tick("a", [(9900, 1), (9500, 3), (7500, 7)], [(10100, 2), (12999, 4)])
B = tick("b", [(10050, 5), (8100, 1)], [(10200, 1), (13000, 9)])


def test_a_heatmap_by_hand():
    """Best bid 100.50 (bucket 100), so 100, 90, 80; best ask 101 (bucket 100), so 100, 110, 120."""
    frame = heatmap("BTCUSDT", T, 10 * U, 3, {"b": B, "a": A, "c": blind("c"), "d": None})
    assert frame.data == [
        Cell(100 * U, 5 * U, U, "bid", 1),
        Cell(90 * U, 4 * U, 80_000_000, "bid", 1),
        Cell(80 * U, 1 * U, 20_000_000, "bid", 1),
        Cell(100 * U, 3 * U, 60_000_000, "ask", 2),
        Cell(120 * U, 4 * U, 80_000_000, "ask", 1),
    ]
    assert (frame.covered_low, frame.covered_high) == (80 * U, 130 * U)
    assert frame.exchanges == [Included("a", None, None), Included("b", None, None)]
    assert frame.missing == [Missing("c", "disconnected"), Missing("d", "no_tick")]
    # (5 + 4 + 1 - 3 - 4) / 17
    assert cells_imbalance(frame.data) == round(Fraction(3 * U, 17))


def test_a_consolidated_book_by_hand():
    merged = consolidated("BTCUSDT", T, {"a": A, "b": tick("b", [(9900, 5)], [(10100, 1), (10200, 1)])}, ())
    assert merged.bids == [
        MergedLevel(99 * U, 6 * U, 2),
        MergedLevel(95 * U, 3 * U, 1),
        MergedLevel(75 * U, 7 * U, 1),
    ]
    assert [level.price for level in merged.asks] == [101 * U, 102 * U, 12999 * U // 100]
    assert (merged.mid_price, merged.spread) == (100 * U, 2 * U)
    assert (merged.top, merged.depth5) == (round(Fraction(3 * U, 9)), round(Fraction(8 * U, 24)))
    assert (merged.bucketed, merged.exchanges, merged.missing) == (None, ["a", "b"], [])


def test_exchanges_that_cross_each_other_show_a_negative_spread():
    merged = consolidated("BTCUSDT", T, {"a": A, "b": tick("b", [(10300, 1)], [(10400, 1)])}, ())
    assert merged.spread == -2 * U


def test_nobody_live_states_nothing():
    ticks = {"a": blind("a", "stale"), "b": None}
    frame, merged = heatmap("BTCUSDT", T, U, 5, ticks), consolidated("BTCUSDT", T, ticks, ())
    assert (frame.data, frame.covered_low, frame.covered_high, frame.exchanges) == ([], None, None, [])
    assert frame.missing == merged.missing == [Missing("a", "stale"), Missing("b", "no_tick")]
    assert (merged.bids, merged.asks, merged.mid_price, merged.spread, merged.top) == (
        [],
        [],
        None,
        None,
        None,
    )


def test_what_one_exchange_does_not_know_is_not_covered_by_the_sum():
    """b knows 96.05 to 104.99 only: whole buckets of 1 in it are 97 … 104 (its highest price is 104.99)."""
    full = tick("a", [(9900, 1), (9000, 1)], [(10100, 1), (11000, 1)], U, 50)
    cut = tick("b", [(9950, 1), (9605, 1)], [(10100, 1), (10499, 1)], U, 50, limited=True)
    frame = heatmap("BTCUSDT", T, U, 50, {"a": full, "b": cut})
    assert (frame.covered_low, frame.covered_high) == (97 * U, 104 * U)
    assert frame.exchanges[1] == Included("b", 9605 * U // 100, 10499 * U // 100)
    assert {cell.price for cell in frame.data if cell.exchange_count == 2} == {99 * U, 101 * U}


def test_one_empty_side_is_zero_and_its_range_unknown():
    frame = heatmap("BTCUSDT", T, 10 * U, 3, {"a": tick("a", [(9900, 1)], [])})
    assert [cell.side for cell in frame.data] == ["bid"]
    assert (frame.covered_low, frame.covered_high) == (70 * U, None)


def test_a_bucket_without_volume_is_no_cell():
    odd = A.__class__(*[[Bucket(90 * U, 0)] if name == "bid_buckets" else [] if name == "ask_buckets"
                        else getattr(A, name) for name in A.__struct_fields__])  # fmt: skip
    assert heatmap("BTCUSDT", T, 10 * U, 3, {"a": odd}).data == []


def test_merging_the_best_fifty_of_each_is_exact():
    first = [Level(price, 1) for price in range(1000, 900, -1)]
    second = [Level(price, 2) for price in range(1000, 800, -2)]
    whole = merge([*first, *second], reverse=True)
    parts = merge([*first[:50], *second[:50]], reverse=True)
    assert whole == parts
    assert len(parts) == 50
    assert parts[0] == MergedLevel(1000, 3, 2)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.tuples(SIDES, SIDES), min_size=1), BUCKETS, st.integers(1, 60)
)
def test_properties_of_every_heatmap(books, size, depth):
    ticks = {
        name: tick(name, bids, asks, size, depth, limited=cut_bids or cut_asks)
        for name, ((bids, cut_bids), (asks, cut_asks)) in books.items()
    }
    frame = heatmap("BTCUSDT", T, size, depth, ticks)
    live, missing = split(ticks)
    assert (len(live), missing) == (len(books), [])
    assert all(0 <= cell.intensity <= U for cell in frame.data)
    assert not frame.data or max(cell.intensity for cell in frame.data) == U, (
        "a 1 in each frame that is not empty"
    )
    for side in ("bid", "ask"):
        cells = [cell for cell in frame.data if cell.side == side]
        best = [getattr(one, f"{side}s")[0].price for one in live if getattr(one, f"{side}s")]
        if not best:
            assert cells == []
            continue
        first = (max(best) if side == "bid" else min(best)) // size * size
        away = [(first - cell.price if side == "bid" else cell.price - first) // size for cell in cells]
        assert away == sorted(set(away)), "from the best bucket outwards, none twice"
        assert not away or away[-1] < depth, "HEATMAP_DEPTH contiguous buckets"
        assert side == "ask" or all(steps >= 0 for steps in away)
        for cell in cells:
            volumes = [
                bucket.volume
                for one in live
                for bucket in getattr(one, f"{side}_buckets")
                if bucket.price == cell.price
            ]
            assert (cell.volume, cell.exchange_count) == (sum(volumes), len(volumes))
            assert cell.price % size == 0


@settings(max_examples=100, deadline=None)
@given(SIDES, SIDES, BUCKETS)
def test_buckets_of_a_tick_add_up_to_the_levels_inside_the_covered_range(bid_side, ask_side, size):
    (bids, limited), (asks, _) = bid_side, ask_side
    bids, asks = dict(bids), [(price + 40_000, amount) for price, amount in asks]
    one = tick("a", list(bids.items()), asks, size, 5_000, limited)
    lowest = (max(bids, default=0) * U // 100 // size - 4_999) * size
    whole = {}
    for price, amount in bids.items():
        bucket = price * U // 100 // size * size
        if bucket >= max(lowest, one.covered_low or 0):
            whole[bucket] = whole.get(bucket, 0) + amount * U
    assert {bucket.price: bucket.volume for bucket in one.bid_buckets} == whole
