"""Coinbase Advanced Trade, the decoding half, by EXCHANGES.md §2: a conversation, and made messages."""

import json
from pathlib import Path

import pytest

from COBY.counted import Counted
from COBY.exchanges.base import Delta, Lost, Repeated, Snapshot, Trade
from tests.coinbase_line import TIME_US, Line, codes, deal, deals, event, level, live

CONVERSATION = Path(__file__).parent / "fixtures/coinbase/conversation.jsonl"


# --- the conversation ---------------------------------------------------------------------------------------------


def test_the_conversation_decodes_as_worked_out_by_hand():
    rows = [json.loads(text) for text in CONVERSATION.read_text().splitlines()]
    line = Line({"BTC-USDT": "BTCUSDT"})
    found = [event for row in rows if row["dir"] == "in" for event in line.raw(row["frame"].encode())]
    bids, asks = [("61000.5", "1.25"), ("61000", "0.5")], [("61001", "2"), ("61002.25", "0.00000001")]
    second = 1_790_000_000_000_000
    assert found == [
        Snapshot("BTCUSDT", bids, asks, None, None),
        Trade("BTCUSDT", "61000.5", "0.1", "sell", "901", second - 749_999, history=True),
        Trade("BTCUSDT", "61000.75", "0.5", "buy", "902", second - 500_000, history=True),
        Delta("BTCUSDT", [("61000.5", "3"), ("61000.5", "0.75")], [("61001", "0")], None, None, TIME_US),
        Trade("BTCUSDT", "61002.25", "1", "buy", "903", second + 1_100_000),
        Trade("BTCUSDT", "61000.5", "0.25", "sell", "904", second + 1_100_000),
        Lost("BTCUSDT", "sequence_gap", "expected 8, got 9"),
        Snapshot("BTCUSDT", [("60999", "1")], [("61003", "0.5")], None, None),
        Delta("BTCUSDT", [], [("61003", "0.0"), ("61002", "4")], None, None, second + 3_000_000),
    ]
    assert line.reason() is None
    assert line.texts() == ({"60999": "1"}, {"61002": "4"})


# --- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("maker", "taker"), [("BUY", "sell"), ("SELL", "buy")])
def test_the_side_on_the_wire_is_the_makers(maker, taker):
    (trade,) = Line().trades(deal(side=maker))
    assert trade == Trade("BTCUSDT", "61000.5", "0.25", taker, "7", TIME_US)


def test_asks_are_spelled_offer_and_nothing_else():
    line = live("BTC-USDT")
    assert line.texts() == ({"100": "1"}, {"101": "2"})
    wrong = {"type": "update", "product_id": "BTC-USDT", "updates": [level("ask", "101", "3")]}
    assert codes(line.book(wrong)) == ["frame.shape", "Lost"]
    assert line.reason() == "sequence_gap"


def test_the_first_data_may_come_before_the_acknowledgement():
    line = Line()
    line.listed(heartbeats=["heartbeats"])
    line.book(event("snapshot", [("100", "1")], [("101", "2")]))
    assert line.listed(heartbeats=["heartbeats"], level2=["BTC-USDT"]) == []
    assert codes(line.book(event("update", [("100", "2")]))) == ["Delta"]
    assert line.reason() is None


def test_an_acknowledgement_of_what_was_asked_before_blinds_nothing_that_is_ahead_of_it():
    line = Line()
    line.book(event("snapshot", [("100", "1")], [("101", "2")]))
    assert line.listed(heartbeats=["heartbeats"]) == []
    assert line.reason() is None


def test_a_snapshot_of_several_megabytes_is_a_snapshot():
    bids = [(f"{60_000 - number / 100:.2f}", "0.12345678") for number in range(25_000)]
    asks = [(f"{60_001 + number / 100:.2f}", "0.12345678") for number in range(25_000)]
    line = Line()
    message = {"channel": "l2_data", "sequence_num": 0, "events": [event("snapshot", bids, asks)]}
    frame = json.dumps(message).encode()
    assert len(frame) > 5_000_000
    (snapshot,) = line.raw(frame)
    assert (len(snapshot.bids), len(snapshot.asks)) == (25_000, 25_000)
    assert (snapshot.limited_bids, snapshot.limited_asks, snapshot.depth) == (False, False, None), (
        "the whole book"
    )
    line.number = 1
    assert codes(line.book(event("update", [("60000", "0")]))) == ["Delta"]
    assert len(line.texts()[0]) == 24_999


