"""Binance, both halves, by EXCHANGES.md §1."""

import json

import pytest

from COBY.exchanges.base import (
    Delta,
    Lost,
    Rejected,
    Stale,
    Trade,
)
from COBY.exchanges.binance import EXCHANGE
from tests.raw import book_body, depth, trade

SYMBOLS = {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"}
URL = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=5000"


def decoder(symbols=SYMBOLS):
    return EXCHANGE.decoder(symbols)


def text(message) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()


def ws(one, message):
    return one.decode(text(message), "ws", None, None)


def http(one, message, symbol="BTCUSDT", url=None):
    return one.decode(text(message), "http", symbol, url)


def code(events) -> str:
    (event,) = events
    assert isinstance(event, Rejected), event
    return event.code


@pytest.mark.parametrize("unwrap", [False, True])
def test_a_trade_is_the_same_wrapped_and_unwrapped(unwrap):
    message = trade(7, "61837.63000000", "0.00100000", 1_700_000_000_123)
    events = ws(decoder(), message["data"] if unwrap else message)
    assert events == [
        Trade("BTCUSDT", "61837.63000000", "0.00100000", "buy", "7", 1_700_000_000_123_000, False)
    ]


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_blanks_in_the_json_decide_nothing(spaces):
    frame = json.dumps(trade(7, "1", "2", 1_700_000_000_000), separators=spaces).encode()
    assert len(ws(decoder(), frame)) == 1


def test_a_buyer_who_was_the_maker_means_that_the_taker_sold():
    assert ws(decoder(), trade(1, "1", "1", 1, sell=True))[0].side == "sell"
    assert ws(decoder(), trade(1, "1", "1", 1, sell=False))[0].side == "buy"


def test_the_old_order_ids_of_a_trade_are_passed_over():
    message = trade(1, "1", "1", 1_700_000_000_000)
    message["data"] |= {"b": 88, "a": 50}
    assert ws(decoder(), message)[0].price == "1"


def test_microseconds_are_told_by_their_size():
    micros = trade(1, "1", "1", 1_700_000_000_123_456)
    assert ws(decoder(), micros)[0].time_us == 1_700_000_000_123_456
    one, message = decoder(), depth(11, 12, [], [])
    http(one, book_body(10, [], []))
    message["data"]["E"] = 1_700_000_000_123_456
    assert ws(one, message)[0].time_us == 1_700_000_000_123_456


@pytest.mark.parametrize("unwrap", [False, True])
@pytest.mark.parametrize("stream", ["btcusdt@depth@100ms", "btcusdt@depth"])
def test_a_depth_update_is_the_same_on_any_stream(unwrap, stream):
    one, message = decoder(), depth(11, 13, [["1.5", "2"]], [["1.6", "0"]])
    http(one, book_body(10, [], []))
    message["stream"] = stream
    assert ws(one, message["data"] if unwrap else message) == [
        Delta("BTCUSDT", [("1.5", "2")], [("1.6", "0")], 11, 13, 1_700_000_000_000_000)
    ]


@pytest.mark.parametrize(
    "message",
    [
        {"u": 400, "s": "BTCUSDT", "b": "25.3", "B": "31.2", "a": "25.4", "A": "40.6"},
        {"stream": "btcusdt@bookTicker", "data": {"u": 400, "s": "BTCUSDT", "b": "1", "B": "1", "a": "2", "A": "1"}},
        {"stream": "btcusdt@aggTrade", "data": {"e": "aggTrade", "s": "BTCUSDT", "a": 1, "p": "1", "q": "1", "f": 1}},
        {"stream": "btcusdt@depth5", "data": {"lastUpdateId": 160, "bids": [["1", "1"]], "asks": [["2", "1"]]}},
        {"lastUpdateId": 160, "bids": [["1", "1"]], "asks": [["2", "1"]]},
        {"e": "24hrMiniTicker", "s": "BTCUSDT"},
        {"result": None, "id": 1},
        {"error": {"code": 2, "msg": "Invalid request"}, "id": 1},
        {"code": 2, "msg": "Invalid request"},
        {"e": "serverShutdown", "E": 1_700_000_000_000},
        {"stream": "btcusdt@blockTrade", "data": {"e": "blockTrade", "s": "BTCUSDT", "p": "1", "q": "1"}},
        {"data": [1, 2], "e": ["trade"]},
        {},
    ],
)  # fmt: skip
def test_other_channels_and_replies_pass_silently(message):
    one = decoder()
    assert ws(one, message) == []
    assert one.met() == frozenset()


POISON = {
    b"": "frame.json",
    b"{": "frame.json",
    b"not json": "frame.json",
    b"\xff\xfe{}": "frame.json",
    b'{"e":"\xff"}': "frame.json",
    b'{"stream":"btcusdt@trade': "frame.json",
    b'{"stream":"btcusdt@depth@100ms","data":NaN}': "frame.json",
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}": "frame.json",
    b'{"stream":"btcusdt@trade","data":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}": "frame.json",
    b'{"x":"' + b"y" * 5_000_000: "frame.json",
    b"[]": "frame.shape",
    b"null": "frame.shape",
    b"1e400": "frame.shape",
    text({"e": "trade"}): "frame.shape",
    text({"e": "depthUpdate", "s": 5}): "frame.shape",
    text({"stream": "btcusdt@trade", "data": None}): "frame.shape",
}


