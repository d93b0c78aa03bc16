"""The reference: when a book is shown and when not, and which trades count; small logs, results known by thought."""

import pytest

from tests.reference.by_hand import Log, at_us, settings
from tests.reference.run import compute

BIDS, ASKS = [["98", "1"]], [["101", "1"]]


def reasons(log: Log, **more: object) -> list[str | None]:
    """The reason of each tick, None where live."""
    ticks = compute(log.records(), settings(**more))["book"]
    assert all(tick["live"] == (tick["reason"] is None) for tick in ticks)
    return [tick["reason"] for tick in ticks]


def live_log() -> Log:
    """Proven at update id 10 before the tick of 0.5."""
    log = Log()
    log.marks(0)
    log.event(0.1, "connected")
    log.snapshot(0.2, 10, BIDS, ASKS)
    return log


def test_a_book_without_connection_or_snapshot_was_never_connected():
    log = Log()
    log.marks(0, 0.5)
    log.event(0.6, "connected")
    log.depth(0.7, 11, 11, BIDS, [])
    log.marks(1.0)
    assert reasons(log) == ["never_connected", "never_connected"]


def test_a_blind_book_states_nothing_but_its_trades():
    log = Log()
    log.marks(0)
    log.trade(0.25, 1, "100", "2")
    log.marks(0.5)
    (tick,) = compute(log.records(), settings())["book"]
    stated = {name: value for name, value in tick.items() if value not in (None, [], 0)}
    assert set(stated) == {"symbol", "exchange", "timestamp", "reason", "bucket_size", "bars"}
    assert [bar["volume"] for bar in tick["bars"]] == [2]


def test_a_disconnected_book_is_blind_until_a_new_connection_has_its_snapshot():
    log = live_log()
    log.marks(0.5)
    log.event(0.6, "disconnected", reason="closed")
    log.marks(1.0)
    log.conn = "b"
    log.event(1.1, "connected")
    log.marks(1.5)
    log.snapshot(1.6, 20, BIDS, ASKS)
    log.marks(2.0)
    assert reasons(log) == [None, "disconnected", "never_connected", None]


def test_two_seconds_without_a_record_lose_the_producer_until_an_update_continues_the_sequence():
    log = live_log()
    log.marks(0.5)
    log.event(0.5, "alive")
    log.marks(1.0, 1.5, 2.0, 2.5)  # at 2.5 exactly 2 s have passed
    log.event(2.6, "alive")
    log.marks(3.0)
    log.depth(3.1, 11, 12, BIDS, [])
    log.marks(3.5)
    assert reasons(log) == [None, None, None, None, "producer_lost", "producer_lost", None]


def test_alive_events_keep_a_quiet_book_until_it_is_stale():
    log = live_log()
    for second in (1, 2, 3, 4):
        log.marks(second - 0.5, second)
        log.event(second + 0.1, "alive")
    log.depth(4.2, 11, 11, BIDS, [])
    log.marks(4.5)
    assert reasons(log) == [None] * 9
    assert reasons(log, silence_seconds={"binance": 3}) == [None] * 6 + ["stale"] * 2 + [None]


def test_a_missing_update_blinds_the_book_until_a_snapshot_joins():
    log = live_log()
    log.depth(0.3, 11, 12, BIDS, [])
    log.depth(0.6, 14, 15, [["97", "2"]], [])
    log.marks(1.0)
    log.snapshot(1.1, 12, BIDS, ASKS)  # 13 is missing all the same: it can't be joined
    log.depth(1.2, 16, 16, [["96", "3"]], [])
    log.marks(1.5)
    log.snapshot(1.6, 14, BIDS, ASKS)
    log.marks(2.0)
    ticks = compute(log.records(), settings())["book"]
    assert [tick["reason"] for tick in ticks] == [None, "sequence_gap", "sequence_gap", None]
    assert [str(level["price"]) for level in ticks[3]["bids"]] == [
        "98.00000000",
        "97.00000000",
        "96.00000000",
    ]
    assert [tick["sequence_id"] for tick in ticks] == [12, None, None, 16]


def test_an_update_may_begin_before_the_book_but_never_after_it():
    log = live_log()
    log.depth(0.3, 9, 12, BIDS, [])
    log.depth(0.4, 5, 12, [["1", "1"]], [])  # already known: ignored
    log.marks(0.5)
    log.depth(0.6, 12, 13, BIDS, [])
    log.marks(1.0)
    log.depth(1.1, 15, 16, BIDS, [])
    log.marks(1.5)
    assert reasons(log) == [None, None, "sequence_gap"]


@pytest.mark.parametrize("bid", ["101", "102"])
def test_a_book_found_crossed_at_a_tick_waits_for_a_snapshot(bid):
    log = live_log()
    log.depth(0.3, 11, 11, [[bid, "1"]], [])
    log.marks(0.5)
    log.depth(0.6, 12, 12, [[bid, "0"]], [])
    log.marks(1.0)
    log.snapshot(1.1, 12, BIDS, ASKS)
    log.marks(1.5)
    assert reasons(log) == ["crossed", "crossed", None]


