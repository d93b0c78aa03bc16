"""Bybit v5 spot, the session half, by EXCHANGES.md §4. Times are seconds of a clock that the test holds."""

import json

import pytest

from COBY.exchanges.base import Acknowledged, Connect, Endpoints, Refused, Send
from COBY.exchanges.bybit import EXCHANGE

SYMBOLS = {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"}
TOPIC = {"book": "orderbook.1000.", "trade": "publicTrade."}
PING = {"req_id": "ping", "op": "ping"}


def text(message):
    return json.dumps(message).encode()


def asked(commands):
    """The messages that are sent, decoded; nothing else is."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [json.loads(command.text) for command in commands]


def request(operation, number, *channels):
    name = number.partition(".")[2]
    return {"req_id": number, "op": operation, "args": [f"{TOPIC[channel]}{name}" for channel in channels]}


def reply(operation, number, message="", success=True):
    return text({"success": success, "ret_msg": message, "conn_id": "c1", "req_id": number, "op": operation})


def refused(message, number="all.BTCUSDT", operation="subscribe"):
    return reply(operation, number, message, success=False)


def fresh(symbols=SYMBOLS, now=0.0):
    one = EXCHANGE.session(symbols, Endpoints("wss://ws", "https://rest"))
    one.opened(now)
    return one


def subscribed(symbols=SYMBOLS, now=0.0):
    """A session whose subscriptions were confirmed."""
    one = fresh(symbols, now)
    for name in symbols:
        one.received(reply("subscribe", f"all.{name}", "subscribe"), now)
    return one


def test_a_request_for_each_symbol_so_that_a_bad_one_spoils_no_other_and_none_has_more_than_ten_topics():
    names = {f"C{number}USDT": f"C{number}USDT" for number in range(EXCHANGE.symbols_per_slot)}
    one = EXCHANGE.session(names, Endpoints("wss://ws", "https://rest"))
    assert one.connect() == Connect("wss://ws/v5/public/spot")
    requests = asked(one.opened(0.0))
    assert requests == [request("subscribe", f"all.{name}", "book", "trade") for name in names]
    assert max(len(each["args"]) for each in requests) <= 10
    assert sum(len(topic) for each in requests for topic in each["args"]) < 21_000
    assert len({each["req_id"] for each in requests}) == len(requests), "each answer is told from the others"


@pytest.mark.parametrize(
    ("number", "channels"), [("all", ("book", "trade")), ("book", ("book",)), ("trade", ("trade",))]
)
def test_an_acknowledgement_is_of_what_its_request_asked_for(number, channels):
    frame = reply("subscribe", f"{number}.ETHUSDT", "subscribe")
    assert fresh().received(frame, 1.0) == [Acknowledged(("ETHUSDT",), channels)]


@pytest.mark.parametrize("number", ["all.DOGEUSDT", "ping", "", "other.BTCUSDT", "1"])
def test_answers_to_what_was_not_asked_acknowledge_nothing(number):
    assert fresh().received(reply("subscribe", number, "subscribe"), 1.0) == []


def test_no_answer_is_asked_for_again_every_fifteen_seconds():
    one = fresh({"BTCUSDT": "BTCUSDT"})
    assert one.timer(14.9) == []
    assert asked(one.timer(15.0)) == [
        request("subscribe", "book.BTCUSDT", "book"),
        request("subscribe", "trade.BTCUSDT", "trade"),
    ]
    one.received(reply("subscribe", "book.BTCUSDT"), 16.0)
    assert asked(one.timer(30.0)) == [request("subscribe", "trade.BTCUSDT", "trade"), PING]
    one.received(reply("subscribe", "trade.BTCUSDT"), 31.0)
    assert one.timer(45.0) == []


@pytest.mark.parametrize(
    "message",
    ["Invalid symbol :[orderbook.1000.BTCUSDT]", "Invalid topic: publicTrade.BTCUSDT",
     "error:handler not found,topic:orderbook.1000.BTCUSDT"],
)  # fmt: skip
@pytest.mark.parametrize("number", ["all.BTCUSDT", "book.BTCUSDT", "", "unknown"])
def test_a_symbol_that_does_not_exist_is_not_listed_and_not_asked_for_again(message, number):
    one = fresh()
    one.received(reply("subscribe", "all.ETHUSDT"), 0.5)
    assert one.received(refused(message, number), 1.0) == [Refused("BTCUSDT", message, not_listed=True)]
    assert one.timer(19.0) == []


def test_the_name_of_a_symbol_within_a_longer_one_is_not_that_symbol():
    one = fresh({"BTCUSD": "BTCUSD", "BTCUSDT": "BTCUSDT"})
    (found,) = one.received(refused("Invalid topic: orderbook.1000.BTCUSDT", ""), 1.0)
    assert found.symbol == "BTCUSDT"


def test_another_refusal_of_a_symbol_is_asked_for_again():
    one = fresh({"BTCUSDT": "BTCUSDT"})
    message = "error:system busy"
    assert one.received(refused(message), 1.0) == [Refused("BTCUSDT", message)]
    assert len(asked(one.timer(15.0))) == 2


@pytest.mark.parametrize(
    "frame",
    [refused("Invalid topic: invalid.topic.BTCUSDT", ""), refused("args size >10", "x"),
     text({"success": False, "conn_id": "", "op": ""})],
)  # fmt: skip
def test_a_refusal_that_names_no_symbol_is_of_the_whole_connection(frame):
    (found,) = fresh().received(frame, 1.0)
    assert (type(found), found.symbol, found.not_listed) == (Refused, None, False)


def test_what_is_subscribed_already_is_confirmed_each_topic_for_itself():
    one = fresh({"BTCUSDT": "BTCUSDT"})
    again = "error:already subscribed,topic:orderbook.1000.BTCUSDT"
    assert asked(one.received(refused(again), 1.0)) == [
        request("subscribe", "book.BTCUSDT", "book"),
        request("subscribe", "trade.BTCUSDT", "trade"),
    ]
    assert one.received(refused(again, "book.BTCUSDT"), 1.1) == [Acknowledged(("BTCUSDT",), ("book",))]
    one.received(reply("subscribe", "trade.BTCUSDT"), 1.2)
    assert one.timer(19.0) == []


def test_a_ping_every_twenty_seconds_whatever_else_is_heard():
    one = subscribed(now=100.0)
    for turn in range(1, 40):
        at = 100.0 + 20.0 * turn
        one.received(b'{"topic":"publicTrade.BTCUSDT"}', at - 1.0)
        assert one.timer(at - 0.1) == []
        assert asked(one.timer(at)) == [PING]
        assert one.timer(at + 0.1) == []


@pytest.mark.parametrize(
    "pong",
    [{"success": True, "ret_msg": "pong", "conn_id": "a", "req_id": "", "op": "ping"},
     {"success": True, "ret_msg": "pong", "conn_id": "a", "op": "ping"}, {"op": "pong"},
     {"op": "pong", "args": ["1753340040127"], "conn_id": "a"},
     {"success": True, "ret_msg": "pong", "conn_id": "a", "req_id": "all.BTCUSDT", "op": "pong"}],
)  # fmt: skip
def test_a_pong_whatever_its_op_is_no_acknowledgement(pong):
    assert fresh().received(text(pong), 1.0) == []


def test_a_new_snapshot_comes_by_a_new_subscription_after_the_answer():
    one = subscribed()
    assert asked(one.resync("BTCUSDT", "sequence_gap", 10.0)) == [
        request("unsubscribe", "book.BTCUSDT", "book")
    ]
    assert one.resync("BTCUSDT", "sequence_gap", 10.5) == [], "one at a time"
    assert asked(one.resync("ETHUSDT", "sequence_gap", 10.6)) == [
        request("unsubscribe", "book.ETHUSDT", "book")
    ]
    assert one.received(reply("subscribe", "book.BTCUSDT"), 10.7) != []
    assert asked(one.received(reply("unsubscribe", "book.BTCUSDT"), 11.0)) == [
        request("subscribe", "book.BTCUSDT", "book")
    ]
    assert one.received(reply("unsubscribe", "book.BTCUSDT"), 11.1) == [], "once"
    one.received(reply("subscribe", "book.BTCUSDT"), 11.2)
    assert asked(one.timer(15.6)) == [request("subscribe", "book.ETHUSDT", "book")]
    assert asked(one.resync("BTCUSDT", "sequence_gap", 16.0)) == [
        request("unsubscribe", "book.BTCUSDT", "book")
    ]


def test_an_unsubscription_refused_or_without_an_answer_counts_as_done():
    one = subscribed()
    one.resync("BTCUSDT", "sequence_gap", 10.0)
    assert one.timer(14.9) == []
    assert asked(one.timer(15.0)) == [request("subscribe", "book.BTCUSDT", "book")]
    assert one.received(reply("unsubscribe", "book.BTCUSDT"), 15.1) == [], "late"
    one.resync("ETHUSDT", "sequence_gap", 16.0)
    not_subscribed = refused("error:not subscribed", "book.ETHUSDT", "unsubscribe")
    assert asked(one.received(not_subscribed, 16.5)) == [request("subscribe", "book.ETHUSDT", "book")]
    assert one.received(refused("error", "", "unsubscribe"), 16.6) == []


def test_a_request_from_before_the_last_subscription_takes_no_book_down():
    one = subscribed(now=100.0)
    assert one.resync("BTCUSDT", "sequence_gap", 103.0, age_seconds=5.0) == []
    assert one.resync("DOGEUSDT", "sequence_gap", 103.0) == []


@pytest.mark.parametrize(
    "frame",
    [b'{"topic":"publicTrade.BTCUSDT","data":[]}', b'{"data":[],"topic":"publicTrade.BTCUSDT"}', b"", b"\xff", b"[1]",
     b"null", b'{"success":', b'{"success":5}', b'{"success":true}', b'{"success":true,"op":"auth"}', b"x" * 10_000,
     b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"],
    ids=lambda frame: repr(frame[:40]),
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    assert fresh().received(frame, 1.0) == []


def test_a_symbol_is_written_as_ours():
    assert EXCHANGE.exchange_symbol("BTCUSDT") == "BTCUSDT"


def instruments(**more):
    listed = [("BTCUSDT", "BTC", "USDT", "Trading"), ("OLDUSDT", "OLD", "USDT", "Closed")]
    rows = [
        {"symbol": s, "baseCoin": b, "quoteCoin": q, "status": t, "marginTrading": "both"}
        for s, b, q, t in listed
    ]
    result = {"category": "spot", "list": rows}
    return text({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1} | more)


def test_what_is_listed_and_traded():
    assert EXCHANGE.listing("https://rest") == "https://rest/v5/market/instruments-info?category=spot"
    assert EXCHANGE.listed(instruments()) == {"BTCUSDT": "BTCUSDT"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", instruments(retCode=10001), instruments(result={})])
def test_a_list_that_is_none_is_an_error(body):
    with pytest.raises(ValueError, match=r"."):
        EXCHANGE.listed(body)
