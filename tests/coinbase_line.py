"""Messages of Coinbase Advanced Trade as its tests make them, and a connection that they come on."""

import json

from COBY.exchanges.coinbase import EXCHANGE
from COBY.processing import ConnectionProcessor, one_bucket
from tests.decoded import codes

SYMBOLS = {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT"}
TIME, TIME_US = "2026-09-21T14:13:21.000002Z", 1_790_000_001_000_002


def level(side, price, size, **more):
    return {"side": side, "event_time": TIME, "price_level": price, "new_quantity": size} | more


def event(kind, bids=(), asks=(), product="BTC-USDT"):
    updates = [level("bid", *each) for each in bids] + [level("offer", *each) for each in asks]
    return {"type": kind, "product_id": product, "updates": updates}


def deal(**more):
    return {"trade_id": "7", "product_id": "BTC-USDT", "price": "61000.5", "size": "0.25", "side": "BUY",
            "time": TIME} | more  # fmt: skip


def deals(*trades, kind="update"):
    return {"type": kind, "trades": list(trades)}


class Line:
    """A connection whose messages are numbered as the exchange would."""

    def __init__(self, symbols=SYMBOLS):
        self.one = ConnectionProcessor(EXCHANGE, symbols, one_bucket)
        self.number = 0

    def say(self, channel, *events, number=None, **more):
        number = self.number if number is None else number
        self.number = number + 1
        message = {
            "channel": channel,
            "timestamp": TIME,
            "sequence_num": number,
            "events": list(events),
        } | more
        return self.raw(json.dumps(message, separators=(",", ":")).encode())

    def raw(self, frame):
        return self.one.take(frame, "ws", None, None)

    def book(self, *events, **more):
        return self.say("l2_data", *events, **more)

    def trades(self, *trades, **more):
        return self.say("market_trades", deals(*trades), **more)

    def listed(self, **channels):
        return self.say("subscriptions", {"subscriptions": channels})

    def beat(self, **more):
        return self.say("heartbeats", {"current_time": "x", "heartbeat_counter": 1}, **more)

    def reason(self, symbol="BTCUSDT"):
        return self.one.book(symbol).reason

    def texts(self, symbol="BTCUSDT"):
        book = self.one.book(symbol)
        book.flush()
        return book.bids.texts, book.asks.texts


def live(*products):
    line = Line()
    for product in products or ("BTC-USDT", "ETH-USDT"):
        assert codes(line.book(event("snapshot", [("100", "1")], [("101", "2")], product))) == ["Snapshot"]
    return line
