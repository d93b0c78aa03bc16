"""Kraken v2, the session half, by EXCHANGES.md §3. Times are seconds of a clock that the test holds."""

import json

import pytest

from COBY.exchanges.base import Acknowledged, Connect, Endpoints, Refused, Send
from COBY.exchanges.kraken import EXCHANGE

SYMBOLS = {"BTC/USD": "BTCUSD", "ETH/USD": "ETHUSD"}
INSTRUMENT = b'{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[]}}'


def text(message):
    return json.dumps(message).encode()


def asked(commands):
    """The messages that are sent, decoded; nothing else is."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [json.loads(command.text) for command in commands]


def book(method, *names):
    """The request for a book, as EXCHANGES.md has it."""
    params = {"channel": "book", "symbol": list(names), "depth": 1000}
    if method == "subscribe":
        params["snapshot"] = True
    return {"method": method, "params": params, "req_id": 2}


def trade(*names):
    params = {"channel": "trade", "symbol": list(names), "snapshot": False}
    return {"method": "subscribe", "params": params, "req_id": 3}


def fresh():
    one = EXCHANGE.session(SYMBOLS, Endpoints("wss://ws", "https://rest"))
    one.opened(100.0)
    return one


def subscribed(*unanswered):
    """A session whose subscriptions were confirmed, but for these (channel, pair)."""
    one = fresh()
    assert len(one.received(INSTRUMENT, 100.5)) == 2
    for channel in ("book", "trade"):
        for name in SYMBOLS:
            if (channel, name) not in unanswered:
                one.received(reply("subscribe", channel, name), 100.6)
    return one


def reply(method, channel, name="BTC/USD"):
    return text({"method": method, "req_id": 2, "result": {"channel": channel, "symbol": name}, "success": True,
                 "time_in": "2026-08-12T19:28:08.287297Z"})  # fmt: skip


def refusal(error, name="BTC/USD", method="subscribe", number=2):
    return text({"error": error, "method": method, "req_id": number, "success": False, "symbol": name})


def test_the_precisions_are_asked_for_first():
    one = EXCHANGE.session(SYMBOLS, Endpoints("wss://ws", "https://rest"))
    assert one.connect() == Connect("wss://ws/v2")
    assert asked(one.opened(100.0)) == [
        {"method": "subscribe", "params": {"channel": "instrument", "snapshot": True}, "req_id": 1}
    ]


def test_books_and_trades_are_subscribed_when_the_precisions_came():
    one = fresh()
    assert asked(one.received(INSTRUMENT, 101.0)) == [book("subscribe", *SYMBOLS), trade(*SYMBOLS)]
    assert one.received(INSTRUMENT, 102.0) == [], "once"
    assert one.timer(115.9) == []


def test_or_five_seconds_later_without_them():
    one = fresh()
    assert one.timer(104.9) == []
    assert asked(one.timer(105.0)) == [book("subscribe", *SYMBOLS), trade(*SYMBOLS)]
    assert one.timer(106.0) == []
    assert one.received(INSTRUMENT, 107.0) == []


def test_a_refusal_of_the_precisions_is_waited_out():
    one = fresh()
    assert (
        one.received(text({"error": "x", "method": "subscribe", "req_id": 1, "success": False}), 101.0) == []
    )
    assert len(one.timer(105.0)) == 2


@pytest.mark.parametrize("channel", ["book", "trade"])
def test_an_acknowledgement_is_of_one_channel_of_one_symbol(channel):
    assert subscribed().received(reply("subscribe", channel, "ETH/USD"), 101.0) == [
        Acknowledged(("ETHUSD",), (channel,))
    ]


@pytest.mark.parametrize("number", [2, None, 77, [1], {}, "2"])
def test_a_symbol_that_is_not_listed_is_told_once_and_not_asked_for_again(number):
    one, error = subscribed(("book", "BTC/USD")), "Currency pair not supported BTC/USD"
    assert one.received(refusal(error, number=number), 101.0) == [Refused("BTCUSD", error, not_listed=True)]
    assert one.timer(1000.0) == []


@pytest.mark.parametrize(
    ("channel", "number", "again"),
    [("book", 2, book("subscribe", "BTC/USD")), ("trade", 3, trade("BTC/USD"))],
)
def test_another_refusal_or_no_answer_at_all_is_asked_for_again_every_fifteen_seconds(channel, number, again):
    one = subscribed((channel, "BTC/USD"))
    error = "EGeneral:Internal error"
    assert one.received(refusal(error, number=number), 101.0) == [Refused("BTCUSD", error)]
    for at in (115.5, 130.5, 145.5):
        assert one.timer(at - 0.1) == []
        assert asked(one.timer(at)) == [again]
    one.received(reply("subscribe", channel), 146.0)
    assert one.timer(1000.0) == []


def test_what_is_subscribed_already_is_confirmed():
    one = subscribed(("trade", "BTC/USD"))
    answer = refusal("Already subscribed to one ore more channels", number=3)
    assert one.received(answer, 101.0) == [Acknowledged(("BTCUSD",), ("trade",))]
    assert one.timer(1000.0) == []


def test_a_refusal_without_a_symbol_is_of_the_whole_request():
    message = {"error": "Event(s) not found", "method": "subscribe", "req_id": 2, "success": False}
    assert subscribed().received(text(message), 101.0) == [Refused(None, "Event(s) not found")]
    assert subscribed().received(text(message | {"symbol": "DOGE/USD"}), 101.0) == [], "not asked for here"


@pytest.mark.parametrize(
    "answer", [reply("unsubscribe", "book"), refusal("Subscription Not Found", method="unsubscribe")]
)
def test_a_new_snapshot_comes_by_a_new_subscription_after_the_answer(answer):
    one = subscribed()
    assert asked(one.resync("BTCUSD", "checksum", 200.0)) == [book("unsubscribe", "BTC/USD")]
    assert one.resync("BTCUSD", "checksum", 200.5) == [], "one at a time"
    assert asked(one.resync("ETHUSD", "checksum", 200.6)) == [book("unsubscribe", "ETH/USD")], "of each book"
    assert asked(one.received(answer, 201.0)) == [book("subscribe", "BTC/USD")]
    assert one.received(answer, 201.1) == [], "once"
    one.received(reply("subscribe", "book"), 201.2)
    assert asked(one.timer(205.6)) == [book("subscribe", "ETH/USD")]
    assert asked(one.resync("BTCUSD", "checksum", 210.0)) == [book("unsubscribe", "BTC/USD")], "and again"


def test_an_unsubscription_without_an_answer_counts_as_done_after_five_seconds():
    one = subscribed()
    one.resync("BTCUSD", "checksum", 200.0)
    assert one.timer(204.9) == []
    assert asked(one.timer(205.0)) == [book("subscribe", "BTC/USD")]
    assert one.timer(206.0) == []
    assert one.received(reply("unsubscribe", "book"), 206.0) == [], "late: it was subscribed already"


def test_no_book_is_renewed_that_is_not_ours_or_was_not_subscribed_yet():
    assert fresh().resync("BTCUSD", "sequence_gap", 100.1) == []
    assert subscribed().resync("DOGEUSD", "sequence_gap", 101.0) == []


def test_trades_alone_being_unsubscribed_renews_no_book():
    one = subscribed()
    one.resync("BTCUSD", "checksum", 200.0)
    assert one.received(reply("unsubscribe", "book", "ETH/USD"), 200.1) == []
    assert one.received(reply("unsubscribe", "ticker"), 200.1) == []


@pytest.mark.parametrize(
    "frame",
    [b'{"channel":"book","type":"update","data":[]}', b'{"channel":"heartbeat"}', b'{"channel":"status","data":[]}',
     b"", b"\xff", b"[1]", b"null", b"{", b'{"method":"pong","req_id":1}', b"x" * 10_000, b'{"success":true}',
     b'{"success":true,"method":"subscribe","result":[1]}', b'{"success":true,"result":{"symbol":{"a":1}}}',
     b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}", reply("subscribe", "book", "DOGE/USD"), reply("subscribe", "ohlc")],
    ids=lambda frame: repr(frame[:40]),
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    assert subscribed().received(frame, 101.0) == []


@pytest.mark.parametrize(
    ("symbol", "name"), [("BTCUSDT", "BTC/USDT"), ("BTCUSD", "BTC/USD"), ("ETHBTC", "ETH/BTC")]
)
def test_the_exchange_separates_base_and_quote(symbol, name):
    assert EXCHANGE.exchange_symbol(symbol) == name
