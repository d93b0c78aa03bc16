"""Coinbase Advanced Trade, the session half, by EXCHANGES.md §2. Times are seconds of a clock that the test holds."""

import json
from pathlib import Path

import pytest

from COBY.exchanges.base import Acknowledged, Connect, Endpoints, Farewell, Refused, Send
from COBY.exchanges.coinbase import EXCHANGE

SYMBOLS = {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT"}
ENDPOINTS = Endpoints("wss://ws", "https://rest")
CONVERSATION = Path(__file__).parent / "fixtures/coinbase/conversation.jsonl"
BEATS = {"type": "subscribe", "channel": "heartbeats"}
DATA = b'{"channel":"market_trades","timestamp":"x","sequence_num":5,"events":[]}'


def text(message):
    return json.dumps(message, separators=(",", ":")).encode()


def asked(commands):
    """The messages that are sent, decoded; nothing else is."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [json.loads(command.text) for command in commands]


def request(operation, channel, name="BTC-USDT"):
    return {"type": operation, "product_ids": [name], "channel": channel}


def listed(level2=(), market_trades=(), **more):
    channels = {"level2": list(level2), "market_trades": list(market_trades)}
    held = (
        {"heartbeats": ["heartbeats"]}
        | {name: products for name, products in channels.items() if products}
        | more
    )
    return text(
        {"channel": "subscriptions", "timestamp": "x", "sequence_num": 1, "events": [{"subscriptions": held}]}
    )


def snapshot(name="BTC-USDT"):
    event = {"type": "snapshot", "product_id": name, "updates": []}
    return text({"channel": "l2_data", "timestamp": "x", "sequence_num": 1, "events": [event]})


def error(message, **more):
    return text({"type": "error", "message": message} | more)


def opened(symbols=SYMBOLS, now=0.0):
    one = EXCHANGE.session(symbols, ENDPOINTS)
    assert asked(one.opened(now)) == [BEATS]
    return one


def subscribed(symbols=("BTC-USDT",), now=0.0):
    """A session whose subscriptions were confirmed and whose books have come, on an exchange that answers at once."""
    one = opened({name: name.replace("-", "") for name in symbols}, now)
    names = list(symbols)
    one.received(listed(), now)
    for name in names:
        one.received(snapshot(name), now)
    one.received(listed(names, names), now)
    for second in range(1, 2 * len(names) + 2):
        one.timer(now + second)
        one.received(listed(names, names), now + second)
    assert one.timer(now + 14.0) == []
    return one


def test_what_is_sent_in_the_conversation_is_what_the_session_wants():
    rows = [json.loads(line) for line in CONVERSATION.read_text().splitlines()]
    one = EXCHANGE.session({"BTC-USDT": "BTCUSDT"}, EXCHANGE.endpoints)
    assert one.connect() == Connect(rows[0]["url"])
    sent = asked(one.opened(0.0))
    for place, row in enumerate(rows[1:]):
        now = place / 10.0
        if row["dir"] == "out":
            sent += asked(one.timer(now))
            assert sent.pop(0) == json.loads(row["frame"])
            continue
        commands = one.received(row["frame"].encode(), now)
        sent += asked([command for command in commands if isinstance(command, Send)])
        if json.loads(row["frame"])["sequence_num"] == 9:
            sent += asked(one.resync("BTCUSDT", "sequence_gap", now))
    assert sent == []


def test_the_heartbeats_first_and_each_request_after_the_answer_to_the_last():
    one = opened()
    assert one.received(DATA, 0.1) == one.timer(0.2) == []
    assert asked(one.received(listed(), 0.3)) == [request("subscribe", "level2")]
    assert one.received(snapshot(), 0.4) == [], "data before the acknowledgement: none yet"
    book, *more = one.received(listed(["BTC-USDT"]), 0.5)
    assert (book, asked(more)) == (
        Acknowledged(("BTCUSDT",), ("book",)),
        [request("subscribe", "market_trades")],
    )
    trades, *more = one.received(listed(["BTC-USDT"], ["BTC-USDT"]), 0.6)
    assert (trades, asked(more)) == (
        Acknowledged(("BTCUSDT",), ("trade",)),
        [request("subscribe", "level2", "ETH-USDT")],
    )


def test_no_more_than_four_messages_a_second():
    one = opened()
    names = []
    for number, channels in enumerate((((), ()), (("BTC-USDT",), ()), (("BTC-USDT",), ("BTC-USDT",)))):
        names += asked(one.received(listed(*channels), 0.1 * number)[-1:])
    assert len(names) == 3
    both = ["BTC-USDT", "ETH-USDT"]
    assert one.received(listed(both, ["BTC-USDT"]), 0.4) == [Acknowledged(("ETHUSDT",), ("book",))], (
        "the fifth waits"
    )
    assert one.timer(0.9) == []
    assert asked(one.timer(1.0)) == [request("subscribe", "market_trades", "ETH-USDT")]


def test_a_request_without_an_answer_gives_way_and_is_made_again():
    one = opened({"BTC-USDT": "BTCUSDT"})
    assert one.timer(4.9) == []
    assert asked(one.timer(5.0)) == [request("subscribe", "level2")]
    assert asked(one.timer(10.0)) == [request("subscribe", "market_trades")]
    assert one.received(listed(["BTC-USDT"], ["BTC-USDT"]), 11.0) == [
        Acknowledged(("BTCUSDT",), ("book",)),
        Acknowledged(("BTCUSDT",), ("trade",)),
    ], "late, but an answer"
    assert one.timer(40.0) == []


@pytest.mark.parametrize("second", [15.0, 16.0])
def test_what_is_never_confirmed_is_asked_for_again(second):
    one = opened({"BTC-USDT": "BTCUSDT"})
    one.received(listed(), 0.1)
    one.received(listed(["BTC-USDT"]), 0.2)
    assert one.timer(14.9) == []
    assert asked(one.timer(second)) == [request("subscribe", "market_trades")]


def test_a_confirmation_is_told_once():
    one = subscribed()
    assert one.received(listed(["BTC-USDT"], ["BTC-USDT"]), 1.0) == []
    assert one.received(listed(["BTC-USDT"], ["BTC-USDT", "DOGE-USD"], ticker=["BTC-USDT"]), 1.0) == []


def test_an_acknowledgement_under_the_name_in_usd_is_that_of_the_market_in_usdc():
    one = opened({"BTC-USDC": "BTCUSDC"})
    assert asked(one.received(listed(), 0.1)) == [request("subscribe", "level2", "BTC-USDC")]
    assert one.received(listed(["BTC-USD"]), 0.2)[0] == Acknowledged(("BTCUSDC",), ("book",))


def test_a_book_asked_for_under_both_names_is_listed_under_the_one_in_usd():
    one = EXCHANGE.session({"BTC-USD": "BTCUSD", "BTC-USDC": "BTCUSDC"}, ENDPOINTS)
    refused, *more = one.opened(0.0)
    assert (refused, asked(more)) == (Refused("BTCUSDC", "BTC-USD has its book", not_listed=True), [BEATS])
    assert asked(one.received(listed(), 0.1)) == [request("subscribe", "level2", "BTC-USD")]
    book, *more = one.received(listed(["BTC-USD"]), 0.2)
    assert (book, asked(more)) == (
        Acknowledged(("BTCUSD",), ("book",)), [request("subscribe", "market_trades", "BTC-USD")])  # fmt: skip
    assert one.resync("BTCUSDC", "never_connected", 30.0) == []


def test_a_new_snapshot_comes_by_a_new_subscription_after_the_answer():
    one = subscribed()
    assert asked(one.resync("BTCUSDT", "sequence_gap", 20.0)) == [request("unsubscribe", "level2")]
    assert one.resync("BTCUSDT", "sequence_gap", 20.5) == [], "one at a time"
    assert one.received(listed(["BTC-USDT"], ["BTC-USDT"]), 20.6) == [], "not the answer yet"
    assert asked(one.received(listed((), ["BTC-USDT"]), 21.0)) == [request("subscribe", "level2")]
    assert one.received(snapshot(), 21.5) == []
    assert one.received(listed(["BTC-USDT"], ["BTC-USDT"]), 21.6) == [Acknowledged(("BTCUSDT",), ("book",))]
    assert asked(one.resync("BTCUSDT", "crossed", 30.0)) == [request("unsubscribe", "level2")]


def test_an_answer_that_lists_only_what_it_is_about_is_one_too():
    one = subscribed()
    one.resync("BTCUSDT", "sequence_gap", 20.0)
    bare = text({"channel": "subscriptions", "sequence_num": 1, "events": [{"subscriptions": {}}]})
    assert asked(one.received(bare, 21.0)) == [request("subscribe", "level2")]


def test_an_unsubscription_without_an_answer_counts_as_done():
    one = subscribed()
    one.resync("BTCUSDT", "sequence_gap", 20.0)
    assert one.timer(24.9) == []
    assert asked(one.timer(25.0)) == [request("subscribe", "level2")]
    assert one.received(listed((), ["BTC-USDT"]), 25.1) == [], "late"


def test_books_are_renewed_one_after_the_other():
    one = subscribed(("BTC-USDT", "ETH-USDT"))
    both = ["BTC-USDT", "ETH-USDT"]
    assert asked(one.resync("BTCUSDT", "sequence_gap", 20.0)) == [request("unsubscribe", "level2")]
    assert one.resync("ETHUSDT", "sequence_gap", 20.0) == []
    assert asked(one.received(listed(["ETH-USDT"], both), 20.1)) == [
        request("unsubscribe", "level2", "ETH-USDT")
    ]
    assert asked(one.received(listed([], both), 20.2)) == [request("subscribe", "level2")]
    assert asked(one.received(listed(["BTC-USDT"], both), 20.3)[1:]) == [
        request("subscribe", "level2", "ETH-USDT")
    ]


def test_a_request_that_comes_late_does_not_take_down_a_book_that_was_subscribed_since():
    one = subscribed(now=100.0)
    assert one.resync("BTCUSDT", "sequence_gap", 105.0, age_seconds=30.0) == []
    assert one.resync("DOGEUSDT", "sequence_gap", 105.0) == []


def test_a_snapshot_on_its_way_is_waited_for_and_then_another_connection_is_made():
    one = opened({"BTC-USDT": "BTCUSDT"})
    one.received(listed(), 0.1)
    one.received(listed(["BTC-USDT"]), 0.2)
    assert (
        one.resync("BTCUSDT", "never_connected", 5.0) == one.resync("BTCUSDT", "never_connected", 19.9) == []
    )
    assert one.resync("BTCUSDT", "never_connected", 20.0) == [Farewell("no snapshot of BTC-USDT")]
    one.received(snapshot(), 21.0)
    assert asked(one.resync("BTCUSDT", "crossed", 40.0))[-1] == request("unsubscribe", "level2")


def test_a_book_that_was_never_confirmed_is_no_reason_for_another_connection():
    one = opened({"BTC-USDT": "BTCUSDT"})
    assert all(
        isinstance(each, Send) for at in range(5, 100, 5) for each in one.resync("BTCUSDT", "x", float(at))
    )


def test_what_the_exchange_ends_by_itself_is_asked_for_again():
    one = subscribed(("BTC-USDT", "ETH-USDT"))
    both = ["BTC-USDT", "ETH-USDT"]
    assert asked(one.received(listed(["ETH-USDT"], both), 20.0)) == [request("subscribe", "level2")]
    (_, *more) = one.received(listed(both, ["BTC-USDT"]), 21.0)
    assert asked(more) == [request("subscribe", "market_trades", "ETH-USDT")]


@pytest.mark.parametrize(
    "refusal",
    [
        error("Failed to subscribe", reason="ETH-USDT is not a valid product"),
        error("ETH-USDT: invalid product_id"),
    ],
)
def test_a_product_that_is_named_is_not_listed(refusal):
    one = opened()
    refused, *more = one.received(refusal, 0.1)
    assert (refused.symbol, refused.not_listed) == ("ETHUSDT", True)
    assert asked(more) == [request("subscribe", "level2")]
    one.received(listed(["BTC-USDT"]), 0.2)
    one.received(listed(["BTC-USDT"], ["BTC-USDT"]), 0.3)
    assert [
        request for at in range(1, 60) for request in asked(one.timer(float(at))) if "ETH" in str(request)
    ] == []


def test_an_error_that_names_nothing_is_about_the_request_that_waits():
    one = opened()
    one.received(listed(), 0.1)
    refused, *more = one.received(error("ProductID is invalid"), 0.2)
    assert refused == Refused("BTCUSDT", "ProductID is invalid", not_listed=True)
    assert asked(more) == [request("subscribe", "level2", "ETH-USDT")]


def test_a_passing_refusal_is_asked_for_again():
    one = opened({"BTC-USDT": "BTCUSDT"})
    one.received(listed(), 0.1)
    assert one.received(error("rate limit exceeded"), 0.2)[0] == Refused("BTCUSDT", "rate limit exceeded")
    one.received(listed((), ["BTC-USDT"]), 0.3)
    assert asked(one.timer(15.0)) == [request("subscribe", "level2")]


def test_the_name_of_a_product_within_a_longer_one_is_not_that_product():
    one = opened({"BTC-USD": "BTCUSD", "BTC-USDT": "BTCUSDT"})
    assert one.received(error("BTC-USDT is not a valid product"), 0.1)[0].symbol == "BTCUSDT"


@pytest.mark.parametrize("message", ["authentication failure", "no such thing", "unknown product X-USD", ""])
def test_any_other_error_is_of_the_connection(message):
    (refused, *_) = opened().received(error(message), 0.1)
    assert (refused.symbol, refused.not_listed) == (None, False)


def test_a_refused_unsubscription_is_as_good_as_done():
    one = subscribed()
    one.resync("BTCUSDT", "sequence_gap", 20.0)
    assert asked(one.received(error("not subscribed"), 20.1)) == [request("subscribe", "level2")]


@pytest.mark.parametrize(
    "frame",
    [DATA, b"", b"\xff", b"[1]", b"null", b'{"type":"error"', b'{"channel":"subscriptions"}',
     b'{"channel":"subscriptions","events":5}',
     b'{"channel":"subscriptions","events":[{"subscriptions":{"level2":5}}]}',
     b'{"channel":"subscriptions","events":' + b"[" * 2000 + b"]" * 2000 + b"}", b"x" * 10_000,
     b'{"channel":"l2_data","events":[{"type":"snapshot","product_id":"\xff"}]}'],
    ids=lambda frame: repr(frame[:60]),
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    assert subscribed().received(frame, 20.0) == opened().received(frame, 0.1) == []


@pytest.mark.parametrize(
    ("symbol", "name"), [("BTCUSDT", "BTC-USDT"), ("BTCUSD", "BTC-USD"), ("ETHBTC", "ETH-BTC")]
)
def test_the_exchange_separates_base_and_quote(symbol, name):
    assert EXCHANGE.exchange_symbol(symbol) == name


def test_what_is_listed_for_trading():
    product = {
        "product_id": "BTC-USDT",
        "base_currency_id": "BTC",
        "quote_currency_id": "USDT",
        "is_disabled": False,
    }
    other = {
        "product_id": "OLD-USD",
        "base_currency_id": "OLD",
        "quote_currency_id": "USD",
        "is_disabled": True,
    }
    assert EXCHANGE.listed(json.dumps({"products": [product, other]}).encode()) == {"BTCUSDT": "BTC-USDT"}
    assert EXCHANGE.listing("https://api") == "https://api/api/v3/brokerage/market/products?product_type=SPOT"
    for body in (b"", b"{}", b'{"products":[]}', b'{"products":[{"product_id":"X"}]}'):
        with pytest.raises(ValueError, match=r"symbol"):
            EXCHANGE.listed(body)
