"""Exchanges as text: what is written equals frames written by hand, what is read comes back byte for byte."""

import json
import zlib

import pytest

from simulator.exchanges.binance_wire import BinanceWire, book_body, wrapped
from simulator.exchanges.kraken_wire import KrakenWire
from simulator.exchanges.okx_wire import OkxWire
from simulator.market import Depth, MarketBook, Trade
from simulator.recording import Row
from simulator.stamps import Stamps, ms_of
from simulator.window import Told
from simulator.wire import Book, SentTrade, Wire, base_and_quote, decimal, joined, spaced

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
    book = MarketBook(103, [(6_173_700, 378_826_000)], [(6_173_701, 100_000_000)])
    assert WIRE.ticker("BTCUSDT", Told(book, (), says_leaving=False)).text == TICKER


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


# --- the others -------------------------------------------------------------------------------------------------

AT_US = 1_786_538_760_218_456
EVENT = Depth("BTCUSDT", 0, 101, 104, ((632_967, 0), (632_946, 31_581_476)), ((632_995, 43_882_010),))
SOLD = Trade("BTCUSDT", 0, 1_040_968_613, 640_402, 240_857, False, 2, 79_706_765_242)


def frame_texts(wire: Wire, event: Depth) -> dict[str, str]:
    told = Told(MarketBook(100, [(632_967, 5)], []), wire.depths, says_leaving=wire.says_leaving)
    cuts = told.apply(event)
    return {frame.stream: frame.text for frame in wire.depth_frames(event, cuts, told, AT_US)}


def test_kraken_writes_an_update_for_each_depth() -> None:
    """After the checksum's rule: `632995` `43882010` `632946` `31581476`."""
    texts = frame_texts(KrakenWire(), EVENT)
    assert set(texts) == {f"book@{depth}:BTC/USDT" for depth in (10, 25, 100, 500, 1000)}
    assert set(texts.values()) == {
        '{"channel":"book","type":"update","data":[{"symbol":"BTC/USDT",'
        '"bids":[{"price":63296.7,"qty":0.00000000},{"price":63294.6,"qty":0.31581476}],'
        '"asks":[{"price":63299.5,"qty":0.43882010}],'
        f'"checksum":{zlib.crc32(b"6329954388201063294631581476")},"timestamp":"2026-08-12T12:46:00.218456Z"}}]}}'
    }


def test_kraken_writes_a_trade() -> None:
    frame = KrakenWire().trade(SOLD, AT_US)
    assert frame.text == (
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USDT","side":"buy","price":64040.2,'
        '"qty":0.00240857,"ord_type":"limit","trade_id":1040968613,"timestamp":"2026-08-12T12:46:00.218456Z"}]}'
    )
    assert frame.trade == SentTrade("1040968613", "64040.2", "0.00240857", "buy", 1_786_538_760_218)


def test_okx_writes_an_update() -> None:
    (text,) = frame_texts(OkxWire(), EVENT).values()
    assert text == (
        '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{'
        '"asks":[["63299.5","0.4388201","0","1"]],"bids":[["63296.7","0","0","0"],["63294.6","0.31581476","0","6"]],'
        '"ts":"1786538760218","checksum":0,"prevSeqId":100,"seqId":104}]}'
    )


def test_okx_writes_a_trade_as_in_a_capture() -> None:
    """frames/okx/ccxt_trades_books5.jsonl, its first trade, re-serialised."""
    frame = OkxWire().trade(SOLD, AT_US)
    assert frame.text == (
        '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"1040968613",'
        '"px":"64040.2","sz":"0.00240857","side":"buy","ts":"1786538760218","count":"2","source":"0",'
        '"seqId":79706765242}]}'
    )


@pytest.mark.parametrize("wire", [KrakenWire(), OkxWire()], ids=lambda wire: wire.name)
def test_what_an_exchange_writes_can_be_read_back_from_a_recording(wire: Wire) -> None:
    told = Told(MarketBook(100, [(632_967, 5)], []), wire.depths, says_leaving=wire.says_leaving)
    depth = wire.depth_frames(EVENT, told.apply(EVENT), told, AT_US)[-1]
    read = wire.frame_of(depth.text)
    assert (read.symbol, read.channel, read.stream, read.text) == (
        "BTCUSDT",
        "depth",
        depth.stream,
        depth.text,
    )
    assert (read.bids, read.asks, read.is_snapshot) == (depth.bids, depth.asks, False)
    trade = wire.trade(SOLD, AT_US)
    assert wire.frame_of(trade.text) == trade
    for other in ('{"channel":"heartbeat"}', "pong", '{"event":"subscribe","arg":{"channel":"books"}}', "[]"):
        assert wire.stream_of(other) is None


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (KrakenWire(), '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USDT"}]}'),
        (OkxWire(), '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[]}'),
    ],
    ids=["kraken", "okx"],
)
def test_a_broken_recorded_frame_is_played_as_it_was(wire: Wire, text: str) -> None:
    frame = wire.frame_of(text)
    assert (frame.text, frame.symbol, frame.trade, frame.bids) == (text, "BTCUSDT", None, ())


def test_a_recorded_message_with_several_trades_tells_them_all() -> None:
    one = (
        '{"symbol":"BTC/USD","side":"%s","price":105944.20,"qty":0.00027625,"ord_type":"limit","trade_id":%d,'
    )
    one += '"timestamp":"2023-10-06T17:35:55.440295Z"}'
    text = f'{{"channel":"trade","type":"snapshot","data":[{one % ("buy", 5)},{one % ("sell", 6)}]}}'
    frame = KrakenWire().frame_of(text)
    assert frame.trade == SentTrade("5", "105944.20", "0.00027625", "buy", 1_696_613_755_440)
    assert frame.more_trades == (SentTrade("6", "105944.20", "0.00027625", "sell", 1_696_613_755_440),)


# --- texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "places", "text"),
    [(5, 1, "0.5"), (600_377, 1, "60037.7"), (1, 8, "0.00000001"), (0, 8, "0.00000000"), (123, 2, "1.23")],
)
def test_an_integer_is_written_with_its_decimals(number: int, places: int, text: str) -> None:
    assert decimal(number, places) == text


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("BTCUSDT", "BTC/USDT"), ("ETHBTC", "ETH/BTC"), ("USDTUSD", "USDT/USD"), ("ADAEUR", "ADA/EUR")],
)
def test_a_symbol_and_its_name_belong_together(symbol: str, name: str) -> None:
    assert spaced(symbol, "/") == name
    assert joined(name, "/") == symbol
    assert base_and_quote(symbol) == tuple(name.split("/"))


def test_a_name_that_no_symbol_leads_back_to_stays() -> None:
    assert joined("BTC-USD-220527", "-") == "BTC-USD-220527"
    assert spaced("BTC-USD-220527", "-") == "BTC-USD-220527"


def test_times_have_microseconds_and_come_back_as_milliseconds() -> None:
    stamp = Stamps()
    texts = [stamp(time_us) for time_us in (0, 999_999, 1_000_000, 1_691_868_488_287_297)]
    assert texts == [
        "1970-01-01T00:00:00.000000Z",
        "1970-01-01T00:00:00.999999Z",
        "1970-01-01T00:00:01.000000Z",
        "2023-08-12T19:28:08.287297Z",
    ]
    assert [ms_of(text) for text in texts] == [0, 999, 1000, 1_691_868_488_287]
    with pytest.raises(ValueError, match="yesterday"):
        ms_of("yesterday")
