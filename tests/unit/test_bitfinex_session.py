"""Bitfinex v2, the session half, by EXCHANGES.md §9. Times are seconds of a clock that the test holds."""

import json

import pytest

from COBY.exchanges.base import Acknowledged, Connect, Endpoints, Farewell, Refused, Send
from COBY.exchanges.bitfinex import EXCHANGE
from COBY.symbols import split

SYMBOLS = {"tBTCUST": "BTCUSDT", "tETHUST": "ETHUSDT"}
IDS = {("book", "tBTCUST"): 11, ("trades", "tBTCUST"): 12, ("book", "tETHUST"): 13, ("trades", "tETHUST"): 14}
CONF = {"event": "conf", "flags": 196608}
DATA = b"[11,[60000,1,0.5],7]"


def text(message):
    return json.dumps(message).encode()


def asked(commands):
    """The messages that are sent, decoded; nothing else is."""
    assert all(isinstance(command, Send) for command in commands), commands
    return [json.loads(command.text) for command in commands]


def request(channel, name):
    head = {"event": "subscribe", "channel": channel, "symbol": name, "subId": f"{channel} {name}"}
    return head | ({"prec": "P0", "freq": "F0", "len": "250"} if channel == "book" else {})


def subscribed(channel, name, number):
    head = {"event": "subscribed", "channel": channel, "chanId": number, "symbol": name, "pair": name[1:]}
    return text(head)


def unsubscribed(number, **more):
    return text({"event": "unsubscribed", "status": "OK", "chanId": number} | more)


def error(code, message="", **more):
    return text({"event": "error", "msg": message, "code": code} | more)


def info(**more):
    return text({"event": "info", **more})


def opened(symbols=SYMBOLS, now=0.0):
    """A session that has just been opened."""
    one = EXCHANGE.session(symbols, Endpoints("wss://ws", "https://rest"))
    assert one.connect() == Connect("wss://ws/ws/2")
    assert asked(one.opened(now)) == [CONF]
    return one


def confirmed(now=0.0):
    """A session whose subscriptions were confirmed."""
    one = opened(now=now)
    one.received(text({"event": "conf", "status": "OK", "flags": 196608}), now)
    for (channel, name), number in IDS.items():
        one.received(subscribed(channel, name, number), now)
    return one


def test_the_flags_come_first_and_the_subscriptions_once_they_are_confirmed():
    one = opened()
    assert one.received(info(version=2, serverId="a", platform={"status": 1}), 0.1) == []
    assert one.timer(1.0) == []
    flags = text({"event": "conf", "status": "OK", "flags": 196608})
    assert asked(one.received(flags, 1.1)) == [request(*key) for key in IDS]
    assert one.received(flags, 1.2) == [], "once"


@pytest.mark.parametrize(
    "more",
    [
        {"status": "FAILED"},
        {"flags": 65536},
        {"flags": 131072},
        {"flags": None},
        {"flags": "196608"},
        {"status": None},
    ],
)
def test_without_sequence_and_checksum_there_is_no_connection(more):
    (refused,) = opened().received(text({"event": "conf", "status": "OK", "flags": 196608} | more), 1.0)
    assert (type(refused), refused.symbol, refused.not_listed) == (Refused, None, False)


@pytest.mark.parametrize(("channel", "ours"), [("book", "book"), ("trades", "trade")])
def test_an_acknowledgement_is_of_one_channel_of_one_symbol(channel, ours):
    frame = subscribed(channel, "tETHUST", 5)
    assert confirmed().received(frame, 1.0) == [Acknowledged(("ETHUSDT",), (ours,))]


def test_other_channels_and_symbols_are_not_acknowledged():
    assert confirmed().received(subscribed("ticker", "tBTCUST", 5), 1.0) == []
    assert confirmed().received(subscribed("book", "tDOGUST", 5), 1.0) == []


