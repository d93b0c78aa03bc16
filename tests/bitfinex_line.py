"""A Bitfinex connection written by hand: frames numbered as on the wire, the books that come of them."""

import json

from COBY.exchanges.bitfinex import EXCHANGE
from COBY.processing import ConnectionProcessor, one_bucket
from tests.decoded import codes

SYMBOLS = {"tBTCUST": "BTCUSDT", "tETHUST": "ETHUSDT"}
BTC, ETH, BTC_TRADES = 17, 18, 19
MS = 1_700_000_000_123
BIDS, ASKS = [[100, 1, 1.5], [99, 2, 2]], [[101, 3, -0.25]]


class Line:
    """A connection whose frames are numbered as on the wire."""

    def __init__(self, symbols=SYMBOLS, flags=196608):
        self.one = ConnectionProcessor(EXCHANGE, symbols, one_bucket)
        self.number = 0
        if flags is not None:
            assert self.take({"event": "conf", "status": "OK", "flags": flags}) == []

    def take(self, message):
        frame = message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()
        return self.one.take(frame, "ws", None, None)

    def data(self, number, *payload, skip=0):
        self.number += 1 + skip
        return self.take([number, *payload, self.number])

    def subscribed(self, number, channel="book", symbol="tBTCUST", **more):
        head = {"event": "subscribed", "channel": channel, "chanId": number, "symbol": symbol}
        book = {"prec": "P0", "freq": "F0", "len": "250"} if channel == "book" else {}
        return self.take(head | book | more)

    @property
    def reasons(self):
        return [self.one.book(symbol).reason for symbol in ("BTCUSDT", "ETHUSDT")]

    def sides(self, symbol="BTCUSDT"):
        book = self.one.book(symbol)
        book.flush()
        return book.bids.texts, book.asks.texts


def live(**more):
    """Both books proven, the trades of one."""
    line = Line(**more)
    for number, symbol in ((BTC, "tBTCUST"), (ETH, "tETHUST")):
        assert line.subscribed(number, symbol=symbol) == []
        assert codes(line.data(number, BIDS + ASKS)) == ["Snapshot"]
    line.subscribed(BTC_TRADES, "trades")
    assert line.reasons == [None, None]
    return line


def signed_crc(string):
    """Bit by bit, polynomial 0xEDB88320."""
    register = 0xFFFFFFFF
    for byte in string.encode():
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    value = register ^ 0xFFFFFFFF
    return value - 2**32 if value >> 31 else value