@pytest.mark.parametrize(
    "channel", ["heartbeats", "subscriptions", "market_trades", "l2_data", "status", "anew"]
)
def test_a_message_missing_of_any_channel_blinds_all_books_of_the_connection(channel):
    line = live()
    events = {"l2_data": [event("update", [("100", "9")])], "market_trades": [deals(deal())]}
    lost = line.say(channel, *events.get(channel, []), number=3)
    expected = [Lost(symbol, "sequence_gap", "expected 2, got 3") for symbol in ("BTCUSDT", "ETHUSDT")]
    assert lost[:2] == expected
    assert codes(lost[2:]) == (["Trade"] if channel == "market_trades" else [])
    assert (line.reason(), line.reason("ETHUSDT")) == ("sequence_gap", "sequence_gap")
    assert line.book(event("update", [("100", "2")])) == []
    line.book(event("snapshot", [("90", "1")], [("91", "1")]))
    assert (line.reason(), line.reason("ETHUSDT")) == (None, "sequence_gap"), "each by its own snapshot"


def test_every_message_is_counted_whatever_its_channel():
    line = live()
    assert (
        line.beat()
        == line.listed(heartbeats=["heartbeats"], level2=["BTC-USDT"])
        == line.say("status", {"products": 5})
        == []
    )
    assert codes(line.trades(deal())) == ["Trade"]
    assert codes(line.book(event("update", [("100", "2")]))) == ["Delta"]


def test_a_message_with_an_old_number_is_passed_over():
    line = live("BTC-USDT")
    line.book(event("update", [("100", "5")]))
    assert line.book(event("update", [("100", "7")]), number=1) == [Repeated()]
    assert line.book(event("snapshot", [("1", "1")]), number=0) == [Repeated()]
    assert codes(line.book(event("update", [("99", "1")]), number=2)) == ["Delta"]
    assert line.texts()[0] == {"100": "5", "99": "1"}


def test_trades_of_a_message_with_an_old_number_count():
    """Their ids tell whether they are new; of a book nothing would."""
    line = live("BTC-USDT")
    assert codes(line.book(event("update", [("100", "6")]), number=2)) == ["Lost"]
    assert codes(line.trades(deal(), number=1)) == ["Trade"]


def test_messages_swapped_blind_and_stay_without_effect():
    line = live("BTC-USDT")
    assert codes(line.book(event("update", [("100", "6")]), number=2)) == ["Lost"]
    assert line.book(event("update", [("100", "5")]), number=1) == [Repeated()]
    assert line.book(event("update", [("100", "7")]), number=3) == []
    assert line.reason() == "sequence_gap"


def test_numbers_begun_anew_do_not_freeze_a_book():
    line = live("BTC-USDT")
    line.beat(number=1)
    assert line.beat(number=0) == line.beat(number=0) == [Repeated()]
    assert codes(line.beat(number=0)) == ["Lost"], "the third in a row"
    line = live("BTC-USDT")
    assert codes(line.beat(number=5_000)) == ["Lost"]
    line.book(event("snapshot", [("100", "1")], [("101", "1")]))
    assert codes(line.beat(number=0)) == ["Lost"], "from far back: at once"
    assert codes(line.book(event("snapshot", [("100", "1")], [("101", "1")]))) == ["Snapshot"]
    assert codes(line.book(event("update", [("100", "2")]))) == ["Delta"]


def test_a_connection_that_is_met_in_its_middle_is_counted_from_there():
    line = Line()
    assert line.beat(number=700) == []
    assert line.book(event("update", [("100", "1")])) == []
    assert codes(line.book(event("snapshot", [("100", "1")]))) == ["Snapshot"]


def test_the_numbers_alone():
    counted = Counted()
    assert [counted.take(number) for number in (5, 6, 7, 7, 6, 8)] == ["", "", "", None, None, ""]
    assert counted.take(10) == "expected 9, got 10"
    assert [counted.take(number) for number in (10, 10, 10, 11)] == [None, None, "expected 11, got 10", ""]
    assert counted.take(2**62) == f"expected 12, got {2**62}"
    assert counted.take(0) == f"expected {2**62 + 1}, got 0"


def test_trades_are_listed_newest_first_and_count_oldest_first():
    trades = Line().trades(deal(trade_id="9"), deal(trade_id="8"), deal(trade_id="7"))
    assert [trade.trade_id for trade in trades] == ["7", "8", "9"]


def test_the_first_trades_are_history():
    line = Line()
    history, now = line.say("market_trades", deals(deal(), kind="snapshot"), deals(deal(trade_id="8")))
    assert (history.history, now.history) == (True, False)


