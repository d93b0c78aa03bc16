"""Messages of HTX as made by hand, and a connection that takes them: for the tests of its decoding half."""

import gzip

from COBY.exchanges.huobi import EXCHANGE
from COBY.processing import ConnectionProcessor, one_bucket
from tests.decoded import codes, text

SYMBOLS = {"btcusdt": "BTCUSDT", "ethusdt": "ETHUSDT"}
MS = 1_700_000_000_123


def packed(message):
    return gzip.compress(text(message), mtime=0)


def update(follows, number, bids=(), asks=(), symbol="btcusdt"):
    tick = {"seqNum": number, "prevSeqNum": follows, "bids": list(bids), "asks": list(asks)}
    return {"ch": f"market.{symbol}.mbp.400", "ts": MS, "tick": tick}


def reply(number, bids=((100, 1),), asks=((101, 2),), symbol="btcusdt", **more):
    data = {"seqNum": number, "bids": list(bids), "asks": list(asks)}
    return {"id": "3", "status": "ok", "ts": MS, "rep": f"market.{symbol}.mbp.400", "data": data} | more


def trades(*rows, symbol="btcusdt"):
    usual = {"id": 123140716701236887569077664, "ts": MS, "tradeId": 7, "amount": 0.5, "price": 100.5}
    data = [usual | {"direction": "buy"} | row for row in rows]
    return {"ch": f"market.{symbol}.trade.detail", "ts": MS + 1, "tick": {"id": 1, "ts": MS, "data": data}}


def subbed(channel="trade.detail", ts=MS, symbol="btcusdt"):
    return {"id": "2", "status": "ok", "subbed": f"market.{symbol}.{channel}", "ts": ts}


def connection(symbols=SYMBOLS):
    return ConnectionProcessor(EXCHANGE, symbols, one_bucket)


def take(one, message):
    return one.take(packed(message), "ws", None, None)


def live(last=10):
    one = connection()
    live_too(one, last)
    return one


def live_too(one, last, symbol="btcusdt"):
    """Another book of the connection comes up, its last update and the snapshot at ``last``."""
    assert take(one, update(last - 1, last, symbol=symbol)) == []
    assert codes(take(one, reply(last, symbol=symbol))) == ["Snapshot"]
