"""The seeded market, checked by books of the test's own."""

import itertools
import statistics
from collections import Counter

import pytest

from simulator.exchanges.binance_wire import BinanceWire
from simulator.exchanges.kraken_wire import KrakenWire
from simulator.exchanges.okx_wire import OkxWire
from simulator.market import Depth, Listing, Market, MarketBook, Trade
from simulator.path import Bursts, Path
from simulator.wire import Wire

BOTH = ("BTCUSDT", "ETHUSDT")
WIRES: tuple[Wire, ...] = (BinanceWire(), KrakenWire(), OkxWire())


def market_of(
    seed: int, symbols: tuple[str, ...], rate: int, seconds: int | None = None, wire: Wire = WIRES[0]
) -> Market:
    return Market(seed, wire.name, {symbol: wire.listing(symbol) for symbol in symbols}, rate, seconds)


def events(market: Market) -> list[Depth | Trade]:
    taken = []
    while market.peek_us() is not None:
        taken.append(market.take())
    return taken


def apply(book: tuple[dict[int, int], dict[int, int]], event: Depth) -> None:
    for side, changes in zip(book, (event.bids, event.asks), strict=True):
        for price, size in changes:
            if size:
                side[price] = size
            else:
                side.pop(price, None)


def as_dicts(book: MarketBook) -> tuple[dict[int, int], dict[int, int]]:
    return dict(book.bids), dict(book.asks)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_the_same_seed_gives_the_same_events_and_another_seed_others(wire: Wire) -> None:
    first, again, other = (events(market_of(seed, BOTH, 100, 5, wire)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_another_exchange_has_another_market_though_it_trades_alike() -> None:
    listings = {"BTCUSDT": Listing(price_decimals=2, levels=2_000)}
    one, other = (events(Market(7, name, listings, 100, 5)) for name in ("binance", "okx"))
    assert [event.time_us for event in one] == [event.time_us for event in other]
    assert {event.id for event in one if isinstance(event, Trade)}.isdisjoint(
        event.id for event in other if isinstance(event, Trade)
    )


# --- events -----------------------------------------------------------------------------------------------------


def test_a_symbol_does_not_depend_on_its_neighbours() -> None:
    """At the same rate a symbol, and at the same times: its price follows a path in time."""
    alone = [one for one in events(market_of(3, ("ETHUSDT",), 50, 4)) if isinstance(one, Trade)]
    beside = [one for one in events(market_of(3, BOTH[::-1], 100, 4)) if isinstance(one, Trade)]
    beside = [one for one in beside if one.symbol == "ETHUSDT"]
    assert [(one.id, one.price, one.size) for one in alone] == [
        (one.id, one.price, one.size) for one in beside
    ]


@pytest.mark.parametrize(("rate", "depth"), [(500, 10), (5000, 10), (40, 10), (10, 2.5), (21, 5.25)])
def test_the_frame_rate_is_what_was_asked_with_ten_depth_updates_a_second_at_most(
    rate: int, depth: float
) -> None:
    market = market_of(1, BOTH, rate, 8)
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


def test_depth_updates_come_each_100_ms_in_an_even_second() -> None:
    bursts = Bursts(1)
    times = [one.time_us for one in events(market_of(1, BOTH, 500, 20)) if isinstance(one, Depth)]
    by_second: dict[int, list[int]] = {}
    for time_us in times[0::2]:
        by_second.setdefault(time_us // 1_000_000, []).append(time_us)
    even = [found for second, found in by_second.items() if bursts.begin_us(second) is None]
    assert len(even) > 10
    for found in even:
        assert {after - before for before, after in itertools.pairwise(found)} == {100_000}


def test_update_ids_are_contiguous_and_trade_ids_rise_by_one() -> None:
    taken = events(market_of(1, BOTH, 500, 10))
    for symbol in BOTH:
        depths = [one for one in taken if isinstance(one, Depth) and one.symbol == symbol]
        trades = [one for one in taken if isinstance(one, Trade) and one.symbol == symbol]
        assert all(after.first_id == before.last_id + 1 for before, after in itertools.pairwise(depths))
        assert all(one.first_id <= one.last_id for one in depths)
        assert all(after.id == before.id + 1 for before, after in itertools.pairwise(trades))
        assert {one.taker_sells for one in trades} == {True, False}
        assert all(one.size > 0 for one in trades)


def test_the_start_is_a_full_book_within_two_percent() -> None:
    market = market_of(1, (*BOTH, "SOLUSDT"), 500)
    for symbol in market.symbols:
        book = market.live(symbol)
        middle = (book.bids[0][0] + book.asks[0][0]) / 2
        for side in (book.bids, book.asks):
            assert 1_000 <= len(side) <= 6_000
            assert abs(side[-1][0] / middle - 1) <= 0.0201
            assert abs(side[-1][0] / middle - 1) > 0.019


def test_the_book_is_never_crossed_and_equals_the_sum_of_its_updates() -> None:
    """Right after an update nothing is untold."""
    market = market_of(2, BOTH, 500, 60)
    books = {symbol: as_dicts(market.live(symbol)) for symbol in BOTH}
    updates = 0
    while market.peek_us() is not None:
        event = market.take()
        if isinstance(event, Depth):
            apply(books[event.symbol], event)
            updates += 1
            live = market.live(event.symbol)
            assert live.bids[0] < live.asks[0]
            assert live.sequence == event.last_id
            if updates % 10 == 0:
                assert books[event.symbol] == as_dicts(live)
    assert updates == 1200


def test_a_snapshot_amid_an_update_joins_it() -> None:
    """Drop the updates up to the snapshot; the next one must contain the id after it."""
    market = market_of(2, ("ETHUSDT",), 500, 4)
    for _ in range(333):
        market.take()
    snapshot = market.live("ETHUSDT")
    book = as_dicts(snapshot)
    first = None
    while market.peek_us() is not None:
        event = market.take()
        if isinstance(event, Depth) and event.last_id > snapshot.sequence:
            first = first or event
            apply(book, event)
            assert book == as_dicts(market.live("ETHUSDT"))
    assert first is not None
    assert first.first_id <= snapshot.sequence, "it should lie amid the update, or this test shows nothing"


def test_takers_buy_at_the_ask_and_sell_at_the_bid() -> None:
    market = market_of(5, ("ETHUSDT",), 300, 2)
    while market.peek_us() is not None:
        before = market.live("ETHUSDT")
        event = market.take()
        if isinstance(event, Trade):
            price, size = (before.bids if event.taker_sells else before.asks)[0]
            assert event.price == price
            assert event.size <= size


def test_updates_hold_what_a_reader_must_bear() -> None:
    """10 to some 40 changes, deletions of prices never held, two changes to one price."""
    market = market_of(1, ("BTCUSDT",), 100, 60)
    book = as_dicts(market.live("BTCUSDT"))
    repeated = unknown = 0
    for event in events(market):
        if not isinstance(event, Depth):
            continue
        assert 10 <= len(event.bids) + len(event.asks) <= 100
        for side, changes in zip(book, (event.bids, event.asks), strict=True):
            repeated += len(changes) - len({price for price, _ in changes})
            unknown += sum(1 for price, size in changes if not size and price not in side)
        apply(book, event)
    assert repeated > 50
    assert unknown > 50


def test_sizes_have_five_to_eight_decimals() -> None:
    trades = [one for one in events(market_of(1, BOTH, 1000, 10)) if isinstance(one, Trade)]
    digits = Counter(8 - len(str(one.size)) + len(str(one.size).rstrip("0")) for one in trades)
    assert {5, 6, 7, 8} <= set(digits)


def test_the_price_stays_near_its_start_over_an_hour() -> None:
    market = market_of(1, ("ETHUSDT",), 10, 3600)
    for event in events(market):
        if isinstance(event, Trade):
            assert abs(event.price - 300_000) < 300_000 * 0.012
    assert 900 <= len(market.live("ETHUSDT").bids) <= 6_000


# --- the path and the bursts --------------------------------------------------------------------------------------


def test_the_path_is_a_function_of_time_alone() -> None:
    by_steps, by_leaps = Path(4, "BTCUSDT"), Path(4, "BTCUSDT")
    prices = {time_us: by_steps.at(time_us) for time_us in range(0, 60_000_000, 70_000)}
    assert all(by_leaps.at(time_us) == prices[time_us] for time_us in list(prices)[::37])
    assert len(set(prices.values())) > 100
    assert Path(5, "BTCUSDT").at(50_000_000) != Path(4, "BTCUSDT").at(50_000_000)


def test_the_path_starts_at_a_known_price_and_stays_within_a_percent() -> None:
    path = Path(1, "BTCUSDT")
    prices = [path.at(second * 1_000_000) / 1e8 for second in range(3 * 3600)]
    assert prices[0] == 60_000
    assert 59_380 < min(prices) < max(prices) < 60_620
    assert max(prices) - min(prices) > 100


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("symbol", BOTH)
def test_the_exchanges_stay_within_some_basis_points_of_each_other(seed: int, symbol: str) -> None:
    """Their middle prices each second of a minute; and they move together, not merely little."""
    markets = [market_of(seed, (symbol,), 100, 120, wire) for wire in WIRES]
    ticks = [10 ** wire.listing(symbol).price_decimals for wire in WIRES]
    apart, middles = [], []
    for second in range(1, 121):
        now = []
        for market, one in zip(markets, ticks, strict=True):
            while (due := market.peek_us()) is not None and due < second * 1_000_000:
                market.take()
            book = market.live(symbol)
            now.append((book.bids[0][0] + book.asks[0][0]) / 2 / one)
        apart.append((max(now) - min(now)) / now[0] * 10_000)
        middles.append(now)
    assert max(apart) < 3
    assert statistics.mean(apart) < 0.7
    first, *others = zip(*middles, strict=True)
    for other in others:
        assert statistics.correlation(first, other) > 0.9


def test_a_second_has_its_frames_also_in_a_burst_where_most_fall_into_a_fifth_of_it() -> None:
    bursts, rate = Bursts(1), 400
    seconds = [second for second in range(300) if bursts.begin_us(second) is not None]
    assert len(seconds) > 5
    for second in range(300):
        begin = bursts.begin_us(second)
        times = [bursts.frame_us(number, rate) for number in range(second * rate, (second + 1) * rate)]
        assert times == sorted(times)
        assert second * 1_000_000 <= times[0] <= times[-1] < (second + 1) * 1_000_000
        if begin is None:
            assert times == [second * 1_000_000 + place * 2_500 for place in range(rate)]
        else:
            within = [time_us for time_us in times if 0 <= time_us - second * 1_000_000 - begin <= 200_000]
            assert 298 <= len(within) <= 303


def test_one_second_in_twelve_is_a_burst_and_its_steps_are_larger() -> None:
    bursts, path = Bursts(3), Path(3, "ETHUSDT")
    steps: dict[bool, list[int]] = {True: [], False: []}
    before = path.at(0)
    for number in range(1, 24_000):
        price = path.at(number * 100_000)
        steps[bursts.begin_us(number // 10) is not None].append(abs(price - before))
        before = price
    assert 130 < len(steps[True]) / 10 < 270
    assert 4 < statistics.mean(steps[True]) / statistics.mean(steps[False]) < 6
