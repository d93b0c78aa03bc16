"""The seeded market, checked by books of the test's own."""

import itertools
from collections import Counter

import pytest

from simulator.exchanges.binance_wire import BinanceWire
from simulator.market import Depth, Market, MarketBook, Trade

BOTH = ("BTCUSDT", "ETHUSDT")


def events(market: Market) -> list[Depth | Trade]:
    taken = []
    while market.peek_us() is not None:
        taken.append(market.take())
    return taken


def text_of(seed: int, symbols: tuple[str, ...] = BOTH) -> list[str]:
    wire = BinanceWire()
    taken = events(Market(seed, symbols, 100, 5))
    return [(wire.depth if isinstance(one, Depth) else wire.trade)(one, 0).text for one in taken]


def apply(book: tuple[dict[int, int], dict[int, int]], event: Depth) -> None:
    for side, changes in zip(book, (event.bids, event.asks), strict=True):
        for price, size in changes:
            if size:
                side[price] = size
            else:
                side.pop(price, None)


def as_dicts(book: MarketBook) -> tuple[dict[int, int], dict[int, int]]:
    return dict(book.bids), dict(book.asks)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert text_of(7) == text_of(7)


def test_another_seed_gives_another_market() -> None:
    assert text_of(7) != text_of(8)


def test_a_symbol_does_not_depend_on_its_neighbours() -> None:
    """At the same rate a symbol; only the times are another."""
    alone = [one for one in events(Market(3, ("ETHUSDT",), 50, 4)) if isinstance(one, Trade)]
    beside = [one for one in events(Market(3, BOTH, 100, 4)) if isinstance(one, Trade)]
    beside = [one for one in beside if one.symbol == "ETHUSDT"]
    assert [(one.id, one.price, one.size) for one in alone] == [
        (one.id, one.price, one.size) for one in beside
    ]


@pytest.mark.parametrize(("rate", "depth"), [(500, 10), (5000, 10), (40, 10), (10, 2.5), (21, 5.25)])
def test_the_frame_rate_is_what_was_asked_with_ten_depth_updates_a_second_at_most(
    rate: int, depth: float
) -> None:
    market = Market(1, BOTH, rate, 8)
    times = []
    kinds: Counter[tuple[str, bool]] = Counter()
    while (due := market.peek_us()) is not None:
        event = market.take()
        times.append(due)
        assert event.time_us == due
        kinds[event.symbol, isinstance(event, Depth)] += 1
    assert len(times) == rate * 8
    assert times == sorted(times)
    assert times[-1] < 8_000_000
    for symbol in BOTH:
        assert abs(kinds[symbol, True] - depth * 8) <= 1


def test_depth_updates_come_each_100_ms() -> None:
    times = [one.time_us for one in events(Market(1, BOTH, 500, 5)) if isinstance(one, Depth)]
    steps = {after - before for before, after in zip(times[0::2], times[2::2], strict=False)}
    assert steps == {100_000}


def test_update_ids_are_contiguous_and_trade_ids_rise_by_one() -> None:
    taken = events(Market(1, BOTH, 500, 10))
    for symbol in BOTH:
        depths = [one for one in taken if isinstance(one, Depth) and one.symbol == symbol]
        trades = [one for one in taken if isinstance(one, Trade) and one.symbol == symbol]
        assert all(after.first_id == before.last_id + 1 for before, after in itertools.pairwise(depths))
        assert all(one.first_id <= one.last_id for one in depths)
        assert all(after.id == before.id + 1 for before, after in itertools.pairwise(trades))
        assert {one.taker_sells for one in trades} == {True, False}
        assert all(one.size > 0 for one in trades)


def test_the_start_is_a_full_book_within_two_percent() -> None:
    market = Market(1, (*BOTH, "SOLUSDT"), 500)
    for symbol in market.symbols:
        book = market.told(symbol)
        middle = (book.bids[0][0] + book.asks[0][0]) / 2
        for side in (book.bids, book.asks):
            assert 1_000 <= len(side) <= 6_000
            assert abs(side[-1][0] / middle - 1) <= 0.0201
            assert abs(side[-1][0] / middle - 1) > 0.019


def test_the_book_is_never_crossed_and_equals_the_sum_of_its_updates() -> None:
    market = Market(2, BOTH, 500, 60)
    books = {symbol: as_dicts(market.told(symbol)) for symbol in BOTH}
    for event in events(market):
        if isinstance(event, Depth):
            apply(books[event.symbol], event)
            bids, asks = books[event.symbol]
            assert max(bids) < min(asks)
    for symbol in BOTH:
        assert books[symbol] == as_dicts(market.told(symbol))


def test_a_snapshot_amid_an_update_joins_it() -> None:
    """Drop the updates up to the snapshot; the next one must contain the id after it."""
    market = Market(2, ("ETHUSDT",), 500, 4)
    for _ in range(333):
        market.take()
    snapshot = market.live("ETHUSDT")
    book = as_dicts(snapshot)
    kept = [one for one in events(market) if isinstance(one, Depth) and one.last_id > snapshot.sequence]
    assert kept[0].first_id <= snapshot.sequence, "it should lie amid the update, or this test shows nothing"
    for event in kept:
        apply(book, event)
    assert book == as_dicts(market.told("ETHUSDT"))


def test_takers_buy_at_the_ask_and_sell_at_the_bid() -> None:
    market = Market(5, ("ETHUSDT",), 300, 2)
    while market.peek_us() is not None:
        before = market.live("ETHUSDT")
        event = market.take()
        if isinstance(event, Trade):
            price, size = (before.bids if event.taker_sells else before.asks)[0]
            assert event.price == price
            assert event.size <= size


def test_updates_hold_what_a_reader_must_bear() -> None:
    """10 to some 40 changes, deletions of prices never held, two changes to one price."""
    market = Market(1, ("BTCUSDT",), 100, 60)
    book = as_dicts(market.told("BTCUSDT"))
    repeated = unknown = 0
    for event in events(market):
        if not isinstance(event, Depth):
            continue
        assert 10 <= len(event.bids) + len(event.asks) <= 60
        for side, changes in zip(book, (event.bids, event.asks), strict=True):
            repeated += len(changes) - len({price for price, _ in changes})
            unknown += sum(1 for price, size in changes if not size and price not in side)
        apply(book, event)
    assert repeated > 50
    assert unknown > 50


def test_sizes_have_five_to_eight_decimals() -> None:
    trades = [one for one in events(Market(1, BOTH, 1000, 10)) if isinstance(one, Trade)]
    digits = Counter(8 - len(str(one.size)) + len(str(one.size).rstrip("0")) for one in trades)
    assert {5, 6, 7, 8} <= set(digits)


def test_the_price_stays_near_its_start_over_an_hour() -> None:
    market = Market(1, ("ETHUSDT",), 10, 3600)
    for event in events(market):
        if isinstance(event, Trade):
            assert abs(event.price - 300_000) < 300_000 * 0.012
    assert 900 <= len(market.told("ETHUSDT").bids) <= 6_000
