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
BYBIT = {"s": "BTCUSDT", "b": [["1.5", "2"]], "a": [["2.5", "1"]], "u": 5, "seq": 9}
GATEIO = {"t": 5, "s": "ob.BTC_USDT.400", "b": [["1.5", "2"]], "a": [["2.5", "1"]]}
OFFERS = {"type": "update", "product_id": "BTC-USDT", "updates": [
    {"side": "bid", "event_time": TIME, "price_level": "1.5", "new_quantity": "2"},
    {"side": "offer", "event_time": TIME, "price_level": "2.5", "new_quantity": "0"}]}  # fmt: skip
FRAMES = {
    "bitfinex": [
        {"event": "conf", "status": "OK", "flags": 65536},
        {"event": "subscribed", "channel": "book", "chanId": 5, "symbol": "tBTCUST", "prec": "P0", "len": "250"},
        {"event": "subscribed", "channel": "trades", "chanId": 6, "symbol": "tBTCUST", "subId": "trades tBTCUST"},
        [5, [[1.5, 2, 0.5], [1.6, 1, -2]], 1], [5, [1.5, 0, 1], 2], [5, [1.5, 1, 5.1e-05], 3], [5, "cs", 0, 4],
        [5, [], 1], [6, "te", [7, 1700000000000, -0.5, 1.5], 5], [6, [[7, 1700000000000, 0.5, 1.5]], 6], [5, "hb", 7],
        {"event": "unsubscribed", "status": "OK", "chanId": 5},
        {"event": "error", "msg": "symbol: invalid", "code": 10300, "subId": "book tBTCUST"},
        {"event": "info", "code": 20060, "msg": "pause"}, {"event": "info", "version": 2, "platform": {"status": 1}},
    ],
    "bybit": [
        {"topic": "orderbook.1000.BTCUSDT", "ts": 5, "type": "snapshot", "data": BYBIT, "cts": 4},
        {"topic": "orderbook.1000.BTCUSDT", "ts": 5, "type": "delta", "data": BYBIT | {"u": 6}, "cts": 4},
        {"topic": "orderbook.1000.BTCUSDT", "ts": 5, "type": "delta", "data": BYBIT | {"u": 1}, "cts": 4},
        {"topic": "orderbook.50.BTCUSDT", "type": "snapshot", "ts": 5, "data": BYBIT | {"b": [], "a": []}},
        {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 5, "data": [
            {"T": 5, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": "1.5", "i": "7", "BT": False}]},
        {"success": True, "ret_msg": "subscribe", "conn_id": "a", "req_id": "all.BTCUSDT", "op": "subscribe"},
        {"success": True, "ret_msg": "", "conn_id": "a", "req_id": "book.BTCUSDT", "op": "unsubscribe"},
        {"success": False, "ret_msg": "Invalid topic: publicTrade.BTCUSDT", "conn_id": "a", "op": "subscribe"},
        {"success": True, "ret_msg": "pong", "conn_id": "a", "req_id": "", "op": "ping"},
    ],
    "gateio": [
        {"channel": "spot.obu", "event": "update", "result": GATEIO | {"full": True, "u": 5}},
        {"channel": "spot.obu", "event": "update", "result": GATEIO | {"U": 6, "u": 7}},
        {"channel": "spot.obu", "event": "update", "result": {"t": 1, "s": "ob.BTC_USDT.50", "u": 9, "full": True}},
        {"channel": "spot.trades", "event": "update", "result": {
            "id": 7, "create_time_ms": "1700000000000.5", "side": "buy", "currency_pair": "BTC_USDT", "amount": "1",
            "price": "2"}},
        {"channel": "spot.obu", "event": "subscribe", "id": 1, "payload": ["ob.BTC_USDT.400"],
         "result": {"status": "success"}},
        {"channel": "spot.obu", "event": "unsubscribe", "payload": ["ob.BTC_USDT.400"],
         "result": {"status": "success"}},
        {"channel": "spot.trades", "event": "subscribe", "error": {"code": 2, "message": "unknown currency pair"}},
        {"time": 1, "channel": "spot.pong", "event": "", "result": None},
    ],
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
    "coinbase": [
        {"channel": "l2_data", "timestamp": TIME, "sequence_num": 0, "events": [OFFERS | {"type": "snapshot"}]},
        {"channel": "l2_data", "timestamp": TIME, "sequence_num": 1, "events": [OFFERS]},
        {"channel": "l2_data", "sequence_num": 2, "events": [OFFERS, OFFERS | {"updates": []}]},
        {"channel": "market_trades", "sequence_num": 3, "events": [{"type": "update", "trades": [
            {"trade_id": "7", "product_id": "BTC-USDT", "price": "1.5", "size": "2", "side": "BUY", "time": TIME}]}]},
        {"channel": "heartbeats", "sequence_num": 1, "events": [{"current_time": "x", "heartbeat_counter": 5}]},
        {"channel": "subscriptions", "sequence_num": 4, "events": [
            {"subscriptions": {"heartbeats": ["heartbeats"], "level2": ["BTC-USDT"]}}]},
        {"channel": "subscriptions", "sequence_num": 5, "events": [{"subscriptions": {"heartbeats": ["heartbeats"]}}]},
        {"type": "error", "message": "Failed to subscribe", "reason": "BTC-USDT is not a valid product"},
        {"type": "error", "message": "rate limit exceeded"},
    ],
    "kucoin": [
        {"topic": "/market/level2:BTC-USDT", "type": "message", "subject": "trade.l2update", "data": {
            "changes": {"asks": [["2.5", "1", "6"], ["0", "0", "7"]], "bids": [["1.5", "2", "5"]]}, "sequenceStart": 5,
            "sequenceEnd": 7, "symbol": "BTC-USDT", "time": 1}},
        {"topic": "/market/match:BTC-USDT", "type": "message", "subject": "trade.l3match", "data": {
            "symbol": "BTC-USDT", "side": "buy", "price": "1.5", "size": "2", "tradeId": "7",
            "time": "1700000000000000000"}},
        {"id": "a", "type": "welcome"},
        {"id": "1", "type": "ack"},
        {"id": "2", "type": "error", "code": 404, "data": "topic /market/match:BTC-USDT is not found"},
        {"id": "3", "type": "pong"},
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
                self.one.book(getattr(event, "symbol", None) or "BTCUSDT").flush()
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
