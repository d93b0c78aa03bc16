"""Binance: REST bodies, saved state, and the session half, by EXCHANGES.md §1."""

import json

import pytest

from COBY.exchanges.base import (
    Acknowledged,
    Connect,
    Delta,
    Endpoints,
    Farewell,
    Fetch,
    Lost,
    NotListed,
    Refused,
    Rejected,
    Send,
    Snapshot,
    Stale,
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


def test_a_buffer_wholly_before_the_snapshot_is_legal():
    one = decoder()
    assert ws(one, depth(1, 5, [], [])) == []
    assert [type(event) for event in http(one, book_body(9, [], []))] == [Snapshot]
    assert ws(one, depth(8, 9, [], [])) == []
    assert [type(event) for event in ws(one, depth(9, 11, [], []))] == [Delta]


def test_a_snapshot_older_than_the_buffer_is_stale_until_a_newer_one_comes():
    one = decoder()
    ws(one, depth(11, 12, [], []))
    assert [type(event) for event in http(one, book_body(8, [], []))] == [Stale]
    events = http(one, book_body(11, [["1", "1"]], []))
    assert [type(event) for event in events] == [Snapshot, Delta]


@pytest.mark.parametrize(
    ("symbol", "url", "levels", "limited"),
    [
        ("BTCUSDT", URL, 4999, False),
        ("BTCUSDT", URL, 5000, True),
        ("BTCUSDT", None, 999, False),
        ("BTCUSDT", None, 1000, True),
        (None, URL.replace("5000", "100"), 100, True),
        (None, URL.replace("&limit=5000", ""), 99, False),
        (None, URL.replace("&limit=5000", ""), 100, True),
        (None, URL.replace("5000", "many"), 100, True),
    ],
)
def test_a_side_as_long_as_was_asked_for_is_cut(symbol, url, levels, limited):
    bids = [[str(number), "1"] for number in range(1, levels + 1)]
    (event,) = http(decoder(), book_body(9, bids, []), symbol, url)
    assert (event.symbol, event.limited_bids, event.limited_asks) == ("BTCUSDT", limited, False)


def test_a_url_names_the_exchanges_symbol_and_a_header_ours():
    one = decoder({"XBTUSDT": "BTCUSDT"})
    assert http(one, book_body(9, [], []), None, URL.replace("BTC", "XBT"))[0].symbol == "BTCUSDT"
    assert http(one, book_body(9, [], []), "BTCUSDT", None)[0].symbol == "BTCUSDT"
    assert ws(one, depth(10, 10, [], [], "XBTUSDT"))[0].symbol == "BTCUSDT"
    assert code(ws(one, depth(10, 10, [], [], "BTCUSDT"))) == "frame.unknown_symbol"


@pytest.mark.parametrize(
    ("symbol", "url"),
    [
        (None, None),
        ("", None),
        ("DOGEUSDT", None),
        (None, "https://x/?symbol=DOGEUSDT"),
        (None, "https://x/"),
    ],
)
def test_a_body_of_no_symbol_of_ours_is_rejected(symbol, url):
    one = decoder()
    assert code(http(one, book_body(9, [], []), symbol, url)) == "frame.unknown_symbol"
    assert one.met() == frozenset()


def test_a_url_that_is_none_is_rejected():
    assert code(http(decoder(), book_body(9, [], []), None, "http://[")) == "frame.number"


@pytest.mark.parametrize(
    "body", [{"code": -1121, "msg": "Invalid symbol."}, {"msg": "x" * 60, "code": -1121}]
)
def test_an_invalid_symbol_is_not_listed(body):
    (event,) = http(decoder(), body)
    assert event == NotListed("BTCUSDT", body["msg"])


@pytest.mark.parametrize(
    "body", [{"code": -1003, "msg": "Too many requests"}, {"code": "odd"}, {"code": None}]
)
def test_another_error_of_rest_is_rejected(body):
    assert code(http(decoder(), body)) == "frame.rest_error"


@pytest.mark.parametrize("body", [b"<html>403</html>", b"[]", {"bids": []}, book_body(-1, [], []),
                                  book_body(1, [["1", "x"]], []), book_body(2**64, [], [])])  # fmt: skip
def test_an_unusable_body_is_rejected_and_the_snapshot_still_awaited(body):
    one = decoder()
    assert code(http(one, body)) in ("frame.json", "frame.shape", "frame.number")
    assert [type(event) for event in http(one, book_body(9, [], []))] == [Snapshot]


def test_an_empty_book_is_a_book():
    assert http(decoder(), book_body(9, [], [])) == [Snapshot("BTCUSDT", [], [], 9, None, False, False)]


def test_the_state_saved_and_loaded_goes_on_as_if_nothing_was():
    one, other = decoder(), decoder()
    ws(one, depth(11, 12, [["1", "1"]], []))
    ws(one, depth(5, 6, [], [], "ETHUSDT"))
    http(one, book_body(20, [], []), "ETHUSDT")
    other.load(json.loads(json.dumps(one.save())))
    assert other.save() == one.save()
    for each in (one, other):
        events = http(each, book_body(11, [], []))
        assert [type(event) for event in events] == [Snapshot, Delta]
        assert [type(event) for event in ws(each, depth(22, 23, [], [], "ETHUSDT"))] == [Lost]
    assert other.save() == one.save()


def session():
    return EXCHANGE.session(SYMBOLS, Endpoints("wss://stream", "https://rest"))


def test_a_session_subscribes_all_symbols_in_one_message_on_the_combined_stream():
    one = session()
    assert one.connect() == Connect("wss://stream/stream")
    (send,) = one.opened(0.0)
    assert isinstance(send, Send)
    assert json.loads(send.text) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@depth@100ms", "btcusdt@trade", "ethusdt@depth@100ms", "ethusdt@trade"],
        "id": 1,
    }


