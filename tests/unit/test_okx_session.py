"""OKX v5, the session half, by EXCHANGES.md §5. Times are seconds of a clock that the test holds."""

import json

import pytest

from COBY.exchanges.base import Acknowledged, Connect, Endpoints, Farewell, Refused, Send
from COBY.exchanges.okx import EXCHANGE

SYMBOLS = {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT"}
DATA = b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[]}'


def text(message):
    return json.dumps(message).encode()


def asked(commands):
    """The messages that are sent, decoded; nothing else is."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [json.loads(command.text) for command in commands]


def request(operation, name, *channels):
    return {"op": operation, "args": [{"channel": channel, "instId": name} for channel in channels]}


def event(name, channel="books", symbol="BTC-USDT", **more):
    return text({"event": name, "arg": {"channel": channel, "instId": symbol}, "connId": "a4d3ae55"} | more)


def error(code, message):
    return text({"event": "error", "code": code, "msg": message, "connId": "a4d3ae55"})


def subscribed(symbols=SYMBOLS, now=0.0):
    """A session whose subscriptions were confirmed."""
    one = EXCHANGE.session(symbols, Endpoints("wss://ws", "https://rest"))
    one.opened(now)
    for name in symbols:
        for channel in ("books", "trades"):
            one.received(event("subscribe", channel, name), now)
    return one


def test_no_answer_is_asked_for_again_every_fifteen_seconds():
    one = EXCHANGE.session({"BTC-USDT": "BTCUSDT"}, Endpoints("wss://ws", "https://rest"))
    one.opened(0.0)
    one.received(event("subscribe", "books"), 1.0)
    assert one.timer(14.9) == []
    assert asked(one.timer(15.0)) == [request("subscribe", "BTC-USDT", "trades")]
    one.received(event("subscribe", "trades"), 16.0)
    assert one.timer(30.0) == []


def test_a_request_for_each_symbol_so_that_a_bad_one_spoils_no_other():
    one = EXCHANGE.session(SYMBOLS, Endpoints("wss://ws:8443", "https://rest"))
    assert one.connect() == Connect("wss://ws:8443/ws/v5/public")
    assert asked(one.opened(0.0)) == [request("subscribe", name, "books", "trades") for name in SYMBOLS]


@pytest.mark.parametrize(("channel", "ours"), [("books", "book"), ("trades", "trade")])
def test_an_acknowledgement_is_of_one_channel_of_one_symbol(channel, ours):
    frame = event("subscribe", channel, "ETH-USDT")
    assert subscribed().received(frame, 1.0) == [Acknowledged(("ETHUSDT",), (ours,))]


@pytest.mark.parametrize("channel", ["tickers", "books5"])
def test_other_channels_and_symbols_are_not_acknowledged(channel):
    assert subscribed().received(event("subscribe", channel), 1.0) == []
    assert subscribed().received(event("subscribe", "books", "DOGE-USDT"), 1.0) == []


@pytest.mark.parametrize(
    "message",
    ["Wrong URL or channel:books,instId:ETH-USDT doesn't exist. Please use the correct URL",
     "channel:trades,instId:ETH-USDT doesn't exist", "doesn't exist: instId:ETH-USDT"],
)  # fmt: skip
def test_a_symbol_that_does_not_exist_is_not_listed(message):
    assert subscribed().received(error("60018", message), 1.0) == [
        Refused("ETHUSDT", f"60018: {message}", not_listed=True)
    ]


def test_the_name_of_a_symbol_within_a_longer_one_is_not_that_symbol():
    one = subscribed({"ETH-USD": "ETHUSD", "ETH-USDT": "ETHUSDT"})
    (refused,) = one.received(error("60018", "channel:books,instId:ETH-USDT doesn't exist"), 1.0)
    assert refused.symbol == "ETHUSDT"


@pytest.mark.parametrize(
    ("code", "message"),
    [("60012", "Invalid request: instId:ETH-USDT "), ("60018", "channel:books,instId:XYZ-USDT doesn't exist"),
     ("60014", "Requests too frequent"), ("60018", "")],
)  # fmt: skip
def test_any_other_error_is_of_the_whole_request(code, message):
    assert subscribed().received(error(code, message), 1.0) == [Refused(None, f"{code}: {message}")]


def test_too_many_connections_of_a_channel_are_a_refusal_and_their_count_is_not():
    frame = text({"event": "channel-conn-count-error", "channel": "books", "connCount": "30", "connId": "a"})
    (refused,) = subscribed().received(frame, 1.0)
    assert (type(refused), refused.symbol) == (Refused, None)
    count = text({"event": "channel-conn-count", "channel": "books", "connCount": "2", "connId": "a"})
    assert subscribed().received(count, 1.0) == []


def test_a_planned_upgrade_is_a_farewell_and_other_notices_are_not():
    notice = {"event": "notice", "code": "64008", "msg": "The connection will soon be closed", "connId": "a"}
    assert subscribed().received(text(notice), 1.0) == [Farewell("The connection will soon be closed")]
    assert isinstance(subscribed().received(text(notice | {"msg": ""}), 1.0)[0], Farewell)
    assert subscribed().received(text(notice | {"code": "64009"}), 1.0) == []


def test_a_ping_after_twenty_seconds_of_quiet_and_only_once_until_something_is_heard():
    one = subscribed(now=100.0)
    assert one.timer(119.9) == []
    assert one.timer(120.0) == [Send("ping")]
    assert one.timer(140.0) == one.timer(999.0) == []
    for at, heard in ((1000.0, b"pong"), (1100.0, DATA), (1200.0, b"\xff")):
        assert one.received(heard, at) == []
        assert one.timer(at + 19.9) == []
        assert one.timer(at + 20.0) == [Send("ping")]
        assert one.timer(at + 21.0) == []


def test_traffic_needs_no_ping():
    one = subscribed()
    for second in range(1, 100):
        one.received(DATA, float(second))
        assert one.timer(second + 0.5) == []


def test_a_new_snapshot_comes_by_a_new_subscription_after_the_answer():
    one = subscribed()
    assert asked(one.resync("BTCUSDT", "sequence_gap", 10.0)) == [request("unsubscribe", "BTC-USDT", "books")]
    assert one.resync("BTCUSDT", "sequence_gap", 10.5) == [], "one at a time"
    assert asked(one.resync("ETHUSDT", "checksum", 10.6)) == [request("unsubscribe", "ETH-USDT", "books")]
    assert one.received(event("unsubscribe", "trades"), 10.7) == []
    assert asked(one.received(event("unsubscribe"), 11.0)) == [request("subscribe", "BTC-USDT", "books")]
    assert one.received(event("unsubscribe"), 11.1) == [], "once"
    one.received(event("subscribe"), 11.2)
    assert asked(one.timer(15.6)) == [request("subscribe", "ETH-USDT", "books")]
    assert asked(one.resync("BTCUSDT", "checksum", 16.0)) == [request("unsubscribe", "BTC-USDT", "books")]


def test_an_unsubscription_without_an_answer_counts_as_done_after_five_seconds():
    one = subscribed()
    one.resync("BTCUSDT", "sequence_gap", 10.0)
    assert one.timer(14.9) == []
    assert asked(one.timer(15.0)) == [request("subscribe", "BTC-USDT", "books")]
    assert one.received(event("unsubscribe"), 15.1) == [], "late"
    assert one.resync("DOGEUSDT", "sequence_gap", 16.0) == []


def renew_until_farewell(one, now, step):
    """Renewals until the session gives the connection up: how many operations it sent by then."""
    sent = 0
    while True:
        now += step
        for commands in (one.resync("BTCUSDT", "checksum", now), one.received(event("unsubscribe"), now)):
            if any(isinstance(command, Farewell) for command in commands):
                return sent
            sent += sum(len(message["args"]) for message in asked(commands))
        assert sent < 2000


def test_another_connection_is_made_before_the_hours_480_operations_are_used_up():
    names = {f"C{number}-USDT": f"C{number}USDT" for number in range(19)} | {"BTC-USDT": "BTCUSDT"}
    one = subscribed(names, now=1000.0)
    sent = 2 * len(names) + renew_until_farewell(one, 1000.0, step=5.0)
    assert 400 <= sent < 480


def test_operations_of_more_than_an_hour_ago_count_no_more():
    one = subscribed(now=0.0)
    for number in range(1000):
        now = 20.0 * number
        assert asked(one.resync("BTCUSDT", "checksum", now))
        assert asked(one.received(event("unsubscribe"), now + 1.0))


@pytest.mark.parametrize(
    "frame",
    [DATA, b"pong", b"", b"\xff", b"[1]", b"null", b'{"event":', b'{"event":5}', b'{"event":"subscribe"}',
     b'{"event":"unsubscribe","arg":{}}', b'{"event":"login","code":"0"}', b"x" * 10_000,
     b'{"event":' + b"[" * 2000 + b"]" * 2000 + b"}"],
    ids=lambda frame: repr(frame[:40]),
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    assert subscribed().received(frame, 1.0) == []


@pytest.mark.parametrize(
    ("symbol", "name"), [("BTCUSDT", "BTC-USDT"), ("BTCUSD", "BTC-USD"), ("ETHBTC", "ETH-BTC")]
)
def test_the_exchange_separates_base_and_quote(symbol, name):
    assert EXCHANGE.exchange_symbol(symbol) == name
