"""Binance as text: what is written equals frames written by hand, what is read comes back byte for byte."""

import json

import pytest

from simulator.exchanges.binance_wire import BinanceWire, book_body, wrapped
from simulator.market import Depth, Ticker, Trade
from simulator.recording import Row
from simulator.wire import Book, SentTrade

WIRE = BinanceWire()
DEPTH = (
    '{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":100,"u":103,'
    '"b":[["61737.63000000","0.00000000"],["61730.07000000","1.50000001"]],"a":[["61837.64000000","0.00001000"]]}'
)
TRADE = (
    '{"e":"trade","E":1723161255342,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000",'
    '"T":1723161255342,"m":true,"M":true}'
)
TICKER = '{"u":103,"s":"BTCUSDT","b":"61737.00000000","B":"3.78826000","a":"61737.01000000","A":"1.00000000"}'


def test_a_depth_update_is_written_as_the_exchange_does() -> None:
    changes = ((6_173_763, 0), (6_173_007, 150_000_001))
    event = Depth("BTCUSDT", 208_999, 100, 103, changes, ((6_183_764, 1_000),))
    frame = WIRE.depth(event, 1_723_161_255_000_000)
    assert frame.text == DEPTH
    assert (frame.stream, frame.first_id, frame.last_id) == ("btcusdt@depth@100ms", 100, 103)


def test_a_trade_is_written_as_the_exchange_does() -> None:
    frame = WIRE.trade(
        Trade("BTCUSDT", 342_000, 3735683259, 6_183_763, 2_000_000, True), 1_723_161_255_000_000
    )
    assert frame.text == TRADE
    assert frame.trade == SentTrade("3735683259", "61837.63000000", "0.02000000", "sell", 1723161255342)


def test_a_ticker_is_written_as_the_exchange_does() -> None:
    frame = WIRE.ticker(Ticker("BTCUSDT", 103, (6_173_700, 378_826_000), (6_173_701, 100_000_000)), 0)
    assert frame.text == TICKER


@pytest.mark.parametrize(
    ("text", "stream"),
    [(DEPTH, "btcusdt@depth@100ms"), (TRADE, "btcusdt@trade"), (TICKER, "btcusdt@bookTicker")],
)
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_recorded_frame_comes_back_byte_for_byte(text: str, stream: str, is_wrapped: bool) -> None:
    recorded = f'{{"stream":"{stream}","data":{text}}}'
    assert WIRE.stream_of(recorded if is_wrapped else text) == stream
    frame = WIRE.frame_of(recorded if is_wrapped else text)
    assert frame.text == text
    assert wrapped(frame) == recorded
    assert frame.symbol == "BTCUSDT"


def test_a_recorded_depth_update_tells_its_ids_and_levels() -> None:
    frame = WIRE.frame_of(DEPTH)
    assert (frame.channel, frame.first_id, frame.last_id) == ("depth", 100, 103)
    assert frame.bids == (("61737.63000000", "0.00000000"), ("61730.07000000", "1.50000001"))


def test_a_frame_with_spaces_is_taken_apart_too() -> None:
    recorded = '{ "stream": "btcusdt@trade", "data": ' + TRADE + "}"
    assert json.loads(wrapped(WIRE.frame_of(recorded))) == json.loads(recorded)


@pytest.mark.parametrize(
    "text", ['{"result":null,"id":1}', "[]", "not json", '{"error":{"code":2,"msg":"x"}}']
)
def test_what_is_no_market_data_has_no_stream(text: str) -> None:
    assert WIRE.stream_of(text) is None


def test_a_broken_frame_is_played_as_it_was() -> None:
    broken = '{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT"}}'
    assert wrapped(WIRE.frame_of(broken)) == broken


BODY = '{"lastUpdateId":7,"bids":[["2.00","1.0"],["1.00","1.0"]],"asks":[["3.00","1.0"]]}'


@pytest.mark.parametrize(
    ("url", "row_symbol", "only", "owner"),
    [
        ("https://x/api/v3/depth?symbol=ETHUSDT&limit=5000", None, None, "ETHUSDT"),
        (None, "BTCUSDT", "ETHUSDT", "BTCUSDT"),
        (None, None, "SOLUSDT", "SOLUSDT"),
    ],
)
def test_a_body_knows_its_symbol(
    url: str | None, row_symbol: str | None, only: str | None, owner: str
) -> None:
    book = WIRE.book_of(Row(1, 0, True, BODY, url, row_symbol), only)
    assert book is not None
    assert (book.symbol, book.sequence) == (owner, 7)
    assert book_body(book, 2) == BODY


def test_a_body_without_a_symbol_belongs_to_nobody() -> None:
    assert WIRE.book_of(Row(1, 0, True, BODY), None) is None


def test_a_cut_body_keeps_the_best_levels() -> None:
    book = Book("BTCUSDT", 7, (("2.00", "1.0"), ("1.00", "1.0")), (("3.00", "1.0"),), BODY)
    assert book_body(book, 1) == '{"lastUpdateId":7,"bids":[["2.00","1.0"]],"asks":[["3.00","1.0"]]}'