def test_no_answer_is_asked_for_again_every_fifteen_seconds():
    one = opened({"tBTCUST": "BTCUSDT"})
    one.received(text({"event": "conf", "status": "OK", "flags": 196608}), 0.0)
    one.received(subscribed("book", "tBTCUST", 11), 1.0)
    assert one.timer(14.9) == []
    assert asked(one.timer(15.0)) == [request("trades", "tBTCUST")]
    one.received(subscribed("trades", "tBTCUST", 12), 16.0)
    assert one.received(error(10301, "subscribe: dup", subId="trades tBTCUST"), 16.1) == [], "they crossed"
    assert one.timer(40.0) == []


@pytest.mark.parametrize(
    "named",
    [{"subId": "book tETHUST"}, {"channel": "trades", "symbol": "tETHUST"},
     {"subId": "trades tETHUST", "channel": "trades", "symbol": "tETHUST", "pair": "ETHUST"}],
)  # fmt: skip
@pytest.mark.parametrize(("code", "message"), [(10300, "symbol: invalid"), (10001, "Unknown pair")])
def test_a_symbol_that_does_not_exist_is_not_listed_and_not_asked_for_again(named, code, message):
    one = opened()
    one.received(text({"event": "conf", "status": "OK", "flags": 196608}), 0.0)
    assert one.received(error(code, message, **named), 1.0) == [
        Refused("ETHUSDT", f"{code}: {message}", not_listed=True)
    ]
    assert asked(one.timer(15.0)) == [request("book", "tBTCUST"), request("trades", "tBTCUST")]


@pytest.mark.parametrize(
    ("code", "message", "more"),
    [(10300, "symbol: invalid", {}), (10300, "symbol: invalid", {"channel": "book", "symbol": "tDOGUST"}),
     (10300, "len: invalid", {"subId": "book tETHUST"}), (10302, "channel: unknown", {"subId": "book tETHUST"}),
     (10305, "subscribe: limit", {"subId": "book tETHUST"}), (10000, "unknown event", {}), (None, "", {}),
     (10301, "subscribe: dup", {"subId": "book tDOGUST"})],
)  # fmt: skip
def test_any_other_error_is_of_the_whole_connection(code, message, more):
    assert confirmed().received(error(code, message, **more), 1.0) == [Refused(None, f"{code}: {message}")]


def test_a_new_snapshot_comes_by_a_new_subscription_after_the_answer():
    one = confirmed()
    assert asked(one.resync("BTCUSDT", "checksum", 10.0)) == [{"event": "unsubscribe", "chanId": 11}]
    assert one.resync("BTCUSDT", "checksum", 10.5) == [], "one at a time"
    assert asked(one.resync("ETHUSDT", "sequence_gap", 10.6)) == [{"event": "unsubscribe", "chanId": 13}]
    assert asked(one.received(unsubscribed(11), 11.0)) == [request("book", "tBTCUST")]
    assert one.received(unsubscribed(11), 11.1) == [], "once"
    assert one.resync("BTCUSDT", "checksum", 11.2) == [], "its snapshot is on the way"
    one.received(subscribed("book", "tBTCUST", 31), 11.3)
    assert one.resync("BTCUSDT", "checksum", 11.4, age_seconds=2.0) == [], "it was asked before that"
    assert asked(one.resync("BTCUSDT", "checksum", 30.0)) == [{"event": "unsubscribe", "chanId": 31}]
    assert one.resync("DOGEUSDT", "sequence_gap", 30.1) == []


def test_an_unsubscription_without_an_answer_counts_as_done_after_five_seconds():
    one = confirmed()
    one.resync("BTCUSDT", "sequence_gap", 10.0)
    assert one.timer(14.9) == []
    assert asked(one.timer(15.0)) == [request("book", "tBTCUST")]
    assert one.received(unsubscribed(11), 15.1) == [], "late"
    (refused,) = one.received(error(10301, "subscribe: dup", subId="book tBTCUST"), 15.2)
    assert (refused.symbol, refused.not_listed) == (None, False), (
        "neither ends nor begins: another connection"
    )


