"""Open candles at the beginning of a replay, by hand and against a naive sum of seconds."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.records import Candle
from replay.prelude import open_candles

SECOND = 1_000_000
DAY = 1_699_920_000 * SECOND  # 2023-11-14 00:00 UTC
LENGTHS = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400, "1d": 86_400}


def candle(timeframe, start, prices=(10, 10, 10, 10), volume=1, count=1, **more):
    """``start`` in seconds of the day; emitted two seconds after its end."""
    fields = {
        "symbol": "BTCUSDT",
        "timestamp": DAY + start * SECOND,
        "timeframe": timeframe,
        "revision": 0,
        "complete": True,
        "received_at": DAY + (start + LENGTHS[timeframe] + 2) * SECOND,
    }
    opened, high, low, closed = prices
    return Candle(
        open=opened, high=high, low=low, close=closed, volume=volume, trade_count=count, **fields | more
    )


def at(seconds):
    return DAY + round(seconds * SECOND)


def shown(candles):
    return {
        one.timeframe: (one.open, one.high, one.low, one.close, one.volume, one.trade_count)
        for one in candles
    }


def test_an_open_minute_is_the_sum_of_its_seconds():
    """By hand: first open, highest, lowest, last close, sums. The second before the minute is not in it."""
    made = open_candles(
        [
            candle("1s", 3_599, (9, 99, 1, 9), volume=1_000),
            candle("1s", 3_600, (10, 12, 9, 11), volume=3, count=2),
            candle("1s", 3_604, (11, 15, 10, 14), volume=4, count=5),
        ],
        at(3_610),
    )
    assert shown(made)["1m"] == (10, 15, 9, 14, 7, 7)
    minute = next(one for one in made if one.timeframe == "1m")
    assert (minute.timestamp, minute.revision, minute.complete) == (at(3_600), 0, False)
    assert minute.received_at == at(3_607)


def test_larger_pieces_stand_for_what_they_are_made_of():
    """At 05:01:30 the day is 4h + 1h + 1m + seconds; the smaller ones inside these are not counted again."""
    known = [
        candle("4h", 0, (100, 200, 50, 150), volume=1_000, count=100),
        candle("1h", 0, volume=7),
        candle("1h", 4 * 3_600, (150, 160, 140, 155), volume=100, count=10),
        candle("1m", 4 * 3_600, volume=7),
        candle("1m", 5 * 3_600, (155, 300, 155, 170), volume=10, count=1),
        candle("1s", 5 * 3_600 + 3, volume=7),
        candle("1s", 5 * 3_600 + 60, (170, 171, 20, 21), volume=1, count=1),
    ]
    assert shown(open_candles(known, at(5 * 3_600 + 90))) == {
        "1m": (170, 171, 20, 21, 1, 1),
        "5m": (155, 300, 20, 21, 11, 2),
        "15m": (155, 300, 20, 21, 11, 2),
        "1h": (155, 300, 20, 21, 11, 2),
        "4h": (150, 300, 20, 21, 111, 12),
        "1d": (100, 300, 20, 21, 1_111, 112),
    }


def test_a_larger_piece_that_is_not_known_yet_is_made_of_smaller_ones():
    """A second after the hour its candle is not emitted, but its minutes are, save the last: of that the seconds."""
    known = [
        candle("1m", 58 * 60, (1, 5, 1, 2), volume=2),
        candle("1s", 59 * 60 + 1, (2, 3, 2, 3), volume=3),
        candle("1m", 59 * 60, volume=50),  # known two seconds after the hour
        candle("1h", 0, volume=60),
    ]
    assert shown(open_candles(known, at(3_601))) == {"4h": (1, 5, 1, 3, 5, 2), "1d": (1, 5, 1, 3, 5, 2)}


def test_the_newest_revision_counts_and_what_is_told_later_does_not():
    first = candle("1s", 60, volume=1)
    second = candle("1s", 60, volume=2, revision=1, received_at=at(64.5))
    third = candle("1s", 60, volume=4, revision=2, received_at=at(66))
    assert shown(open_candles([second, first, third], at(66)))["1m"][4] == 2
    assert shown(open_candles([third, first, second], at(66.5)))["1m"][4] == 4


def test_where_nothing_was_traded_nothing_is_invented():
    assert open_candles([], at(100)) == []
    assert open_candles([candle("1s", 10)], at(60)) != []
    assert "1m" not in shown(open_candles([candle("1s", 10)], at(60)))
    whole_day = candle("1d", -86_400)
    assert open_candles([whole_day, candle("1s", -1)], at(5)) == []


def test_symbols_are_apart_and_in_order():
    known = [candle("1s", 60, symbol=name, volume=size) for name, size in (("ETHUSDT", 2), ("BTCUSDT", 1))]
    made = [(one.symbol, one.timeframe, one.volume) for one in open_candles(known, at(70))]
    frames = ["1m", "5m", "15m", "1h", "4h", "1d"]
    assert made == [("BTCUSDT", name, 1) for name in frames] + [("ETHUSDT", name, 2) for name in frames]


# --- against a sum of seconds ---------------------------------------------------------------------------------------


def summed(seconds, timeframe, start):
    """The candle of these seconds (second of the day -> candle) by plain sums, or None."""
    inside = [seconds[one] for one in sorted(seconds) if start <= one < start + LENGTHS[timeframe]]
    if not inside:
        return None
    prices = (
        inside[0].open,
        max(one.high for one in inside),
        min(one.low for one in inside),
        inside[-1].close,
    )
    return candle(
        timeframe, start, prices, sum(one.volume for one in inside), sum(one.trade_count for one in inside)
    )


PRICES = st.tuples(*[st.integers(1, 9)] * 4).map(lambda all_: (all_[0], max(all_), min(all_), all_[3]))
TRADED = st.dictionaries(
    st.one_of(st.integers(0, 86_399), st.integers(50_000, 50_500), st.sampled_from([50_399, 50_400, 50_401])),
    st.tuples(PRICES, st.integers(1, 10**12), st.integers(1, 1_000)),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(
    TRADED,
    st.one_of(st.integers(0, 172_800), st.integers(100_000, 101_000)),
    st.sets(st.integers(0, 400)),
    st.randoms(use_true_random=False),
)
def test_any_open_candle_is_the_sum_of_the_seconds_known_in_it(traded, halves, dropped, order):
    """Larger ones may be missing (dropped): their pieces stand for them."""
    seconds = {one: candle("1s", one, *what) for one, what in traded.items()}
    larger = [
        made
        for name in list(LENGTHS)[1:-1]
        for start in sorted({one // LENGTHS[name] * LENGTHS[name] for one in seconds})
        if (made := summed(seconds, name, start))
    ]
    known = [*seconds.values(), *[one for number, one in enumerate(larger) if number not in dropped]]
    order.shuffle(known)
    now = halves / 2
    told = {one: made for one, made in seconds.items() if one + 1 + 2 < now}
    expected = {}
    for name in list(LENGTHS)[1:]:
        start = int(now // LENGTHS[name] * LENGTHS[name])
        inside = {one: made for one, made in told.items() if start <= one < now}
        if made := summed(inside, name, start):
            expected[name] = shown([made])[name]
    found = open_candles(known, at(now))
    assert shown(found) == expected
    assert all(msgspec.structs.asdict(one)["complete"] is False for one in found)
