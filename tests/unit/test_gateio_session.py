"""Gate.io v4 spot, the session half, by EXCHANGES.md §8. Times are seconds of a clock that the test holds."""

import json

import pytest

from COBY.exchanges.base import Acknowledged, Connect, Endpoints, Refused, Send
from COBY.exchanges.gateio import EXCHANGE

SYMBOLS = {"BTC_USDT": "BTCUSDT", "ETH_USDT": "ETHUSDT"}
BOOKS, TRADES = "spot.obu", "spot.trades"


def text(message):
    return json.dumps(message).encode()


def asked(commands):
    """The messages that are sent, decoded; nothing else is."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [json.loads(command.text) for command in commands]


def wanted(commands):
    """The same in short: event, channel and payload of each, a ping as its channel."""
    return [(one.get("event"), one["channel"], *one.get("payload", [])) for one in asked(commands)]


def item(channel, name):
    return f"ob.{name}.400" if channel == BOOKS else name


def subscription(channel, name, event="subscribe"):
    return (event, channel, item(channel, name))


def reply(event, channel, name="BTC_USDT", number=None, **more):
    head = {"time": 1, "time_ms": 1001, "conn_id": "86f3", "channel": channel, "event": event}
    named = {"payload": [item(channel, name)]} if name else {}
    numbered = {} if number is None else {"id": number}
    return text(head | numbered | named | {"result": {"status": "success"}, "requestId": "4828"} | more)


def refused(message, channel=TRADES, code=2, **more):
    return reply("subscribe", channel, error={"code": code, "message": message}, result=None, **more)


def fresh(symbols=SYMBOLS, now=0.0):
    one = EXCHANGE.session(symbols, Endpoints("wss://ws", "https://rest"))
    one.opened(now)
    return one


def subscribed(symbols=SYMBOLS, now=0.0):
    """A session whose subscriptions were confirmed."""
    one = fresh(symbols, now)
    for name in symbols:
        for channel in (BOOKS, TRADES):
            one.received(reply("subscribe", channel, name), now)
    return one


def test_a_request_for_each_channel_of_each_symbol_so_that_a_bad_one_spoils_no_other():
    one = EXCHANGE.session(SYMBOLS, Endpoints("wss://ws", "https://rest"))
    assert one.connect() == Connect("wss://ws/ws/v4/"), "with the slash at its end"
    requests = asked(one.opened(7.5))
    assert requests == [
        {"time": 7, "id": number, "channel": channel, "event": "subscribe", "payload": [item(channel, name)]}
        for number, (name, channel) in enumerate([(n, c) for n in SYMBOLS for c in (BOOKS, TRADES)], 1)
    ]


@pytest.mark.parametrize(("channel", "ours"), [(BOOKS, "book"), (TRADES, "trade")])
@pytest.mark.parametrize("number", [None, 99, "3"])
def test_an_acknowledgement_is_told_by_its_payload(channel, ours, number):
    frame = reply("subscribe", channel, "ETH_USDT", number)
    assert fresh().received(frame, 1.0) == [Acknowledged(("ETHUSDT",), (ours,))]


def test_an_acknowledgement_without_a_payload_is_told_by_its_number():
    assert fresh().received(reply("subscribe", BOOKS, None, 3), 1.0) == [
        Acknowledged(("ETHUSDT",), ("book",))
    ]


def test_an_acknowledgement_with_neither_as_in_2021_is_that_of_the_first_request_without_one():
    one = fresh()
    assert [one.received(reply("subscribe", BOOKS, None), 1.0) for _ in range(3)] == [
        [Acknowledged(("BTCUSDT",), ("book",))],
        [Acknowledged(("ETHUSDT",), ("book",))],
        [],
    ]
    assert one.timer(14.0) == []
    assert wanted(one.timer(16.0))[:2] == [subscription(TRADES, name) for name in SYMBOLS]


def test_answers_to_what_was_not_asked_acknowledge_nothing():
    for frame in (
        reply("subscribe", BOOKS, "DOGE_USDT"),
        reply("subscribe", "spot.tickers"),
        reply("update", BOOKS),
    ):
        assert fresh().received(frame, 1.0) == []


def test_no_answer_is_asked_for_again_every_fifteen_seconds():
    one = fresh({"BTC_USDT": "BTCUSDT"})
    one.received(reply("subscribe", BOOKS), 1.0)
    assert one.timer(14.9) == []
    assert wanted(one.timer(15.0)) == [subscription(TRADES, "BTC_USDT"), (None, "spot.ping")]
    one.received(reply("subscribe", TRADES), 16.0)
    assert wanted(one.timer(30.0)) == [(None, "spot.ping")]


@pytest.mark.parametrize("message", ["unknown currency pair ETH_USDT", "Unknown currency pair: ETH_USDT"])
@pytest.mark.parametrize("more", [{"name": "ETH_USDT"}, {"name": None, "number": 4}, {"name": None}])
def test_a_pair_that_does_not_exist_is_not_listed_and_not_asked_for_again(message, more):
    one = fresh()
    one.received(reply("subscribe", BOOKS), 0.5)
    one.received(reply("subscribe", TRADES), 0.5)
    found = one.received(refused(message, **more), 1.0)
    assert found == [Refused("ETHUSDT", f"2: {message}", not_listed=True)]
    assert one.timer(14.9) == []
    assert wanted(one.timer(15.0)) == [(None, "spot.ping")]


def test_a_subscription_that_was_there_already_is_confirmed():
    one = fresh({"BTC_USDT": "BTCUSDT"})
    alert = refused("Alert sub ob.BTC_USDT.400", BOOKS)
    assert one.received(alert, 1.0) == [Acknowledged(("BTCUSDT",), ("book",))]
    one.received(reply("subscribe", TRADES), 1.0)
    assert wanted(one.timer(16.0)) == [(None, "spot.ping")]


def test_another_refusal_is_of_its_symbol_and_asked_for_again():
    one = fresh({"BTC_USDT": "BTCUSDT"})
    one.received(reply("subscribe", BOOKS), 0.5)
    assert one.received(refused("internal error", code=3), 1.0) == [Refused("BTCUSDT", "3: internal error")]
    assert wanted(one.timer(15.0)) == [subscription(TRADES, "BTC_USDT"), (None, "spot.ping")]


def test_a_result_that_is_no_success_is_a_refusal_too():
    frame = reply("subscribe", TRADES, result={"status": "fail"})
    assert fresh().received(frame, 1.0) == [Refused("BTCUSDT", "status 'fail'")]


def test_a_refusal_of_nobody_s_request_is_of_the_whole_connection():
    assert subscribed().received(refused("invalid request", name=None), 1.0) == [
        Refused(None, "2: invalid request")
    ]


def test_a_ping_every_fifteen_seconds_whatever_else_is_heard():
    one = subscribed(now=100.0)
    for turn in range(1, 40):
        at = 100.0 + 15.0 * turn
        one.received(b'{"channel":"spot.obu","result":{},"event":"update"}', at - 1.0)
        assert one.timer(at - 0.1) == []
        assert asked(one.timer(at)) == [{"time": int(at), "channel": "spot.ping"}]
        assert one.received(b'{"time":1,"channel":"spot.pong","event":"","result":null}', at) == []


def test_a_new_book_comes_by_a_new_subscription_after_the_answer():
    one = subscribed()
    assert wanted(one.resync("BTCUSDT", "sequence_gap", 10.0)) == [
        subscription(BOOKS, "BTC_USDT", "unsubscribe")
    ]
    assert one.resync("BTCUSDT", "sequence_gap", 10.5) == [], "one at a time"
    assert wanted(one.resync("ETHUSDT", "sequence_gap", 10.6)) == [
        subscription(BOOKS, "ETH_USDT", "unsubscribe")
    ]
    assert one.received(reply("unsubscribe", TRADES), 10.7) == []
    assert wanted(one.received(reply("unsubscribe", BOOKS), 11.0)) == [subscription(BOOKS, "BTC_USDT")]
    assert one.received(reply("unsubscribe", BOOKS), 11.1) == [], "once"
    one.received(reply("subscribe", BOOKS), 11.2)
    assert wanted(one.timer(15.6))[:1] == [subscription(BOOKS, "ETH_USDT")]
    assert wanted(one.resync("BTCUSDT", "sequence_gap", 16.0)) == [
        subscription(BOOKS, "BTC_USDT", "unsubscribe")
    ]


def test_an_unsubscription_refused_or_without_an_answer_counts_as_done():
    one = subscribed(now=9.0)
    one.resync("BTCUSDT", "sequence_gap", 10.0)
    assert one.timer(14.9) == []
    assert wanted(one.timer(15.0)) == [subscription(BOOKS, "BTC_USDT")]
    assert one.received(reply("unsubscribe", BOOKS), 15.1) == [], "late"
    one.resync("ETHUSDT", "sequence_gap", 16.0)
    failed = reply(
        "unsubscribe", BOOKS, "ETH_USDT", error={"code": 2, "message": "not subscribed"}, result=None
    )
    assert wanted(one.received(failed, 16.5)) == [subscription(BOOKS, "ETH_USDT")]


def test_a_request_from_before_the_last_subscription_takes_no_book_down():
    one = subscribed(now=100.0)
    assert one.resync("BTCUSDT", "sequence_gap", 103.0, age_seconds=5.0) == []
    assert one.resync("DOGEUSDT", "sequence_gap", 103.0) == []


@pytest.mark.parametrize(
    "frame",
    [b'{"channel":"spot.trades","event":"update","result":{}}', b"", b"\xff", b'["subscribe"]', b"null",
     b'{"event":"subscribe"', b'{"event":"subscribe"}', b'{"channel":"spot.obu","event":"subscribe","payload":5}',
     b'{"channel":"spot.obu","event":"subscribe","id":[1]}', b'x"subscribe"' * 1_000,
     b'{"event":"subscribe","a":' + b"[" * 900 + b"]" * 900 + b"}"],
    ids=lambda frame: repr(frame[:40]),
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    assert fresh().received(frame, 1.0) == []


@pytest.mark.parametrize(("symbol", "name"), [("BTCUSDT", "BTC_USDT"), ("ETHBTC", "ETH_BTC")])
def test_the_exchange_separates_base_and_quote(symbol, name):
    assert EXCHANGE.exchange_symbol(symbol) == name


def test_what_is_listed_and_traded():
    pairs = [{"id": "BTC_USDT", "base": "BTC", "quote": "USDT", "fee": "0.2", "trade_status": "tradable"},
             {"id": "OLD_USDT", "base": "OLD", "quote": "USDT", "trade_status": "untradable"}]  # fmt: skip
    assert EXCHANGE.listing("https://rest") == "https://rest/api/v4/spot/currency_pairs"
    assert EXCHANGE.listed(text(pairs)) == {"BTCUSDT": "BTC_USDT"}


@pytest.mark.parametrize("body", [b"", b"{}", b"[{}]", b'{"label":"NOT_FOUND","message":"Not found"}'])
def test_a_list_that_is_none_is_an_error(body):
    with pytest.raises(ValueError, match=r"."):
        EXCHANGE.listed(body)
