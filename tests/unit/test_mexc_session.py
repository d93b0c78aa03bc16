"""MEXC spot v3, the session half, by EXCHANGES.md §10. Times are seconds of a clock that the test holds."""

import json

import pytest

from COBY.exchanges.base import Acknowledged, Connect, Endpoints, Farewell, Fetch, Refused, Send
from COBY.exchanges.mexc import EXCHANGE
from tests.protobuf_by_hand import DEALS, DEPTH, depth

SYMBOLS = {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"}
ENDPOINTS = Endpoints("wss://ws", "https://rest")


def text(request_id, message, code=0):
    return json.dumps({"id": request_id, "code": code, "msg": message}).encode()


def asked(commands):
    """The messages that are sent, decoded; nothing else is."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [json.loads(command.text) for command in commands]


def opened(symbols=SYMBOLS, now=0.0):
    """A session and the ids of what it asked for, by topic."""
    one = EXCHANGE.session(symbols, ENDPOINTS)
    assert one.connect() == Connect("wss://ws/ws")
    messages = asked(one.opened(now))
    assert {message["method"] for message in messages} <= {"SUBSCRIPTION"}
    return one, {message["params"][0]: message["id"] for message in messages}


def refusal(*topics):
    return f"Not Subscribed successfully! [{','.join(topics)}].  Reason： Blocked! "


def test_a_full_slot_asks_for_no_more_than_the_thirty_subscriptions_of_a_connection():
    symbols = {f"C{number}USDT": f"C{number}USDT" for number in range(EXCHANGE.symbols_per_slot)}
    one = EXCHANGE.session(symbols, ENDPOINTS)
    topics = [topic for message in asked(one.opened(0.0)) for topic in message["params"]]
    assert len(topics) == len(set(topics)) == 30


def test_an_acknowledgement_names_its_topic_and_the_book_is_fetched_after_its_first_update():
    """Without an update beside it nobody could tell that an answer is of long ago."""
    one, ids = opened()
    topic = f"{DEPTH}@ETHUSDT"
    assert one.received(text(ids[topic], topic), 1.0) == [Acknowledged(("ETHUSDT",), ("book",))]
    fetch = Fetch("https://rest/api/v3/depth?symbol=ETHUSDT&limit=5000", "ETHUSDT")
    # Field 1 of the wrapper is the channel, a text (EXCHANGES.md §10).
    pushed = {name: bytes([10, len(name)]) + name.encode() for name in (topic, f"{DEALS}@ETHUSDT")}
    assert one.received(pushed[f"{DEALS}@ETHUSDT"], 1.1) == []
    assert one.received(pushed[topic], 1.1) == [fetch]
    assert one.received(pushed[topic], 1.2) == [], "once"
    topic = f"{DEPTH}@BTCUSDT"
    one.received(text(ids[topic], topic), 1.2)
    assert one.timer(2.1) == []
    assert [command.symbol for command in one.timer(2.2)] == ["BTCUSDT"], "a quiet book"
    topic = f"{DEALS}@BTCUSDT"
    assert one.received(text(0, topic), 1.0) == [Acknowledged(("BTCUSDT",), ("trade",))], "by its topic alone"


def test_code_0_is_no_success():
    one, ids = opened()
    topic = f"{DEPTH}@ETHUSDT"
    refused, fetch = one.received(text(ids[topic], refusal(topic)), 1.0)
    assert refused == Refused("ETHUSDT", f"0: {refusal(topic)}", not_listed=False)
    assert fetch == Fetch("https://rest/api/v3/exchangeInfo?symbol=ETHUSDT", "ETHUSDT"), (
        "REST says if there is one"
    )
    (again,) = one.received(text(ids[topic], refusal(topic)), 2.0)
    assert isinstance(again, Refused)


@pytest.mark.parametrize(("message", "code"), [("no topic in it", 0), ("", 0), (f"{DEPTH}@ETHUSDT", 1)])
def test_an_answer_without_its_topic_or_with_another_code_is_no_success(message, code):
    one, ids = opened()
    commands = one.received(text(ids[f"{DEPTH}@ETHUSDT"], message, code), 1.0)
    assert isinstance(commands[0], Refused)
    assert commands[0].symbol == "ETHUSDT"


def test_what_was_refused_or_not_answered_is_asked_for_again():
    one, ids = opened({"BTCUSDT": "BTCUSDT"})
    one.received(text(ids[f"{DEALS}@BTCUSDT"], f"{DEALS}@BTCUSDT"), 1.0)
    one.received(text(ids[f"{DEPTH}@BTCUSDT"], refusal(f"{DEPTH}@BTCUSDT")), 1.0)
    assert one.timer(14.9) == []
    (again,) = asked(one.timer(15.0))
    assert again["params"] == [f"{DEPTH}@BTCUSDT"]
    assert again["id"] not in ids.values()
    assert isinstance(one.received(text(again["id"], f"{DEPTH}@BTCUSDT"), 16.0)[0], Acknowledged)


def test_the_name_of_a_symbol_within_a_longer_one_is_not_that_symbol():
    one, _ = opened({"BTCUSD": "BTCUSD", "BTCUSDT": "BTCUSDT"})
    (acknowledged,) = one.received(text(0, f"{DEALS}@BTCUSDT"), 1.0)
    assert acknowledged.symbols == ("BTCUSDT",)


def test_an_error_of_no_request_is_of_the_connection():
    one, _ = opened()
    assert one.received(text(0, "msg format invalid", 3), 1.0) == [Refused(None, "3: msg format invalid")]


def test_a_ping_every_twenty_seconds_whatever_the_traffic():
    one = EXCHANGE.session({}, ENDPOINTS)
    one.opened(100.0)
    for turn in (1, 2, 3):
        at = 100.0 + 20.0 * turn
        one.received(depth(1, 1), at - 0.2)
        assert one.timer(at - 0.1) == []
        assert asked(one.timer(at)) == [{"method": "PING"}]
        assert one.received(text(0, "PONG"), at + 0.1) == []


def test_a_connection_ends_before_its_24_hours_do():
    one = EXCHANGE.session({}, ENDPOINTS)
    one.opened(1000.0)
    assert not any(isinstance(command, Farewell) for command in one.timer(1000.0 + 23 * 3600))
    assert any(isinstance(command, Farewell) for command in one.timer(1000.0 + 24 * 3600 - 60))


def test_a_snapshot_that_is_too_old_again_and_again_is_asked_for_later_and_later():
    one, _ = opened()
    delays = [one.resync("ETHUSDT", "snapshot_too_old", 5.0)[0].delay_seconds for _ in range(7)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert one.resync("BTCUSDT", "snapshot_too_old", 5.0)[0].delay_seconds == 0.5, "each for itself"
    assert one.resync("ETHUSDT", "sequence_gap", 5.0)[0].delay_seconds == 0.0
    assert one.resync("ETHUSDT", "snapshot_too_old", 5.0)[0].delay_seconds == 0.5
    assert one.resync("DOGEUSDT", "sequence_gap", 5.0) == []


@pytest.mark.parametrize(
    "frame",
    [depth(1, 1), b"", b"\xff", b"[1]", b"{", b'{"id":[]}', b'{"msg":"x"}', b"{" + b" " * 10_000 + b"}"],
    ids=lambda frame: repr(frame[:40]),
)
def test_data_and_rubbish_lead_to_no_command(frame):
    one, _ = opened()
    assert one.received(frame, 1.0) == []


def test_what_it_lists_is_what_is_traded():
    assert EXCHANGE.exchange_symbol("BTCUSDT") == "BTCUSDT"
    assert EXCHANGE.listing("https://rest") == "https://rest/api/v3/exchangeInfo"
    pairs = [{"symbol": f"{base}USDT", "baseAsset": base, "quoteAsset": "USDT", "status": status}
             for base, status in (("BTC", "1"), ("ETH", "ENABLED"), ("LUNA", "3"))]  # fmt: skip
    assert EXCHANGE.listed(json.dumps({"symbols": pairs}).encode()) == {
        "BTCUSDT": "BTCUSDT",
        "ETHUSDT": "ETHUSDT",
    }