def test_a_snapshot_is_fetched_after_the_first_update_or_when_none_comes():
    """Without an update beside it nobody could tell that an answer is of long ago."""
    one = session()
    acknowledged = one.received(b'{"result":null,"id":1}', 5.0)
    assert acknowledged == [Acknowledged(("BTCUSDT", "ETHUSDT"), ("book", "trade"))]
    bitcoin, ether = (
        Fetch(f"https://rest/api/v3/depth?symbol={symbol}&limit=5000", symbol, 0.0)
        for symbol in ("BTCUSDT", "ETHUSDT")
    )
    assert one.received(b'{"stream":"ethusdt@trade","data":{"e":"trade"}}', 5.1) == []
    update = b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate"}}'
    assert one.received(update, 5.1) == [ether]
    assert one.received(update, 5.2) == [], "once"
    assert one.timer(5.9) == []
    assert one.timer(6.0) == [bitcoin]
    assert one.timer(7.0) == []


@pytest.mark.parametrize(
    "reply",
    [{"error": {"code": 2, "msg": "no"}, "id": 1}, {"code": 2, "msg": "no"}, {"id": 1, "error": "no"}],
)
def test_a_refusal_is_of_the_whole_request(reply):
    (event,) = session().received(text(reply), 0.0)
    assert isinstance(event, Refused)
    assert event.symbol is None
    assert "no" in event.reason


@pytest.mark.parametrize("wrap", [False, True])
def test_a_server_shutdown_is_a_farewell(wrap):
    message = {"e": "serverShutdown", "E": 1_770_123_456_789}
    frame = text({"stream": "!shutdown", "data": message} if wrap else message)
    assert session().received(frame, 0.0) == [Farewell("serverShutdown")]


@pytest.mark.parametrize(
    "frame",
    [text(trade(1, "1", "1", 1)), text(depth(1, 2, [], [])), text(depth(1, 2, [], [])["data"]), b"", b"\xff", b"[1]",
     b'{"id":"\xff"}', b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}", b"null", b'{"result":null,"id":2}', b"x" * 10_000],
)  # fmt: skip
def test_data_and_rubbish_lead_to_no_command(frame):
    assert session().received(frame, 0.0) == []


def test_a_resync_fetches_at_once_and_after_a_stale_snapshot_a_little_later():
    one, url = session(), "https://rest/api/v3/depth?symbol=ETHUSDT&limit=5000"
    assert one.resync("ETHUSDT", "sequence_gap", 0.0) == [Fetch(url, "ETHUSDT", 0.0)]
    assert one.resync("ETHUSDT", "snapshot_too_old", 0.0) == [Fetch(url, "ETHUSDT", 0.5)]
    assert one.resync("DOGEUSDT", "sequence_gap", 0.0) == []
    assert one.timer(99.0) == []


def test_the_exchange_calls_symbols_as_we_do():
    assert EXCHANGE.exchange_symbol("BTCUSDT") == "BTCUSDT"
