"""Which trades are new, which second they count to."""

from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.exchanges.base import Trade
from COBY.records import Bar
from COBY.trades import Trades

NOW = 1_700_000_000_000_000
SECOND, DAY = 1_000_000, 86_400_000_000
UNIT = 10**8


def make(number="1", price="100", size="1", at=NOW, history=False):
    return Trade("BTCUSDT", price, size, "buy", number, at, history)


def trades():
    return Trades("BTCUSDT", "binance")


def test_a_trade_is_accepted_once():
    one = trades()
    event = one.accept(make("7", "61837.63000000", "0.5", NOW - 5), NOW, 3, None)
    assert (event.symbol, event.exchange, event.trade_id) == ("BTCUSDT", "binance", "7")
    assert (event.price, event.size, event.side) == (6183763000000, UNIT // 2, "buy")
    assert (event.timestamp, event.received_at) == (NOW - 5, NOW)
    assert (event.time_replaced, event.anomaly) == (False, False)
    assert one.accept(make("7"), NOW, 4, None) is None


def test_an_id_is_known_while_it_is_among_the_last_ten_thousand_accepted():
    one = trades()
    for number in range(10_000):
        one.accept(make(str(number)), NOW, number, None)
    assert one.accept(make("0"), NOW, 0, None) is None, "the oldest of 10,000"
    assert one.accept(make("new"), NOW, 0, None) is not None
    assert one.accept(make("1"), NOW, 0, None) is None
    assert one.accept(make("0"), NOW, 0, None) is not None, "forgotten: 10,000 newer ones"


def test_a_trade_without_an_id_gets_ours_and_is_never_dropped_for_its_content():
    one = trades()
    first = one.accept(make(None), NOW, 1, "c1-5-0")
    second = one.accept(make(None), NOW, 1, "c1-5-1")
    assert (first.trade_id, second.trade_id) == ("c1-5-0", "c1-5-1")
    assert one.take_bars()[0].trade_count == 2


def test_history_counts_only_from_the_first_live_trade_on():
    one = trades()
    assert one.accept(make("1", history=True), NOW, 1, None) is None
    assert one.accept(make("2"), NOW, 2, None) is not None
    assert one.accept(make("2", history=True), NOW, 3, None) is None
    assert one.accept(make("3", history=True), NOW, 4, None) is not None, "missed while away"
    other = trades()
    other.load(one.save())
    assert other.accept(make("4", history=True), NOW, 5, None) is not None, (
        "ever accepted, so also before a restart"
    )


def test_a_time_outside_2010_to_stream_time_and_a_day_is_replaced_and_flagged():
    since_2010 = 1_262_304_000_000_000
    cases = {since_2010 - 1: True, since_2010: False, NOW + DAY: False, NOW + DAY + 1: True, 0: True}
    for number, (at, replaced) in enumerate(cases.items()):
        event = trades().accept(make(str(number), at=at), NOW, 1, None)
        assert (event.timestamp, event.time_replaced) == (NOW if replaced else at, replaced)


def test_an_odd_price_is_flagged_not_dropped():
    one = trades()
    flags = [one.accept(make(str(n), price), NOW, n, None).anomaly for n, price in
             enumerate(["100", "110", "121.00000001", "1000", "900", "809.9"])]  # fmt: skip
    assert flags == [False, False, True, True, False, True], "more than a tenth away from the last"


def test_the_candle_time_is_the_exchanges_within_a_minute_else_stream_time():
    one = trades()
    for number, at in enumerate(
        [NOW - 60 * SECOND, NOW - 60 * SECOND - 1, NOW + 60 * SECOND, NOW + 60 * SECOND + 1]
    ):
        one.accept(make(str(number), at=at), NOW, number, None)
    assert [(bar.timestamp, bar.trade_count) for bar in one.take_bars()] == [
        (NOW - 60 * SECOND, 1),
        (NOW, 2),
        (NOW + 60 * SECOND, 1),
    ]


def test_a_bar_opens_and_closes_by_candle_time_and_ties_by_order():
    one = trades()
    for offset, (at, price, size) in enumerate(
        [
            (NOW + 500, "3", "1"),
            (NOW + 200, "1", "2"),
            (NOW + 200, "9", "0.5"),
            (NOW + 900, "5", "1"),
            (NOW + 900, "4", "1"),
        ]
    ):
        one.accept(make(str(offset), price, size, at), NOW, 10 + offset, None)
    assert one.take_bars() == [
        Bar(NOW, UNIT, 9 * UNIT, UNIT, 4 * UNIT, 55 * UNIT // 10, 5, NOW + 200, 11, NOW + 900, 14)
    ]
    assert one.take_bars() == [], "handed over once"


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 20), st.integers(1, 50), st.integers(1, 9), st.integers(-3_000_000, 3_000_000)
        ),
        max_size=40,
    ),
    st.integers(0, 40),
)
def test_bars_hold_each_accepted_trade_once_also_across_a_save(rows, cut):
    one, kept, bars = trades(), {}, []
    for offset, (number, price, size, shift) in enumerate(rows):
        if offset == cut:
            saved = one.save()
            one = trades()
            one.load(saved)
        if offset % 7 == 6:
            bars += one.take_bars()
        trade = make(str(number), str(price), str(size), NOW + shift)
        event = one.accept(trade, NOW, offset, None)
        assert (event is not None) == (number not in kept)
        kept.setdefault(number, (NOW + shift, price, size))
    bars += one.take_bars()
    assert sum(bar.trade_count for bar in bars) == len(kept)
    assert sum(bar.volume for bar in bars) == sum(size for _, _, size in kept.values()) * UNIT
    for bar in bars:
        inside = [price for at, price, _ in kept.values() if bar.timestamp <= at < bar.timestamp + SECOND]
        assert bar.low >= min(inside) * UNIT
        assert bar.high <= max(inside) * UNIT
