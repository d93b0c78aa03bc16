"""Bitfinex v2, the decoding half: what a channel's id stands for, trades, notices (EXCHANGES.md §9)."""

import pytest

from COBY.exchanges.base import Lost, Notice, Trade
from COBY.exchanges.bitfinex import EXCHANGE
from tests.bitfinex_line import ASKS, BIDS, BTC, BTC_TRADES, MS, Line, codes, live


def test_what_comes_late_of_an_old_subscription_counts_no_more():
    line = live()
    (lost,) = line.subscribed(31)
    assert (lost.symbol, lost.detail, lost.renewing) == ("BTCUSDT", "subscribed anew", True)
    assert codes(line.data(31, [[50, 1, 1]])) == ["Snapshot"]
    assert line.data(BTC, BIDS + ASKS) == line.data(BTC, [98, 1, 1]) == line.data(BTC, "cs", 5) == []
    assert line.sides() == ({"50": "1"}, {})
    assert line.take({"event": "unsubscribed", "status": "OK", "chanId": BTC}) == []
    assert line.reasons == [None, None]


def test_an_unsubscribed_book_is_lost_and_its_id_may_come_back():
    line = live()
    (lost,) = line.take({"event": "unsubscribed", "status": "OK", "chanId": BTC})
    assert (lost.symbol, lost.renewing) == ("BTCUSDT", True)
    assert line.data(BTC, BIDS + ASKS) == [], "whose it is is not known"
    assert line.subscribed(BTC) == []
    assert line.data(BTC, [98, 1, 1]) == [], "not before its snapshot"
    assert codes(line.data(BTC, BIDS + ASKS)) == ["Snapshot"]


@pytest.mark.parametrize(
    "other",
    [{"symbol": "tETHUST"}, {"channel": "ticker"}, {"channel": "candles", "symbol": None}, {"prec": "R0"},
     {"prec": "P1"}, {"freq": "F1"}, {"symbol": "fUSD"}, {"channel": "trades"}, {"symbol": "tDOGUST"}],
)  # fmt: skip
def test_an_id_that_now_stands_for_something_else_leaves_no_book_live_behind(other):
    line = live()
    events = line.subscribed(BTC, **other)
    assert "BTCUSDT" in [event.symbol for event in events if isinstance(event, Lost)]
    line.data(BTC, [98, 1, 1])
    assert line.reasons[0] == "sequence_gap"
    assert "98" not in line.sides()[0]


def test_a_symbol_that_is_none_of_the_connections_is_rejected():
    line = Line()
    assert codes(line.subscribed(BTC, symbol="tDOGUST")) == ["frame.unknown_symbol"]
    assert line.data(BTC, BIDS + ASKS) == []


def test_a_second_snapshot_replaces_the_book():
    line = live()
    assert codes(line.data(BTC, [[50, 1, 1], [60, 1, -1]])) == ["Snapshot"]
    assert line.sides() == ({"50": "1"}, {"60": "1"})


def test_a_crossed_snapshot_is_seen_by_whoever_shows_it():
    line = live()
    line.data(BTC, [[102, 1, 1], [101, 1, -1]])
    line.sides()
    assert line.one.book("BTCUSDT").crossed()


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("tBTCUST", "BTCUSDT"), ("tBTCUSD", "BTCUSD"), ("tDOGE:USD", "DOGEUSD"), ("tAVAX:UST", "AVAXUSDT"),
     ("tETHUDC", "ETHUSDC"), ("tUSTUSD", "USDTUSD"), ("tTESTBTC:TESTUSD", "TESTBTCTESTUSD")],
)  # fmt: skip
def test_without_symbols_the_name_is_the_canonical_one(name, symbol):
    line = Line(symbols={})
    line.subscribed(BTC, symbol=name)
    assert line.data(BTC, BIDS)[0].symbol == symbol
    if "TEST" not in name:
        assert EXCHANGE.exchange_symbol(symbol) == name


# --- trades and notices -------------------------------------------------------------------------------------------


def test_of_te_and_tu_one_counts_and_the_amount_tells_the_taker():
    line = live()
    assert line.data(BTC_TRADES, "te", [7, MS, 0.5, 100.5]) == [
        Trade("BTCUSDT", "100.5", "0.5", "buy", "7", MS * 1000)
    ]
    assert line.data(BTC_TRADES, "tu", [7, MS, 0.5, 100.5]) == []
    assert line.data(BTC_TRADES, "te", [8, MS, -2, 100]) == [
        Trade("BTCUSDT", "100", "2", "sell", "8", MS * 1000)
    ]
    (tiny,) = line.take(b'[19,"te",[9,1700000000123,9.7e-7,5.6e-7],6]')
    assert (tiny.price, tiny.size) == ("0.00000056", "9.7e-7")


def test_the_trades_of_the_snapshot_are_history_oldest_first():
    line = live()
    rows = [[9, MS + 2, 1, 100], [8, MS + 1, -1, 99]]
    assert line.data(BTC_TRADES, rows) == [
        Trade("BTCUSDT", "99", "1", "sell", "8", (MS + 1) * 1000, history=True),
        Trade("BTCUSDT", "100", "1", "buy", "9", (MS + 2) * 1000, history=True),
    ]
    assert line.data(BTC_TRADES, []) == line.data(BTC_TRADES, "fte", [1]) == []


@pytest.mark.parametrize(
    ("fill", "code"),
    [([7, MS, 0, 100], "frame.number"), ([7, MS, 1, 0], "frame.number"), ([7, MS, 1, -5], "frame.number"),
     ([7, MS, "1", 100], "frame.number"), (["7", MS, 1, 100], "frame.shape"), ([-7, MS, 1, 100], "frame.shape"),
     ([7, MS, 1], "frame.shape"), ([7, None, 1, 100], "frame.shape"), ([7, 1.5, 1, 100], "frame.shape")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_blinds_nothing(fill, code):
    line = live()
    (rejected,) = line.data(BTC_TRADES, "te", fill)
    assert (rejected.code, rejected.symbol) == (code, "BTCUSDT")
    assert line.reasons == [None, None]


def test_the_notices_are_statuses_and_a_pause_blinds_all_until_there_is_a_snapshot():
    line = live()
    info = {"event": "info", "msg": "told"}
    assert line.take(info | {"code": 20051}) == [Notice("notice", "20051: told")]
    notice, *lost = line.take(info | {"code": 20060})
    assert notice == Notice("notice", "20060: told")
    assert [(event.symbol, event.renewing) for event in lost] == [("BTCUSDT", True), ("ETHUSDT", True)]
    assert line.data(BTC, [98, 1, 1]) == []
    assert codes(line.data(BTC_TRADES, "te", [7, MS, 1, 100])) == ["Trade"]
    assert line.take(info | {"code": 20061}) == [Notice("notice", "20061: told")]
    assert line.data(BTC, [98, 1, 1]) == []


@pytest.mark.parametrize(
    "frame",
    [{}, {"event": {}}, {"event": "sneezegasm"}, {"event": "pong", "ts": 5, "cid": 1}, {"bird": True},
     {"event": "info", "version": 2, "serverId": "a", "platform": {"status": 1}},
     {"event": "error", "msg": "symbol: invalid", "code": 10300, "symbol": "tBTCUST", "channel": "book"}],
)  # fmt: skip
def test_other_events_pass_silently(frame):
    line = live()
    assert line.take(frame) == []
    assert line.reasons == [None, None]


def test_a_rest_body_is_not_ours():
    assert EXCHANGE.decoder({}).decode(b"{broken", "http", "BTCUSDT", None) == []