@pytest.mark.parametrize("product", ["BTC-USD", "BTC-USDC"])
def test_what_was_asked_for_in_usdc_may_be_answered_as_usd(product):
    line = Line({"BTC-USDC": "BTCUSDC"})
    (snapshot,) = line.book(event("snapshot", [("100", "1")], [("101", "1")], product))
    (trade,) = line.trades(deal(product_id=product))
    assert snapshot.symbol == trade.symbol == "BTCUSDC"
    assert line.reason("BTCUSDC") is None


def test_of_usd_and_usdc_each_has_its_own_name():
    line = Line({"BTC-USDC": "BTCUSDC", "BTC-USD": "BTCUSD"})
    assert [line.book(event("snapshot", [], [], name))[0].symbol for name in ("BTC-USD", "BTC-USDC")] == [
        "BTCUSD",
        "BTCUSDC",
    ]
    assert codes(line.book(event("snapshot", [], [], "ETH-USD"))) == ["frame.unknown_symbol"]


# --- the book -------------------------------------------------------------------------------------------------------


def test_one_price_has_one_text():
    line = Line()
    line.book(event("snapshot", [("100.10", "1.0")], [("1.01e2", "2")]))
    assert line.texts() == ({"100.1": "1.0"}, {"101": "2"})
    line.book(event("update", [("100.1", "0.00000000")], [("101.00", "3")]))
    assert line.texts() == ({}, {"101": "3"})


def test_several_changes_of_one_price_apply_in_order():
    line = live("BTC-USDT")
    line.book(event("update", [("99", "1"), ("99", "0"), ("98", "0"), ("98", "2")]))
    assert line.texts()[0] == {"100": "1", "98": "2"}


def test_the_time_is_that_of_the_last_change_and_1970_is_none():
    line = live("BTC-USDT")
    two = [level("bid", "1", "1", event_time="2026-09-21T14:13:20Z"), level("bid", "2", "1")]
    (delta,) = line.book({"type": "update", "product_id": "BTC-USDT", "updates": two})
    assert delta.time_us == TIME_US
    for time in ("1970-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z", None):
        made = {
            "type": "update",
            "product_id": "BTC-USDT",
            "updates": [level("bid", "1", "1", event_time=time)],
        }
        assert line.book(made)[0].time_us is None
    assert line.book(event("update"))[0].time_us is None


def test_a_second_snapshot_replaces_the_book_and_updates_follow_it():
    line = live("BTC-USDT")
    line.book(event("snapshot", [("50", "1")], [("51", "1")]))
    assert line.texts() == ({"50": "1"}, {"51": "1"})
    line.book(event("snapshot", [("40", "1")]), event("update", [("39", "1")]))
    assert line.texts() == ({"40": "1", "39": "1"}, {})
    assert line.reason() is None


def test_a_message_may_hold_several_products():
    line = Line()
    found = line.book(event("snapshot", [("1", "1")]), event("snapshot", [("2", "1")], product="ETH-USDT"))
    assert [each.symbol for each in found] == ["BTCUSDT", "ETHUSDT"]


def test_updates_before_the_first_snapshot_are_of_no_use_and_no_gap():
    line = Line()
    assert line.book(event("update", [("100", "1")])) == []
    assert line.reason() == "never_connected"


def test_a_book_that_is_subscribed_no_longer_is_blind_until_its_next_snapshot():
    line = live()
    line.listed(heartbeats=["heartbeats"], level2=["BTC-USDT", "ETH-USDT"])
    (lost,) = line.listed(heartbeats=["heartbeats"], level2=["ETH-USDT"])
    assert lost == Lost("BTCUSDT", "sequence_gap", "unsubscribed", renewing=True)
    assert line.book(event("update", [("100", "9")])) == [], "on its way from the old subscription"
    assert codes(line.book(event("snapshot", [("90", "1")], [("91", "1")]))) == ["Snapshot"]
    assert line.listed(heartbeats=["heartbeats"], level2=["ETH-USDT", "BTC-USDT"]) == []
    assert (line.reason(), line.reason("ETHUSDT")) == (None, None)


def test_a_list_without_the_heartbeats_is_no_whole_list():
    line = live()
    line.listed(heartbeats=["heartbeats"], level2=["BTC-USDT", "ETH-USDT"])
    assert line.listed(level2=["BTC-USDT"]) == line.listed(market_trades=["BTC-USDT"]) == []
    assert (line.reason(), line.reason("ETHUSDT")) == (None, None)