@pytest.mark.parametrize("frame", POISON, ids=lambda frame: repr(frame[:30]))
def test_a_poison_frame_is_rejected_with_its_code(frame):
    one = decoder()
    assert code(ws(one, frame)) == POISON[frame]
    assert code(http(one, frame)) in ("frame.json", "frame.shape")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("p", "-1", "frame.number"),
        ("p", "0.00000000", "frame.number"),
        ("p", "NaN", "frame.number"),
        ("p", "1e400", "frame.number"),
        ("p", 1.5, "frame.shape"),
        ("p", None, "frame.shape"),
        ("q", "-0.1", "frame.number"),
        ("q", "0.00000000", "frame.number"),
        ("q", "0e5", "frame.number"),
        ("t", "7", "frame.shape"),
        ("t", -1, "frame.shape"),
        ("t", 10**40, "frame.shape"),
        ("T", None, "frame.shape"),
        ("m", "true", "frame.shape"),
        ("s", "DOGEUSDT", "frame.unknown_symbol"),
        ("s", "btcusdt", "frame.unknown_symbol"),
        ("s", "X" * 1_000_000, "frame.unknown_symbol"),
    ],
)
def test_a_trade_with_a_wrong_field_is_rejected(field, value, expected):
    message = trade(1, "1", "1", 1_700_000_000_000)
    message["data"][field] = value
    one = decoder()
    assert code(ws(one, message)) == expected
    assert code(ws(one, message["data"])) == expected


@pytest.mark.parametrize("time", [-1, 10**17, 10**18, 10**30])
def test_an_impossible_time_rejects_no_trade_and_stays_a_time(time):
    message = trade(1, "1", "1", time)
    event = ws(decoder(), message)[0]
    assert 0 <= event.time_us < 253_402_300_800_000_000


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("b", [["1", "-1"]], "frame.number"),
        ("b", [["0", "1"]], "frame.number"),
        ("a", [["1", "nan"]], "frame.number"),
        ("a", [["1"]], "frame.shape"),
        ("a", [[1, 2]], "frame.shape"),
        ("a", None, "frame.shape"),
        ("U", 14, "frame.range"),
        ("u", 2**63, "frame.shape"),
        ("U", -1, "frame.shape"),
    ],
)
def test_a_depth_update_with_a_wrong_field_is_rejected_whole_and_the_book_not_proven(field, value, expected):
    one, message = decoder(), depth(11, 13, [["1", "1"]], [])
    http(one, book_body(10, [], []))
    message["data"][field] = value
    rejected, lost = ws(one, message)
    assert code([rejected]) == expected
    assert isinstance(lost, Lost)
    assert ws(one, depth(14, 15, [], [])) == [], "held for the next snapshot"
    assert isinstance(http(one, book_body(9, [], []))[0], Stale), "from before it"


def test_an_update_of_an_unknown_symbol_says_nothing_of_the_others():
    one, message = decoder(), depth(11, 13, [["1", "1"]], [])
    http(one, book_body(10, [], []))
    message["data"]["s"] = "DOGEUSDT"
    assert code(ws(one, message)) == "frame.unknown_symbol"
    assert isinstance(ws(one, depth(14, 15, [], []))[0], Lost), "but it may have been one of theirs"