@pytest.mark.parametrize("code", [10400, 10401])
def test_an_unsubscription_of_what_is_none_counts_as_done(code):
    one = confirmed()
    one.resync("BTCUSDT", "sequence_gap", 10.0)
    assert asked(one.received(error(code, "not subscribed", chanId=11), 10.1)) == [request("book", "tBTCUST")]
    assert one.timer(15.0) == []
    assert one.received(error(code, "not subscribed", chanId=11), 15.1) == []


@pytest.mark.parametrize("key", IDS)
def test_what_the_exchange_ends_by_itself_is_subscribed_again(key):
    assert asked(confirmed().received(unsubscribed(IDS[key]), 1.0)) == [request(*key)]
    assert confirmed().received(unsubscribed(999), 1.0) == []


def test_a_restart_is_a_farewell():
    told = info(code=20051, msg="Stopping. Please try to reconnect")
    assert confirmed().received(told, 1.0) == [Farewell("20051: Stopping. Please try to reconnect")]


def test_in_a_pause_nothing_is_asked_and_after_it_everything_by_another_connection():
    one = confirmed()
    one.resync("ETHUSDT", "sequence_gap", 9.0)
    assert one.received(info(code=20060, msg="pause"), 10.0) == []
    assert one.resync("BTCUSDT", "sequence_gap", 11.0) == []
    assert one.timer(30.0) == one.timer(189.9) == []
    assert one.received(info(code=20061, msg="resume"), 120.0) == [Farewell("20061: resume")]


def test_a_pause_without_an_end_is_ended_after_three_minutes():
    one = confirmed()
    one.received(info(code=20060, msg="pause"), 10.0)
    assert one.timer(190.0) == [Farewell("a pause without an end")]


@pytest.mark.parametrize(
    "more",
    [{"version": 2, "platform": {"status": 0}}, {"version": 3, "platform": {"status": 1}}, {"version": "2"}],
)
def test_maintenance_and_other_versions_are_refused(more):
    (refused,) = opened().received(info(**more), 0.1)
    assert (type(refused), refused.symbol, refused.not_listed) == (Refused, None, False)


@pytest.mark.parametrize(
    "frame",
    [DATA, b"", b"\xff", b"null", b'{"event":', b'{"event":5}', b'{"event":{}}', b'{"event":"subscribed"}',
     b'{"event":"unsubscribed"}', b'{"event":"unsubscribed","chanId":"11"}', b'{"event":"auth","status":"OK"}',
     b'{"event":"pong","ts":5,"cid":1}', b'{"event":"info"}', b'{"event":"info","platform":[]}',
     b'{"event":' + b"[" * 2000 + b"]" * 2000 + b"}"],
    ids=lambda frame: repr(frame[:40]),
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    assert confirmed().received(frame, 1.0) == []


def test_a_slot_stays_within_the_channels_of_a_connection():
    assert 2 * EXCHANGE.symbols_per_slot <= 25


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("BTCUSDT", "tBTCUST"), ("BTCUSD", "tBTCUSD"), ("ETHUSDC", "tETHUDC"), ("DOGEUSD", "tDOGE:USD"),
     ("AVAXUSDT", "tAVAX:UST"), ("USDTUSD", "tUSTUSD")],
)  # fmt: skip
def test_names_of_more_than_three_letters_take_a_colon(symbol, name):
    assert split(symbol)
    assert EXCHANGE.exchange_symbol(symbol) == name


def test_what_is_listed():
    assert EXCHANGE.listing("https://r") == "https://r/v2/conf/pub:list:pair:exchange"
    body = b'[["BTCUSD","BTCUST","DOGE:USD","AVAX:UST","USTUSD"]]'
    assert EXCHANGE.listed(body) == {
        "BTCUSD": "tBTCUSD", "BTCUSDT": "tBTCUST", "DOGEUSD": "tDOGE:USD", "AVAXUSDT": "tAVAX:UST",
        "USDTUSD": "tUSTUSD",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"[[]]", b"[[5]]", b"{}", b'["error",10020,"x"]', b"\xff", b"[" * 10_000]
)
def test_an_answer_that_is_no_list_is_said_to_be_none(body):
    with pytest.raises(ValueError, match="list of pairs"):
        EXCHANGE.listed(body)
