"""Whatever a frame of the socket-only exchanges holds, decoder, books, trades and session never raise."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.exchanges import load
from COBY.exchanges.base import Rejected, Trade
from COBY.processing import ConnectionProcessor, ConnectionState, one_bucket
from COBY.trades import Trades

TIME = "2026-07-10T00:00:01.123457Z"
LEVELS = {"symbol": "BTC/USDT", "bids": [{"price": 1.5, "qty": 2}], "asks": [{"price": 2.5, "qty": 5.1e-05}]}
ROWS = {"bids": [["1.5", "2", "0", "1"]], "asks": [["2.5", "1", "0", "1"]]}
BOOKS = {"channel": "books", "instId": "BTC-USDT"}
FRAMES = {
    "kraken": [
        {"channel": "book", "type": "snapshot", "data": [{**LEVELS, "checksum": 5, "timestamp": TIME}]},
        {"channel": "book", "type": "update", "data": [{**LEVELS, "checksum": 5, "timestamp": TIME}]},
        {"channel": "book", "type": "snapshot", "data": [{**LEVELS, "bids": [], "asks": [], "checksum": 0}]},
        {"channel": "trade", "type": "update", "data": [
            {"symbol": "BTC/USDT", "side": "buy", "price": 1.5, "qty": 2, "trade_id": 7, "timestamp": TIME}]},
        {"channel": "instrument", "data": {"pairs": [
            {"symbol": "BTC/USDT", "price_precision": 1, "qty_precision": 8}]}},
        {"channel": "status", "data": [{"system": "online"}]},
        {"method": "subscribe", "req_id": 2, "success": True,
         "result": {"channel": "book", "symbol": "BTC/USDT", "depth": 10}},
        {"method": "unsubscribe", "req_id": 2, "success": True, "result": {"channel": "book", "symbol": "BTC/USDT"}},
        {"method": "subscribe", "req_id": 2, "success": False, "symbol": "BTC/USDT", "error": "no"},
    ],
    "okx": [
        {"arg": BOOKS, "action": "snapshot", "data": [{**ROWS, "ts": "1", "checksum": 0, "prevSeqId": -1, "seqId": 5}]},
        {"arg": BOOKS, "action": "update", "data": [{**ROWS, "ts": "1", "checksum": 0, "prevSeqId": 5, "seqId": 5}]},
        {"arg": BOOKS, "action": "update", "data": [{**ROWS, "ts": "1", "checksum": 9, "prevSeqId": 5, "seqId": 5}]},
        {"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [
            {"instId": "BTC-USDT", "tradeId": "7", "px": "1.5", "sz": "2", "side": "sell", "ts": "1700000000000"}]},
        {"event": "subscribe", "arg": BOOKS, "connId": "a"},
        {"event": "unsubscribe", "arg": BOOKS, "connId": "a"},
        {"event": "error", "code": "60018", "msg": "channel:books,instId:BTC-USDT doesn't exist", "connId": "a"},
        {"event": "notice", "code": "64008", "msg": "upgrade", "connId": "a"},
    ],
}  # fmt: skip
JUNK = st.sampled_from(
    [None, True, 0, -1, 1, 1.5, 1e300, -1e-9, 1e-70, 2**63, 2**64, 10**30, "x", "1e5", "-1", "NaN", "1e-70", "1" * 70,
     "1" * 58 + "e-64", "9" * 5000, "\x00", "0001-01-01T00:00:00+23:59", "book", "BTC-USDT", "snapshot", "update",
     [], {}, [[]], [["1", "1"]], {"a": 1}, [5], int("1" * 58)]
)  # fmt: skip


def places(value, at=()):
    """Where a value can be replaced: itself, and everything within it."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*at, key))


def replaced(value, at, new):
    if not at:
        return new
    if isinstance(value, dict):
        return value | {at[0]: replaced(value[at[0]], at[1:], new)}
    return [replaced(each, at[1:], new) if place == at[0] else each for place, each in enumerate(value)]


@st.composite
def frames(draw, exchange):
    """A frame, mostly with one value replaced, sometimes cut short."""
    message = draw(st.sampled_from(FRAMES[exchange]))
    if draw(st.integers(0, 3)):
        deepest_first = sorted(places(message), key=len, reverse=True)
        message = replaced(message, draw(st.sampled_from(deepest_first)), draw(JUNK))
    raw = json.dumps(message, separators=draw(st.sampled_from([(",", ":"), (", ", ": ")]))).encode()
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 9)) == 0 else raw


class World:
    """A connection and its session."""

    def __init__(self, exchange, is_named):
        self.exchange = load(exchange)
        self.symbols = {self.exchange.exchange_symbol("BTCUSDT"): "BTCUSDT"} if is_named else {}
        self.one = ConnectionProcessor(self.exchange, self.symbols, one_bucket)
        self.session = self.exchange.session(self.symbols, self.exchange.endpoints)
        self.session.opened(0.0)

    def take(self, frame, now):
        events = self.one.take(frame, "ws", None, None)
        for event in events:
            if isinstance(event, Trade):
                Trades(event.symbol, "x").accept(event, event.time_us, 0, None)
            elif isinstance(event, Rejected):
                assert event.code.startswith("frame.")
            else:
                self.one.book(getattr(event, "symbol", "BTCUSDT")).flush()
        self.session.received(frame, now)
        self.session.timer(now)
        self.session.resync("BTCUSDT", "sequence_gap", now)
        return events

    def resumed(self):
        packed = msgspec.msgpack.encode(self.one.save())
        self.one = ConnectionProcessor(self.exchange, self.symbols, one_bucket)
        self.one.load(msgspec.msgpack.decode(packed, type=ConnectionState))


@pytest.mark.parametrize("exchange", FRAMES)
@settings(max_examples=600, deadline=None)
@given(data=st.data(), is_named=st.booleans())
def test_nothing_in_a_frame_raises_and_every_state_can_be_saved(exchange, data, is_named):
    straight, resumed = World(exchange, is_named), World(exchange, is_named)
    for number, frame in enumerate(data.draw(st.lists(frames(exchange), max_size=15))):
        assert straight.take(frame, 2.0 * number) == resumed.take(frame, 2.0 * number)
        resumed.resumed()
