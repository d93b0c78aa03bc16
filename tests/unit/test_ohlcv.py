"""Candles from hand-made ticks."""

from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.ohlcv import TIMEFRAMES_US, Candles
from COBY.records import Bar

S = 1_000_000
GRID = S // 2
DAY = 1_699_920_000 * S  # midnight, so that every timeframe begins here


def bar(at, price=100, volume=10, count=1, offset=1):
    second = at // S * S
    return Bar(second, price, price, price, price, volume, count, at, offset, at, offset)


def run(candles, until, bars=None, since=0, live=True):
    """Ticks on the grid after DAY + since up to DAY + until (seconds); bars: T in seconds -> [(exchange, bar)]."""
    found = []
    for number in range(int(since * 2) + 1, int(until * 2) + 1):
        found += candles.tick(DAY + number * GRID, (bars or {}).get(number / 2, []), live)
    return found


def started():
    """Candles that saw the tick at DAY itself, so that windows from there on can be complete."""
    candles = Candles("BTCUSDT", GRID)
    assert candles.tick(DAY, [], True) == []
    return candles


def of(found, timeframe):
    return [candle for candle in found if candle.timeframe == timeframe]


def test_a_candle_comes_two_seconds_after_its_end_and_not_before():
    candles, bars = started(), {0.5: [("a", bar(DAY + 100))]}
    assert run(candles, 2.5, bars) == []
    (candle,) = run(candles, 3, since=2.5)
    assert (candle.timeframe, candle.timestamp, candle.received_at) == ("1s", DAY, DAY + 3 * S)
    assert (candle.open, candle.high, candle.low, candle.close) == (100, 100, 100, 100)
    assert (candle.volume, candle.trade_count, candle.revision, candle.complete) == (10, 1, 0, True)
    assert of(run(candles, 61.5, since=3), "1m") == []
    (minute,) = of(run(candles, 62, since=61.5), "1m")
    assert (minute.volume, minute.complete) == (10, True)


def test_a_later_tick_that_brings_trades_makes_a_revision():
    candles = started()
    bars = {0.5: [("a", bar(DAY + 100))], 5.0: [("a", bar(DAY + 200, price=90, volume=1))]}
    found = of(run(candles, 10, bars), "1s")
    assert [(one.revision, one.volume, one.low, one.close, one.received_at) for one in found] == [
        (0, 10, 100, 100, DAY + 3 * S),
        (1, 11, 90, 90, DAY + 5 * S),
    ]


def test_trades_that_come_before_the_end_plus_two_seconds_are_no_revision():
    candles = started()
    bars = {0.5: [("a", bar(DAY + 100))], 2.5: [("b", bar(DAY + 200))]}
    assert [(one.revision, one.trade_count) for one in of(run(candles, 10, bars), "1s")] == [(0, 2)]


def test_no_trades_no_candle():
    assert run(started(), 200) == []


def test_a_bar_older_than_two_minutes_counts_in_all_timeframes_to_the_last_second_before_its_tick():
    candles, late = started(), DAY + 3 * S
    inside = run(candles, 130, {124.0: [("a", bar(late))]})
    assert [(one.timestamp, one.revision) for one in of(inside, "1s")] == [(late, 0)], (
        "ended 120 s before: its own"
    )
    candles = started()
    found = run(candles, 190, {124.5: [("a", bar(late))]})
    assert [(one.timestamp, one.received_at) for one in of(found, "1s")] == [(DAY + 123 * S, DAY + 126 * S)]
    assert [(one.timestamp, one.trade_count) for one in of(found, "1m")] == [(DAY + 120 * S, 1)]


def test_a_candle_is_forgotten_two_minutes_after_its_end():
    candles = started()
    run(candles, 300, {0.5: [("a", bar(DAY + 100))]})
    assert min(candles.state.windows["1s"]) == DAY + 179 * S
    assert min(candles.state.windows["1m"]) == DAY + 120 * S
    assert min(candles.state.windows["1d"]) == DAY