def test_a_symbol_that_the_exchange_does_not_know_is_not_listed():
    log = Log()
    log.marks(0)
    log.write(0.1, "http", {"code": -1121, "msg": "Invalid symbol."}, symbol="BTCUSDT")
    log.marks(0.5)
    assert reasons(log) == ["not_listed"]


def test_the_proven_book_whose_connection_is_newest_is_shown():
    log = live_log()
    log.marks(0.5)
    log.conn = "b"
    log.event(0.6, "connected")
    log.marks(1.0)
    log.snapshot(1.1, 20, [["99", "5"]], ASKS)
    log.marks(1.5)
    log.depth(1.6, 30, 30, BIDS, [])  # breaks b
    log.marks(2.0)
    shown = [tick["conn"] for tick in compute(log.records(), settings())["book"]]
    assert shown == ["a", "a", "b", "a"]


def test_of_four_connections_one_without_a_proven_book_goes():
    """b was heard before c and d; it may write on, to no effect. The oldest, which is proven, stays."""
    log = live_log()
    for conn in "bcd":
        log.conn = conn
        log.event(0.3, "connected")
    log.conn = "b"
    log.snapshot(0.35, 20, [["99", "5"]], ASKS)
    log.conn = "a"
    log.depth(0.4, 11, 11, BIDS, [])
    log.marks(0.5)
    assert reasons(log) == [None]
    assert [tick["conn"] for tick in compute(log.records(), settings())["book"]] == ["a"]


def test_what_can_not_be_read_changes_nothing():
    log = live_log()
    for value in (
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"e":"depthUpdate","s":"BTCUSDT"}',
        b'{"stream":"x","data":null}',
        b"\xff",
    ):
        log.write(0.3, "ws", value)
    log.depth(0.3, 11, 11, [["97", "1"], ["96", "x"]], [])
    log.trade(0.4, 1, "0", "1")
    log.trade(0.4, 2, "NaN", "1")
    log.marks(0.5)
    results = compute(log.records(), settings())
    assert results["trade"] == []
    assert [tick["sequence_id"] for tick in results["book"]] == [10]
    assert len(results["book"][0]["bids"]) == 1


def test_a_trade_counts_once_also_over_connections():
    log = Log()
    log.marks(0)
    log.trade(0.1, 7, "100", "1")
    log.conn = "b"
    log.trade(0.2, 7, "100", "1")
    log.trade(0.3, 8, "100", "1")
    assert [trade["trade_id"] for trade in compute(log.records(), settings())["trade"]] == ["7", "8"]


def test_the_side_of_a_trade_is_the_takers():
    log = Log()
    for trade_id, buyer_was_maker in ((1, True), (2, False)):
        data = {"e": "trade", "s": "BTCUSDT", "t": trade_id, "p": "1", "q": "1", "T": 0, "m": buyer_was_maker}
        log.write(0.1, "ws", {"stream": "btcusdt@trade", "data": data})
    assert [trade["side"] for trade in compute(log.records(), settings())["trade"]] == ["sell", "buy"]


def test_a_frame_too_large_for_the_topic_blinds_the_book():
    log = live_log()
    log.event(0.3, "oversize", length=40_000_000, sha256="0" * 64)
    log.depth(0.4, 11, 11, BIDS, [])
    log.marks(0.5)
    assert reasons(log) == ["sequence_gap"]


def test_an_id_is_new_again_after_ten_thousand_others():
    log = Log()
    for trade_id in [*range(10_000), 0, 10_000, 0]:
        log.trade(0.1, trade_id, "100", "1")
    ids = [trade["trade_id"] for trade in compute(log.records(), settings())["trade"]]
    assert ids[10_000:] == ["10000", "0"]


def test_a_trade_keeps_its_time_unless_it_is_absurd():
    log = Log()
    log.marks(0)
    log.trade(0.25, 1, "100", "1", happened=86_400.25)
    log.trade(0.25, 2, "111", "1", happened=86_400.251)
    log.trade(0.25, 3, "122.1", "1", happened=-500_000_000)  # in 2008
    log.trade(0.25, 4, "122.1", "1", happened=-3600)
    trades = compute(log.records(), settings())["trade"]
    assert {trade["received_at"] for trade in trades} == {at_us(0.25)}
    assert [trade["timestamp"] for trade in trades] == [
        at_us(86_400.25),
        at_us(0.25),
        at_us(0.25),
        at_us(-3600),
    ]
    assert [trade["time_replaced"] for trade in trades] == [False, True, True, False]
    assert [trade["anomaly"] for trade in trades] == [False, True, False, False]  # 11 %, exactly 10 %, 0 %