def test_open_and_close_go_by_candle_time_then_exchange_then_offset():
    candles = started()
    bars = {
        0.5: [("b", bar(DAY + 100, price=1, offset=1)), ("a", bar(DAY + 300, price=2, offset=9))],
        1.0: [("a", bar(DAY + 100, price=3, offset=5)), ("b", bar(DAY + 300, price=4, offset=1))],
        1.5: [("a", bar(DAY + 100, price=5, offset=4)), ("b", bar(DAY + 300, price=6, offset=2))],
    }
    (candle,) = of(run(candles, 3, bars), "1s")
    assert (candle.open, candle.close) == (5, 6)
    assert (candle.high, candle.low) == (6, 1)


def test_a_blind_tick_or_a_missing_one_makes_its_candles_incomplete():
    trades = {
        0.5: [("a", bar(DAY + 100))],
        1.5: [("a", bar(DAY + S + 100))],
        2.5: [("a", bar(DAY + 2 * S + 100))],
    }
    candles = started()
    found = run(candles, 1.5, trades)
    found += run(candles, 2, since=1.5, live=False)
    found += run(candles, 62, trades, since=2)
    assert {one.timestamp - DAY: one.complete for one in of(found, "1s")} == {0: True, S: False, 2 * S: True}
    assert [one.complete for one in of(found, "1m")] == [False]


def test_ticks_jumped_over_make_every_candle_incomplete_that_lacks_some():
    candles = started()
    found = run(candles, 10, {0.5: [("a", bar(DAY + 100))], 10.0: [("a", bar(DAY + 9 * S))]})
    found += candles.tick(DAY + 75 * S, [], True)
    found += run(candles, 700, {130.0: [("a", bar(DAY + 129 * S))]}, since=75)
    assert [one.complete for one in of(found, "1s")] == [True, True, True], (
        "the ticks of these seconds all came"
    )
    assert [(one.timestamp - DAY, one.complete) for one in of(found, "1m")] == [(0, False), (120 * S, True)]
    assert [one.complete for one in of(found, "5m")] == [False]


def test_a_trade_ahead_of_stream_time_does_not_make_its_candle_incomplete():
    candles = started()
    found = run(candles, 10, {1.0: [("a", bar(DAY + 2 * S + 10))]})
    assert [(one.timestamp - DAY, one.complete) for one in found] == [(2 * S, True)]


def test_the_first_candles_ever_are_incomplete():
    candles = Candles("BTCUSDT", GRID)
    bars = {5.5: [("a", bar(DAY + 5 * S))], 6.5: [("a", bar(DAY + 6 * S))]}
    found = run(candles, 63, bars, since=5)
    assert [one.complete for one in of(found, "1s")] == [False, True]
    assert [one.complete for one in of(found, "1m")] == [False]


BARS = st.lists(
    st.tuples(
        st.integers(1, 900),
        st.integers(-90, 10),
        st.sampled_from("abc"),
        st.integers(1, 99),
        st.integers(1, 9),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(BARS, st.sets(st.integers(1, 900), max_size=3))
def test_every_trade_is_in_exactly_one_candle_of_each_timeframe(rows, missing):
    """Also late ones, early ones, and after ticks that never came; judged by the last revision of each candle."""
    candles = Candles("BTCUSDT", S)
    last, previous = {}, {}
    for number in range(901 + 86_500):
        if number > 905 and number % 300:
            continue
        if number in missing:
            continue
        bars = [
            (exchange, bar(DAY + (number + shift) * S, price, volume, offset=at))
            for at, (tick, shift, exchange, price, volume) in enumerate(rows)
            if tick == number
        ]
        for candle in candles.tick(DAY + number * S, bars, True):
            key = (candle.timeframe, candle.timestamp)
            assert candle.revision == previous.get(key, -1) + 1
            previous[key], last[key] = candle.revision, candle
    taken = [row for row in rows if row[0] not in missing]
    for timeframe, length in TIMEFRAMES_US.items():
        mine = [candle for (name, _), candle in last.items() if name == timeframe]
        assert sum(candle.volume for candle in mine) == sum(row[4] for row in taken)
        assert sum(candle.trade_count for candle in mine) == len(taken)
        assert all(candle.timestamp % length == 0 for candle in mine)
        assert all(candle.low <= min(candle.open, candle.close) for candle in mine)
        assert all(candle.high >= max(candle.open, candle.close) for candle in mine)
